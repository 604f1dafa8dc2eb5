//! A picture and a text together, against transformers' own LLaVA and against FastV and MustDrop written over its modules in
//! float64: `tests/golden/vision_language.json`, made by `vision_language.py` beside it. Ours computes in f32; 1e-4 of the largest
//! logit is what that may cost.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value as Json;
use tamis::REGISTRY;
use tamis::checkpoint::{Checkpoint, read_graph};
use tamis::graph::{NotReduced, PictureRule, ReductionRule, TokenCount};
use tamis::observe::Outputs;
use tamis::runtime::{Batch, Gates, Inputs, Model, Rows, Value};
use tamis::weights::Version;

use crate::runtime::{agree, floats, row};

/// Side of the pictures.
const SIDE: usize = 24;
/// Patches of a picture.
const PATCHES: usize = 36;

fn golden() -> Json {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/vision_language.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn model() -> Version {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models/llava-random");
    let checkpoint = Arc::new(Checkpoint::open(&dir).expect("the model is in the repository"));
    let graph = read_graph(REGISTRY.families, &checkpoint).expect("a graph");
    Version::open(graph, &checkpoint)
}

/// Rules before layers, by the number of the layer in its tower.
fn reduced(rules: &[(&str, TokenCount, PictureRule)]) -> Version {
    let mut version = model();
    for (path, keep, rule) in rules {
        let graph = &mut version.graph;
        let number = graph.blocks.iter().position(|block| graph.tree.path(block.node) == *path).unwrap();
        graph.reduce_tokens(number, *keep, ReductionRule::Picture(*rule), false).unwrap();
    }
    version.graph.validate().unwrap();
    version
}

fn ids(json: &Json) -> Vec<u32> {
    floats(json).into_iter().map(|id| id as u32).collect()
}

/// Some of the golden samples in one batch.
fn batch(golden: &Json, samples: std::ops::Range<usize>) -> Batch {
    let texts: Vec<Vec<u32>> = samples.clone().map(|sample| ids(&golden["texts"][sample])).collect();
    let picture = |sample: usize| floats(&golden["pictures"][sample]).into_iter().map(|it| it as f32);
    let inputs = Inputs::Both {
        rows: Rows::of(texts.iter().map(Vec::len)),
        ids: texts.concat(),
        values: samples.clone().flat_map(picture).collect(),
        shape: [3, SIDE, SIDE],
    };
    Batch { inputs, labels: vec![None; samples.len()], first: 0 }
}

fn logits(version: &Version, batch: &Batch) -> Value {
    let model = Model::new(version);
    let mut outputs = Outputs::default();
    let weights = model.load().expect("weights are read");
    model.forward(&weights, batch, &Gates::default(), &mut outputs).expect("it runs");
    outputs.logits.expect("it has a head")
}

/// The first and the last two tokens' logits, and how many tokens there are.
fn answers(version: &Version, name: &str) {
    let golden = golden();
    let found = logits(version, &batch(&golden, 0..3));
    for sample in 0..3 {
        let expected = &golden["logits"][name][sample];
        let rows = found.rows.of_sample(sample);
        assert_eq!(rows.len() as u64, expected[3][0].as_u64().unwrap(), "{name}, sample {sample}");
        for (at, row_at) in [rows.start, rows.end - 2, rows.end - 1].into_iter().enumerate() {
            agree(&row(&found, row_at), &floats(&expected[at]), name);
        }
    }
}

const LAST: PictureRule = PictureRule::LastQuery;

#[test]
fn all_of_a_picture_is_answered_as_transformers_does() {
    answers(&model(), "whole");
}

#[test]
fn pictures_with_fewer_tokens_are_answered_as_fastv_does() {
    let share = TokenCount::Share;
    let half = reduced(&[("language.layers[2]", share(0.5), LAST)]);
    answers(&half, "fastv at 2, half");
    let twice = [("language.layers[1]", share(0.75), LAST), ("language.layers[3]", share(0.4), LAST)];
    answers(&reduced(&twice), "fastv at 1 and 3");
    answers(&reduced(&[("language.layers[5]", share(0.1), LAST)]), "fastv at 5, a tenth");
}

#[test]
fn pictures_with_fewer_tokens_are_answered_as_mustdrop_does() {
    let rule = |key| PictureRule::ByText { global: 0.012, individual: 0.02, key };
    let all = TokenCount::Less(0);
    // What goes after layers 1 and 3 goes before layers 2 and 4.
    let text = |key| [("language.layers[2]", all, rule(key)), ("language.layers[4]", all, rule(key))];
    answers(&reduced(&text(0.08)), "mustdrop");
    let windows = PictureRule::MergeWindows { window: 3, similarity: 0.3, grid: [0, 0] };
    let [first, second] = text(0.2);
    answers(&reduced(&[("vision.layers[1]", all, windows), first, second]), "mustdrop, windows");
}

/// A sample alone and beside others; and with as many placeholders as the picture has patches, as transformers writes them.
#[test]
fn a_sample_is_reduced_by_itself() {
    let golden = golden();
    let version = reduced(&[("language.layers[2]", TokenCount::Share(0.5), LAST)]);
    let together = logits(&version, &batch(&golden, 0..3));
    for sample in 0..3 {
        let mut alone = batch(&golden, sample..sample + 1);
        let Inputs::Both { ids, rows, .. } = &mut alone.inputs else { unreachable!("it has both") };
        *ids = ids.iter().flat_map(|&id| vec![id; if id == 60 { PATCHES } else { 1 }]).collect();
        *rows = Rows::of([ids.len()]);
        let alone = logits(&version, &alone);
        let last = row(&together, together.rows.of_sample(sample).end - 1);
        agree(&row(&alone, alone.rows.count() - 1), &last, "alone and together");
    }
}

#[test]
fn keeping_all_of_a_picture_changes_no_bit() {
    let golden = golden();
    let bits = |version: &Version| {
        let logits = logits(version, &batch(&golden, 0..3));
        (0..logits.rows.count()).map(|at| row(&logits, at)).collect::<Vec<_>>()
    };
    let dense = bits(&model());
    let none = PictureRule::ByText { global: 0.0, individual: 0.0, key: 0.08 };
    let apart = PictureRule::MergeWindows { window: 3, similarity: 1.1, grid: [0, 0] };
    let all = TokenCount::Share(1.0);
    for rules in [
        vec![("language.layers[2]", all, LAST), ("language.layers[5]", TokenCount::Less(0), LAST)],
        vec![("language.layers[2]", all, none)],
        vec![("vision.layers[1]", all, apart)],
    ] {
        assert_eq!(bits(&reduced(&rules)), dense, "{rules:?}");
    }
}

/// The last token attends to everything, so that the first layer that differs is the one that the tokens go before.
#[test]
fn where_no_picture_can_go_it_is_said() {
    let refused = |path: &str, rule: PictureRule| {
        let mut graph = model().graph;
        let number = graph.blocks.iter().position(|block| graph.tree.path(block.node) == path).unwrap();
        graph.reduce_tokens(number, TokenCount::Share(0.5), ReductionRule::Picture(rule), false).unwrap_err()
    };
    let says = |found: NotReduced, part: &str| {
        assert!(matches!(&found, NotReduced::NoPicture(why) if why.contains(part)), "{found:?}");
    };
    says(refused("language.layers[0]", LAST), "no layer stands before it");
    says(refused("vision.layers[0]", LAST), "no layer stands before it");
    says(refused("vision.layers[1]", LAST), "none of its tokens are a picture's");
    let windows = |window| PictureRule::MergeWindows { window, similarity: 0.8, grid: [0, 0] };
    says(refused("language.layers[2]", windows(3)), "no picture's that go among a text's later");
    says(refused("vision.layers[1]", windows(4)), "6 x 6 patches are not divided into windows of 4 x 4");
}
