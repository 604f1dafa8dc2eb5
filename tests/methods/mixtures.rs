//! Families that no trained model is of, against transformers: `tests/golden/mixtures`, made by `mixtures.py` beside it.

use std::fs;
use std::path::Path;

use serde_json::Value as Json;
use tamis::observe::Outputs;
use tamis::pass::{Input, Sample};
use tamis::weights::Version;

use crate::model::Model;
use crate::run::run;
use crate::runtime::{agree, floats, forward, opened, row};

fn open(name: &str) -> (Version, Json) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/mixtures").join(name);
    let answers = fs::read_to_string(dir.join("answers.json")).expect("answers are beside the model");
    (opened(dir).1, serde_json::from_str(&answers).expect("answers are JSON"))
}

fn answers(version: &Version, golden: &Json) -> Outputs {
    let ids = |ids: &Json| floats(ids).into_iter().map(|id| id as u32).collect();
    let sample = |row: &Json| Sample { input: Input::Tokens(ids(row)), label: None };
    forward(version, golden["input_ids"].as_array().expect("rows").iter().map(sample).collect())
}

/// The tolerance is that of the trained models: 1e-4 of the largest logit of a row.
#[test]
fn they_answer_as_transformers_does() {
    for name in ["qwen3", "qwen2_moe", "qwen3_moe", "olmoe"] {
        let (version, golden) = open(name);
        let outputs = answers(&version, &golden);
        let logits = outputs.logits.as_ref().expect("logits");
        let expected = golden["logits"].as_array().expect("rows").iter();
        for (at, expected) in expected.flat_map(|rows| rows.as_array().expect("positions")).enumerate() {
            agree(&row(logits, at), &floats(expected), &format!("{name}, row {at}"));
        }
    }
}

/// Behind a map in which each row of the router leads to its own expert, answers are the same to the bit.
#[test]
fn as_many_groups_as_experts_answer_the_same() {
    for name in ["qwen2_moe", "olmoe"] {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/mixtures").join(name);
        let (version, golden) = open(name);
        let checkpoint = std::sync::Arc::new(tamis::checkpoint::Checkpoint::open(&dir).expect("it is there"));
        let model = Model { graph: version.graph.clone(), checkpoint };
        let done = run(&model, "merge experts of layers[*] by weights into 6");
        let (before, after) = (answers(&version, &golden), answers(&done.version, &golden));
        let (before, after) = (before.logits.expect("logits"), after.logits.expect("logits"));
        for at in 0..14 {
            assert_eq!(row(&before, at), row(&after, at), "{name}, row {at}");
        }
    }
}
