//! Costs of fewer tokens: the figures of the papers, to the unit, from configs alone.
//!
//! Papers call multiply-accumulates FLOPs, and some count the class token's place in the patch embedding.

use std::collections::BTreeMap;

use serde_json::Value;
use tamis::graph::{ByEnergy, Graph, RankStart, Ranking, ReductionRule, TokenCount, TokenScore};

use crate::support::{golden, published};

fn macs(graph: &Graph) -> u64 {
    graph.cost(1).macs.known().unwrap()
}

fn deit(width: u64) -> Graph {
    let heads = width / 64;
    let fields = [("hidden_size", width), ("num_attention_heads", heads), ("intermediate_size", 4 * width)];
    let fields: Vec<(&str, Value)> = fields.map(|(key, value)| (key, value.into())).into();
    published("deit-small-patch16-224", &fields)
}

fn large(width: u64, layers: u64, patch: u64) -> Graph {
    let fields = [
        ("hidden_size", width),
        ("num_attention_heads", 16),
        ("intermediate_size", 4 * width),
        ("num_hidden_layers", layers),
        ("patch_size", patch),
    ];
    let fields: Vec<(&str, Value)> = fields.map(|(key, value)| (key, value.into())).into();
    published("deit-small-patch16-224", &fields)
}

/// With the class token counted as a patch of 16 x 16 pixels, as ToMe and DiffRate do.
fn with_class_token(graph: &Graph, width: u64, patch: u64) -> u64 {
    macs(graph) + width * 3 * patch * patch
}

fn merged(mut graph: Graph, gone: &[usize]) -> Graph {
    for (layer, &gone) in gone.iter().enumerate() {
        graph.reduce_tokens(layer, TokenCount::Less(gone), ReductionRule::MergePairs, true).unwrap();
    }
    graph.validate().unwrap();
    graph
}

/// Billions, rounded to `digits`.
fn billions(macs: u64, digits: i32) -> f64 {
    let unit = 10f64.powi(9 - digits);
    (macs as f64 / unit).round() * unit / 1e9
}

#[test]
fn dense_vision_transformers() {
    assert_eq!(with_class_token(&deit(192), 192, 16), 1_253_830_656);
    assert_eq!(with_class_token(&deit(384), 384, 16), 4_599_177_216);
    assert_eq!(with_class_token(&deit(768), 768, 16), 17_564_418_048);
    assert_eq!(with_class_token(&large(1024, 24, 16), 1024, 16), 61_555_499_008);
    assert_eq!(with_class_token(&large(1280, 32, 14), 1280, 14), 167_295_861_760);
}

#[test]
fn token_merging() {
    let of =
        |width: u64, gone: &[usize]| billions(with_class_token(&merged(deit(width), gone), width, 16), 3);
    assert_eq!([8, 13, 16].map(|r| of(192, &[r; 12])), [0.924, 0.731, 0.622]);
    assert_eq!([8, 12, 13, 16].map(|r| of(384, &[r; 12])), [3.417, 2.844, 2.703, 2.291]);
    assert_eq!([8, 13, 16].map(|r| of(768, &[r; 12])), [13.105, 10.368, 8.772]);
    assert_eq!(of(384, &[26, 23, 21, 18, 16, 14, 11, 9, 7, 4, 2, 0]), 2.112);
    let large_of = |width, layers, patch, gone: usize| {
        let graph = merged(large(width, layers, patch), &vec![gone; layers as usize]);
        billions(with_class_token(&graph, width, patch), 3)
    };
    assert_eq!(large_of(1024, 24, 16, 7), 34.711);
    assert_eq!(large_of(1024, 24, 16, 8), 30.964);
    assert_eq!(large_of(1280, 32, 14, 7), 92.836);
}

