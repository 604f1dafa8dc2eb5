//! What `tamis inspect` shows of a model.

use std::collections::BTreeSet;
use std::path::Path;

use insta::assert_snapshot;
use serde_json::Value;
use tamis::checkpoint::{Checkpoint, read_graph};
use tamis::families::FAMILIES;
use tamis::graph::{Extent, Graph, Role};

use crate::support::{class, classes, published, published_counts};

/// A trained model of the repository.
fn trained(name: &str) -> (Checkpoint, Graph) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models").join(name);
    let checkpoint = Checkpoint::open(&dir).unwrap();
    let graph = read_graph(FAMILIES, &checkpoint).unwrap();
    (checkpoint, graph)
}

const TRAINED: [&str; 4] = ["bert-eras", "llama-sotu", "mixtral-sotu", "vit-fashion"];

#[test]
fn the_trained_models_are_shown() {
    for name in TRAINED {
        assert_snapshot!(name, trained(name).1.inspect_text(1));
    }
}

#[test]
fn fused_tied_and_taught_weights_are_told_apart() {
    assert_snapshot!("gpt2", published("gpt2", &[]).inspect_text(1));
    let fused = class("MixtralForCausalLM, fused").graph().unwrap();
    assert_snapshot!("mixtral-fused", fused.inspect_text(8));
    let taught = class("DeiTForImageClassificationWithTeacher").graph().unwrap();
    assert_snapshot!("deit-taught", taught.inspect_text(1));
}

#[test]
fn layers_that_differ_are_shown_one_by_one_and_bounds_as_bounds() {
    let (_, mut graph) = trained("bert-eras");
    let heads = graph.axes_below(graph.tree.root(), Role::Heads);
    graph.keep(heads[1], &[0, 1]);
    let neurons = graph.axes_below(graph.tree.root(), Role::Neurons);
    graph.resize(neurons[3], Extent::between(100, 300));
    let up = graph.places().site("layers[0].mlp.up").unwrap();
    graph.factor(up, Extent::exact(16)).unwrap();
    assert_snapshot!("bert-uneven", graph.inspect_text(1));
}

#[test]
fn every_published_model_fits_into_100_columns() {
    for name in published_counts().keys() {
        let text = published(name, &[]).inspect_text(1);
        let longest = text.lines().map(|line| line.chars().count()).max();
        assert!(longest <= Some(100), "{name}: {longest:?}");
    }
}

#[test]
fn parameters_are_the_tensors_of_the_files() {
    for name in TRAINED {
        let (checkpoint, graph) = trained(name);
        let json = graph.inspect_json(1);
        let bytes: u64 = checkpoint.tensors.values().map(|stored| stored.bytes).sum();
        assert_eq!(json["bytes"], bytes, "{name}");
        let elements = |tensor: &Value| -> u64 {
            tensor["shape"].as_array().unwrap().iter().map(|extent| extent.as_u64().unwrap()).product()
        };
        let params: u64 = json["parameters"].as_array().unwrap().iter().map(elements).sum();
        assert_eq!(json["params"], params, "{name}");
        assert_eq!(json["flops"].as_u64(), json["macs"].as_u64().map(|macs| 2 * macs));
    }
}

#[test]
fn axes_in_json_are_told_apart_by_their_paths() {
    for (class, saved) in classes() {
        let json = saved.graph().unwrap().inspect_json(1);
        let axes = json["axes"].as_array().unwrap();
        let paths: BTreeSet<&str> = axes.iter().map(|axis| axis["path"].as_str().unwrap()).collect();
        assert_eq!(paths.len(), axes.len(), "{class}");
        for parameter in json["parameters"].as_array().unwrap() {
            let named = parameter["axes"].as_array().unwrap().iter().flat_map(|dim| dim.as_array().unwrap());
            assert!(
                named.into_iter().all(|path| paths.contains(path.as_str().unwrap())),
                "{class}: {parameter}"
            );
        }
    }
}

#[test]
fn json_has_the_form_that_programs_read() {
    let graph = class("GPT2LMHeadModel").graph().unwrap();
    let mut json = graph.inspect_json(2);
    for list in ["axes", "parameters"] {
        json[list].as_array_mut().unwrap().truncate(5);
    }
    assert_snapshot!("json", serde_json::to_string_pretty(&json).unwrap());
}
