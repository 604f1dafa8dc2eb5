//! Fewer tokens on trained models, against a plain forward pass in float64: `tests/golden/tokens.json`, made by `tokens.py`
//! beside it. Ours computes in f32; 1e-4 of the largest answer is what that may cost.

use std::fs;
use std::path::Path;

use serde_json::Value as Json;
use tamis::graph::{
    ByEnergy, EnergyKernel, EnergyPairing, NotReduced, RankStart, Ranking, ReductionRule, TokenCount,
    TokenScore,
};
use tamis::pass::{Input, Pixels, Sample};
use tamis::weights::Version;

use crate::runtime::{agree, floats, forward, row, token_samples, trained};

const PAIRS: ReductionRule = ReductionRule::MergePairs;

fn golden(model: &str) -> Json {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tokens.json");
    let all: Json = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    all[model].clone()
}

fn drop(score: TokenScore, fuse: bool, sorted: bool) -> ReductionRule {
    ReductionRule::Drop { score, fuse, sorted }
}

pub fn pictures(count: usize) -> Vec<Sample> {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models/data/fashion-mnist/t10k-images-idx3-ubyte");
    let bytes = fs::read(file).unwrap();
    let picture = |at: usize| {
        let pixels = &bytes[16 + at * 784..16 + (at + 1) * 784];
        let values = pixels.iter().map(|pixel| (f32::from(*pixel) / 255.0 - 0.286) / 0.353).collect();
        Sample { input: Input::Pixels(Pixels { channels: 1, height: 28, width: 28, values }), label: None }
    };
    (0..count).map(picture).collect()
}

fn texts() -> Vec<Sample> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models/bert-eras/golden.json");
    let golden: Json = serde_json::from_str(&fs::read_to_string(dir).unwrap()).unwrap();
    token_samples(&golden["inputs"]).into_iter().take(4).collect()
}

/// A model with reductions in some layers.
fn reduced(model: &str, layers: &[(usize, TokenCount, ReductionRule)], by_size: bool) -> Version {
    let (_, mut version) = trained(model);
    for (layer, keep, rule) in layers {
        version.graph.reduce_tokens(*layer, *keep, rule.clone(), by_size).unwrap();
    }
    version.graph.validate().unwrap();
    version
}

fn answers(version: &Version, samples: Vec<Sample>) -> Vec<Vec<f64>> {
    let logits = forward(version, samples).logits.unwrap();
    (0..logits.rows.samples()).map(|sample| row(&logits, sample)).collect()
}

/// Votes as Zero-TPrune takes them by default.
fn voting(iterations: usize, similar: usize) -> Ranking {
    Ranking { iterations, start: RankStart::Uniform, variance: Some([0.01, 0.7]), similar }
}

/// PiToMe's form for BERT.
fn words(margin: f64) -> ReductionRule {
    ReductionRule::MergeByEnergy(ByEnergy {
        margin,
        kernel: EnergyKernel::Gaussian,
        pairing: EnergyPairing::Halves,
        restart: true,
    })
}

fn every(keep: TokenCount, rule: &ReductionRule) -> Vec<(usize, TokenCount, ReductionRule)> {
    (0..4).map(|layer| (layer, keep, rule.clone())).collect()
}

#[test]
fn pictures_with_fewer_tokens_are_answered_as_the_reference_does() {
    let golden = golden("vit-fashion");
    let middle = |keep, rule: ReductionRule| vec![(1, keep, rule.clone()), (2, keep, rule)];
    let energy = |layer: usize| {
        let margin = 0.75 * (1.0 - layer as f64 / 4.0);
        (layer, TokenCount::Share(0.8), ReductionRule::MergeByEnergy(ByEnergy::new(margin)))
    };
    let closest_first = |layer: usize| {
        let of = ByEnergy::new(0.75 * (1.0 - layer as f64 / 4.0));
        let pairing = if layer < 2 { EnergyPairing::Closest } else { EnergyPairing::Alternate };
        (layer, TokenCount::Share(0.8), ReductionRule::MergeByEnergy(ByEnergy { pairing, ..of }))
    };
    let votes = |layer: usize| {
        let of = voting([30, 5, 5, 1][layer], 2);
        (layer, TokenCount::Share(0.9), ReductionRule::DropByRank(of))
    };
    let of_class_token = Ranking { start: RankStart::First, variance: Some([0.05, 0.3]), ..voting(4, 0) };
    let rank = |layer: usize| {
        let (kept, merged) = ([17, 14, 10, 6][layer], [16, 12, 8, 4][layer]);
        (layer, TokenCount::Exactly(merged), ReductionRule::MergeByAttention { kept })
    };
    let by_class = |fuse| drop(TokenScore::FirstAttention, fuse, true);
    let by_mass = drop(TokenScore::AttentionMass, false, false);
    let cases = [
        ("pairs, by size", every(TokenCount::Less(2), &PAIRS), true),
        ("pairs, layers 1 and 2", middle(TokenCount::Less(3), PAIRS), false),
        ("energy", (0..4).map(energy).collect(), false),
        ("class attention", every(TokenCount::Share(0.6), &by_class(false)), false),
        ("class attention, fused", middle(TokenCount::Share(0.7), by_class(true)), false),
        ("mass", every(TokenCount::Share(0.75), &by_mass), false),
        ("energy, all pairs first", (0..4).map(closest_first).collect(), false),
        ("votes", (0..4).map(votes).collect(), false),
        (
            "votes, class token",
            every(TokenCount::Share(0.8), &ReductionRule::DropByRank(of_class_token)),
            false,
        ),
        ("rank", (0..4).map(rank).collect(), true),
    ];
    for (name, layers, by_size) in cases {
        let found = answers(&reduced("vit-fashion", &layers, by_size), pictures(4));
        for (sample, found) in found.iter().enumerate() {
            agree(found, &floats(&golden[name][sample]), name);
        }
    }
}