#[test]
fn tokens_by_class_attention() {
    let of = |width: u64, share: f64, fuse: bool| {
        let mut graph = deit(width);
        for layer in [3, 6, 9] {
            let rule = ReductionRule::Drop { score: TokenScore::FirstAttention, fuse, sorted: true };
            graph.reduce_tokens(layer, TokenCount::Share(share), rule, false).unwrap();
        }
        billions(macs(&graph), 6)
    };
    let shares = [0.9, 0.8, 0.7, 0.6, 0.5];
    let fused = [4.021_873, 3.477_160, 3.029_281, 2.635_294, 2.308_835];
    assert_eq!(shares.map(|share| of(384, share, true)), fused);
    assert_eq!(
        shares.map(|share| of(384, share, false)),
        [3.988_126, 3.444_215, 2.996_995, 2.608_431, 2.282_378]
    );
    assert_eq!(
        shares.map(|share| of(768, share, true)),
        [15.395_313, 13.326_778, 11.609_985, 10.088_270, 8.819_577]
    );
}

/// Layers alone, the feed-forward behind the merge.
#[test]
fn tokens_by_energy() {
    let of = |share: f64| {
        let mut graph = deit(384);
        for layer in 0..12 {
            let rule = ReductionRule::MergeByEnergy(ByEnergy::new(0.5));
            graph.reduce_tokens(layer, TokenCount::Share(share), rule, false).unwrap();
        }
        billions(macs(&graph) - 196 * 384 * 768 - 384 * 1000, 6)
    };
    for (share, card) in [(0.95, 3.381_017), (0.925, 2.933_263), (0.9125, 2.705_789), (0.9, 2.536_583)] {
        // The last digit is cut on the card, not rounded.
        assert!((of(share) - card).abs() < 1.5e-6, "{share}: {}", of(share));
    }
}

/// As the counter of PiToMe's authors has it: everything of a layer at the tokens that it begins with, no embedding, no head.
#[test]
fn tokens_by_energy_as_the_authors_count() {
    let of = |mut graph: Graph, [width, patches, patch]: [u64; 3], share: f64| {
        for layer in 0..graph.blocks.len() {
            let rule = ReductionRule::MergeByEnergy(ByEnergy::new(0.5));
            graph.reduce_tokens(layer, TokenCount::Share(share), rule, false).unwrap();
        }
        let mut tokens = patches as usize + 1;
        let mut behind = 0;
        for (_, reduction) in graph.reductions() {
            let after = reduction.after(tokens);
            behind += 8 * width * width * (tokens - after) as u64;
            tokens = after;
        }
        macs(&graph) + behind - patches * width * 3 * patch * patch - width * 1000
    };
    for (share, card) in [(0.95, 3.482_467), (0.925, 3.068_923), (0.9125, 2.856_784), (0.9, 2.698_195)] {
        let found = of(deit(384), [384, 196, 16], share) as f64 / 1e9;
        assert!((found - card).abs() < 1.5e-6, "{share}: {found}");
    }
    let huge = of(large(1280, 32, 14), [1280, 256, 14], 0.925);
    assert_eq!(billions(huge, 3), 65.399);
}

/// DeiT-S with ten similar tokens less behind layers 0, 2, 5, 8 and 10, and then shares of the rest. The authors reduce between
/// layers: the feed-forward in front has all tokens still. Their own figure, 3.003 G, is of another schedule or another count.
#[test]
fn tokens_by_page_rank() {
    let mut graph = deit(384);
    let ranking =
        Ranking { iterations: 5, start: RankStart::Uniform, variance: Some([0.01, 0.7]), similar: 10 };
    for (layer, share) in [(0, 1.0), (2, 0.9), (5, 0.8), (8, 0.7), (10, 1.0)] {
        let rule = ReductionRule::DropByRank(ranking);
        graph.reduce_tokens(layer, TokenCount::Share(share), rule, false).unwrap();
    }
    let (mut tokens, mut between) = (197, macs(&graph));
    for (_, reduction) in graph.reductions() {
        let after = reduction.after(tokens);
        between += 8 * 384 * 384 * (tokens - after) as u64;
        tokens = after;
    }
    assert_eq!((tokens, between), (68, 3_145_711_104));
    assert!(macs(&graph) < between);
}

