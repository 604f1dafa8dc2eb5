//! Graphs of published configs, and checkpoints of zeros as transformers would write them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use tamis::checkpoint::{Checkpoint, read_graph};
use tamis::diagnostic::{Diagnostics, Style, human};
use tamis::families::FAMILIES;
use tamis::graph::Graph;
use tamis::source::Sources;
use tempfile::TempDir;

pub fn golden(path: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(path);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// What transformers counts for each published config.
pub fn published_counts() -> Map<String, Value> {
    golden("published_configs/params.json")["configs"].as_object().unwrap().clone()
}

/// The graph of a published config with some fields changed, from the config alone.
pub fn published(name: &str, changes: &[(&str, Value)]) -> Graph {
    let mut config = golden(&format!("published_configs/{name}.json"));
    for (key, value) in changes {
        config[key] = value.clone();
    }
    from_config(&config).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The graph of a config alone, or the diagnostics as a person reads them.
pub fn from_config(config: &Value) -> Result<Graph, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    std::fs::write(&path, serde_json::to_string_pretty(config).unwrap()).unwrap();
    graph(Checkpoint::from_config(&path).map_err(Diagnostics::from), &dir)
}

fn graph(checkpoint: Result<Checkpoint, Diagnostics>, dir: &TempDir) -> Result<Graph, String> {
    let mut sources = Sources::new();
    let graph = checkpoint.and_then(|mut checkpoint| {
        // Messages must not depend on the name of a directory that is made for the test.
        checkpoint.config.path = PathBuf::from("config.json");
        checkpoint.config.register(&mut sources);
        read_graph(FAMILIES, &checkpoint)
    });
    let shown = |error: Diagnostics| {
        human(&error, &sources, Style::default()).replace(&dir.path().display().to_string(), "DIR")
    };
    graph.map_err(shown)
}

pub type Shapes = BTreeMap<String, Vec<usize>>;

/// Names and shapes of the weights.
pub fn shapes(graph: &Graph) -> Shapes {
    graph.weights().map(|(_, param)| (param.name.resolve(), graph.shape(param))).collect()
}

/// A checkpoint: its config, element type and shape of its tensors.
#[derive(Debug, Clone)]
pub struct Saved {
    pub config: Value,
    pub tensors: BTreeMap<String, (String, Vec<usize>)>,
}

/// Every class of `golden/heads.json`.
pub fn classes() -> BTreeMap<String, Saved> {
    let all = golden("heads.json");
    let read = |saved: &Value| Saved {
        config: saved["config"].clone(),
        tensors: serde_json::from_value(saved["tensors"].clone()).unwrap(),
    };
    all.as_object().unwrap().iter().map(|(class, saved)| (class.clone(), read(saved))).collect()
}

pub fn class(name: &str) -> Saved {
    classes().remove(name).unwrap()
}

impl Saved {
    pub fn shapes(&self) -> Shapes {
        self.tensors.iter().map(|(name, (_, shape))| (name.clone(), shape.clone())).collect()
    }

    pub fn elements(&self) -> u64 {
        self.tensors.values().map(|(_, shape)| shape.iter().product::<usize>() as u64).sum()
    }

    pub fn rename(&mut self, rename: impl Fn(&str) -> String) {
        let tensors = std::mem::take(&mut self.tensors);
        self.tensors = tensors.into_iter().map(|(name, tensor)| (rename(&name), tensor)).collect();
    }

    pub fn add(&mut self, name: &str, dtype: &str, shape: &[usize]) {
        self.tensors.insert(name.into(), (dtype.into(), shape.to_vec()));
    }

    /// A directory with weights of zeros.
    pub fn write(&self) -> TempDir {
        let mut header = Map::new();
        let mut end = 0;
        for (name, (dtype, shape)) in &self.tensors {
            let size = if dtype == "I64" { 8 } else { 4 };
            let start = end;
            end += shape.iter().product::<usize>() * size;
            header.insert(
                name.clone(),
                json!({ "dtype": dtype, "shape": shape, "data_offsets": [start, end] }),
            );
        }
        let header = Value::from(header).to_string();
        let file = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; end]].concat();
        let dir = tempfile::tempdir().unwrap();
        let config = serde_json::to_string_pretty(&self.config).unwrap();
        std::fs::write(dir.path().join("config.json"), config).unwrap();
        std::fs::write(dir.path().join("model.safetensors"), file).unwrap();
        dir
    }

    /// The graph, or the diagnostics as a person reads them.
    pub fn graph(&self) -> Result<Graph, String> {
        read(&self.write())
    }
}

/// The graph of a directory.
pub fn read(dir: &TempDir) -> Result<Graph, String> {
    graph(Checkpoint::open(dir.path()).map_err(Diagnostics::from), dir)
}
