//! Families against transformers: counts and tensors of published architectures, from their configs alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tamis::checkpoint::{Checkpoint, read_graph};
use tamis::families::FAMILIES;
use tamis::graph::Graph;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/published_configs")
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The graph of a config alone.
fn graph(path: &Path) -> Graph {
    let checkpoint = Checkpoint::from_config(path).unwrap();
    read_graph(FAMILIES, &checkpoint).unwrap_or_else(|error| panic!("{}: {error:#?}", path.display()))
}

/// The graph of a published config with some fields changed.
fn published(name: &str, changes: &[(&str, Value)]) -> Graph {
    let mut config = json(&golden().join(format!("{name}.json")));
    for (key, value) in changes {
        config[key] = value.clone();
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    std::fs::write(&path, config.to_string()).unwrap();
    graph(&path)
}

fn params(name: &str, changes: &[(&str, Value)]) -> Option<u64> {
    published(name, changes).cost(1).params.known()
}

/// The field that counts layers.
fn layers_key(name: &str) -> &'static str {
    match name {
        _ if name.starts_with("gpt2") => "n_layer",
        _ if name.starts_with("distilbert") => "n_layers",
        _ => "num_hidden_layers",
    }
}

#[test]
fn parameters_are_those_that_transformers_counts() {
    let counts = json(&golden().join("params.json"));
    for (name, counts) in counts["configs"].as_object().unwrap() {
        assert_eq!(params(name, &[]), counts["parameters"].as_u64(), "{name}");
        let bare = ("architectures", Value::from(vec![counts["base"].as_str().unwrap()]));
        assert_eq!(params(name, &[bare]), counts["base_parameters"].as_u64(), "{name}");
        let two = (layers_key(name), Value::from(2));
        assert_eq!(params(name, &[two]), counts["layers_2_parameters"].as_u64(), "{name}");
    }
}

#[test]
fn tensors_are_those_that_transformers_saves() {
    let counts = json(&golden().join("params.json"));
    for name in counts["configs"].as_object().unwrap().keys() {
        let saved = json(&golden().join(format!("{name}.tensors.json")));
        let graph = published(name, &[(layers_key(name), saved["layers"].clone())]);
        let ours: BTreeMap<String, Vec<usize>> =
            graph.weights().map(|(_, param)| (param.name.resolve(), graph.shape(param))).collect();
        let theirs: BTreeMap<String, Vec<usize>> =
            serde_json::from_value::<Vec<(String, Vec<usize>)>>(saved["tensors"].clone())
                .unwrap()
                .into_iter()
                .collect();
        assert_eq!(ours, theirs, "{name}");
    }
}
