//! Families against transformers: counts and tensors of published architectures, from their configs alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tamis::checkpoint::{Checkpoint, read_graph};
use tamis::families::FAMILIES;
use tamis::graph::Graph;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/published_configs")
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn published(name: &str) -> Graph {
    let checkpoint = Checkpoint::from_config(&golden().join(format!("{name}.json"))).unwrap();
    read_graph(FAMILIES, &checkpoint).unwrap_or_else(|error| panic!("{name}: {error:#?}"))
}

#[test]
fn parameters_are_those_that_transformers_counts() {
    let counts = json(&golden().join("params.json"));
    for (name, counts) in counts["configs"].as_object().unwrap() {
        if !std::env::var("ONLY").map_or(true, |only| name.contains(&only)) {
            continue;
        }
        let graph = published(name);
        assert_eq!(graph.cost(1).params.known(), counts["parameters"].as_u64(), "{name}");
    }
}
