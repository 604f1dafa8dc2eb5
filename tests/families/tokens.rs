//! Costs of fewer tokens: the figures of the papers, to the unit, from configs alone.
//!
//! Papers call multiply-accumulates FLOPs, and some count the class token's place in the patch embedding.

use serde_json::Value;
use tamis::graph::{Graph, ReductionRule, TokenCount, TokenScore};

use crate::support::published;

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
            let rule = ReductionRule::MergeByEnergy { margin: 0.5 };
            graph.reduce_tokens(layer, TokenCount::Share(share), rule, false).unwrap();
        }
        billions(macs(&graph) - 196 * 384 * 768 - 384 * 1000, 6)
    };
    for (share, card) in [(0.95, 3.381_017), (0.925, 2.933_263), (0.9125, 2.705_789), (0.9, 2.536_583)] {
        // The last digit is cut on the card, not rounded.
        assert!((of(share) - card).abs() < 1.5e-6, "{share}: {}", of(share));
    }
}

#[test]
fn given_lists() {
    let of = |mut graph: Graph, width: u64, patch: u64, prune: &[usize], merge: &[usize]| {
        for (layer, (&prune, &merge)) in prune.iter().zip(merge).enumerate() {
            let rule = ReductionRule::MergeByAttention { kept: prune };
            graph.reduce_tokens(layer, TokenCount::Exactly(prune.min(merge)), rule, true).unwrap();
        }
        with_class_token(&graph, width, patch)
    };
    let prune = [197, 196, 190, 168, 150, 139, 129, 117, 99, 78, 58, 3];
    let merge = [197, 194, 176, 156, 141, 133, 121, 107, 88, 64, 56, 3];
    assert_eq!(of(deit(384), 384, 16, &prune, &merge), 2_905_256_448);
    let prune = [197, 192, 168, 143, 121, 105, 92, 74, 62, 45, 33, 3];
    let merge = [197, 180, 156, 127, 109, 98, 80, 66, 52, 37, 31, 3];
    assert_eq!(of(deit(384), 384, 16, &prune, &merge), 2_327_225_856);
    let prune = [197, 196, 180, 157, 130, 107, 86, 73, 63, 51, 40, 3];
    let merge = [197, 187, 167, 139, 114, 90, 76, 66, 57, 45, 37, 3];
    assert_eq!(of(deit(192), 192, 16, &prune, &merge), 654_861_312);
    let prune = [197, 197, 197, 188, 170, 154, 139, 123, 107, 72, 43, 3];
    let merge = [197, 197, 192, 178, 158, 145, 127, 111, 94, 50, 35, 3];
    assert_eq!(of(deit(768), 768, 16, &prune, &merge), 11_517_239_808);
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