/// The counts of SN-Netv2, by fvcore: five for each feature that is normed, beside ours.
#[test]
fn vision_transformers_as_fvcore_counts_them() {
    let normed = |graph: &Graph, width: u64, layers: u64| macs(graph) + 5 * 197 * width * (2 * layers + 1);
    assert_eq!(normed(&deit(384), 384, 12), 4_608_338_304);
    assert_eq!(normed(&large(1024, 24, 16), 1024, 24), 61_604_135_936);
}

/// All lists for vision transformers that DiffRate's authors publish, `golden/diffrate.json`; no family here is a CAFormer. A name
/// is billions as the authors count, which for one list, of 93.2, is 1.2 % above what its numbers cost.
#[test]
fn given_lists() {
    let models = [
        ("ViT-T-DeiT", deit(192), 192, 16),
        ("ViT-S-DeiT", deit(384), 384, 16),
        ("ViT-B-DeiT", deit(768), 768, 16),
        ("ViT-B-MAE", deit(768), 768, 16),
        ("ViT-L-MAE", large(1024, 24, 16), 1024, 16),
        ("ViT-H-MAE", large(1280, 32, 14), 1280, 14),
    ];
    let exact = BTreeMap::from([
        ("ViT-T-DeiT 0.6", 654_861_312),
        ("ViT-S-DeiT 2.3", 2_327_225_856),
        ("ViT-S-DeiT 2.5", 2_504_742_144),
        ("ViT-S-DeiT 2.7", 2_709_186_816),
        ("ViT-S-DeiT 2.9", 2_905_256_448),
        ("ViT-S-DeiT 3.1", 3_107_983_872),
        ("ViT-B-DeiT 8.7", 8_730_610_176),
        ("ViT-B-DeiT 10.0", 9_985_638_912),
        ("ViT-B-DeiT 10.4", 10_434_476_544),
        ("ViT-B-DeiT 11.5", 11_517_239_808),
        ("ViT-B-DeiT 12.5", 12_522_851_328),
        ("ViT-L-MAE 42.3", 42_290_380_800),
        ("ViT-H-MAE 103.4", 103_337_077_760),
        ("ViT-H-MAE 93.2", 92_107_330_560),
    ]);
    let lists = golden("diffrate.json");
    let mut seen = 0;
    for (name, dense, width, patch) in models {
        for (billion, lists) in lists[name].as_object().unwrap() {
            let list =
                |key: &str| -> Vec<usize> { serde_json::from_str(lists[key].as_str().unwrap()).unwrap() };
            let (prune, merge) = (list("prune_kept_num"), list("merge_kept_num"));
            let mut graph = dense.clone();
            for (layer, (&prune, &merge)) in prune.iter().zip(&merge).enumerate() {
                let rule = ReductionRule::MergeByAttention { kept: prune };
                graph.reduce_tokens(layer, TokenCount::Exactly(prune.min(merge)), rule, true).unwrap();
            }
            let found = with_class_token(&graph, width, patch);
            let named: f64 = billion.parse().unwrap();
            match exact.get(format!("{name} {billion}").as_str()) {
                Some(&card) => {
                    assert_eq!(found, card, "{name} {billion}");
                    seen += 1;
                }
                None => {
                    let off = (found as f64 / 1e9 - named).abs();
                    assert!(off < f64::max(0.03, 0.001 * named), "{name} {billion}: {found}");
                }
            }
        }
    }
    assert_eq!(seen, exact.len());
}

/// BERT-base, 128 tokens of which 64 are left behind the attention of the seventh layer; no embeddings, no pooler.
#[test]
fn words_of_an_encoder() {
    let dense = || published("bert-base-uncased", &[("architectures", vec!["BertModel"].into())]);
    let (mut bert, mut short) = (dense(), dense());
    let rule = ReductionRule::Drop { score: TokenScore::AttentionMass, fuse: false, sorted: false };
    bert.reduce_tokens(6, TokenCount::Exactly(64), rule, false).unwrap();
    assert_eq!(macs(&bert), 8_512_339_968 + 768 * 768);
    bert.set_tokens(32);
    short.set_tokens(32);
    assert_eq!(macs(&bert), macs(&short), "a short text has nothing to lose");
}