#[test]
fn texts_with_fewer_tokens_are_answered_as_the_reference_does() {
    let golden = golden("bert-eras");
    let by_mass = drop(TokenScore::AttentionMass, false, false);
    let of_words = |layer: usize| (layer, TokenCount::Share(0.8), words(0.75 * (1.0 - layer as f64 / 4.0)));
    let cases = [
        ("pairs, by size", every(TokenCount::Less(5), &PAIRS), true),
        ("mass", every(TokenCount::Share(0.7), &by_mass), false),
        ("energy of words", (0..4).map(of_words).collect(), false),
        ("votes", every(TokenCount::Share(0.9), &ReductionRule::DropByRank(voting(5, 3))), false),
    ];
    for (name, layers, by_size) in cases {
        let found = answers(&reduced("bert-eras", &layers, by_size), texts());
        for (sample, found) in found.iter().enumerate() {
            agree(found, &floats(&golden[name][sample]), name);
        }
    }
}

#[test]
fn keeping_all_tokens_changes_no_bit() {
    let rules = [
        PAIRS,
        ReductionRule::MergeByEnergy(ByEnergy::new(0.5)),
        ReductionRule::MergeByAttention { kept: 1000 },
        words(0.5),
        ReductionRule::DropByRank(voting(5, 0)),
        drop(TokenScore::FirstAttention, true, true),
        drop(TokenScore::Random { start: 7 }, false, false),
    ];
    let dense = answers(&trained("vit-fashion").1, pictures(3));
    for rule in rules {
        for all in [TokenCount::Less(0), TokenCount::Share(1.0), TokenCount::Exactly(1000)] {
            let found = answers(&reduced("vit-fashion", &every(all, &rule), true), pictures(3));
            assert_eq!(found, dense, "{rule:?} {all:?}");
        }
    }
}

/// What stands beside a text decides nothing of its tokens, whatever their lengths.
#[test]
fn a_text_is_reduced_by_itself() {
    for (rule, keep) in [
        (PAIRS, TokenCount::Less(4)),
        (ReductionRule::MergeByEnergy(ByEnergy::new(0.4)), TokenCount::Share(0.8)),
        (words(0.4), TokenCount::Share(0.8)),
        (ReductionRule::DropByRank(voting(5, 3)), TokenCount::Share(0.8)),
        (drop(TokenScore::AttentionMass, false, false), TokenCount::Share(0.5)),
        (drop(TokenScore::Random { start: 3 }, false, false), TokenCount::Share(0.5)),
    ] {
        let version = reduced("bert-eras", &every(keep, &rule), true);
        let together = answers(&version, texts());
        for (at, text) in texts().into_iter().enumerate() {
            agree(&together[at], &answers(&version, vec![text])[0], "alone and together");
        }
    }
}

/// Equal tokens that merge count as often as before: attention over them by size is attention over all of them.
#[test]
fn equal_tokens_merge_without_a_trace() {
    let (_, mut version) = trained("bert-eras");
    // One word over and over, without places: all tokens behind the first are equal.
    let places = version
        .graph
        .ops
        .node_indices()
        .find(|&op| matches!(version.graph.ops[op].op, tamis::graph::Op::Positions { .. }));
    let places = places.expect("BERT has positions");
    version.graph.ops[places].op = tamis::graph::Op::Scale(0.0);
    let ids = |count: usize| vec![Sample { input: Input::Tokens(vec![300; count]), label: None }];
    let dense = answers(&version, ids(24));
    let mut fewer = version.clone();
    for layer in 0..4 {
        fewer.graph.reduce_tokens(layer, TokenCount::Less(5), PAIRS, true).unwrap();
    }
    agree(&answers(&fewer, ids(24))[0], &dense[0], "merged");
}

/// A layer that goes takes its reduction along: what is left is the reduction of the others.
#[test]
fn a_layer_goes_with_its_reduction() {
    let (_, mut version) = trained("vit-fashion");
    let layers = version.graph.places().axis("layers").expect("a ViT has layers");
    let mut first = version.clone();
    for layer in 0..4 {
        first.graph.reduce_tokens(layer, TokenCount::Less(2), PAIRS, true).unwrap();
    }
    first.keep(layers, &[0, 1, 3]);
    first.graph.validate().unwrap();
    version.keep(layers, &[0, 1, 3]);
    for layer in 0..3 {
        version.graph.reduce_tokens(layer, TokenCount::Less(2), PAIRS, true).unwrap();
    }
    assert_eq!(answers(&first, pictures(2)), answers(&version, pictures(2)));
    assert_eq!(first.graph.cost(1).macs, version.graph.cost(1).macs);
}

#[test]
fn a_second_reduction_and_a_decoder_are_refused() {
    let mut version = reduced("vit-fashion", &[(1, TokenCount::Less(2), PAIRS)], true);
    let again = version.graph.reduce_tokens(1, TokenCount::Less(1), PAIRS, true);
    assert_eq!(again, Err(NotReduced::Already));
    let (_, mut decoder) = trained("llama-sotu");
    let why = decoder.graph.reduce_tokens(0, TokenCount::Less(2), PAIRS, true);
    assert!(
        matches!(why, Err(NotReduced::Needed(why)) if why.contains("causal")),
        "text is made of every token"
    );
}
