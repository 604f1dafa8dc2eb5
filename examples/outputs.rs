//! What a model answers, number by number: for comparing tamis with other runtimes (`tests/golden/interop.py`).
//!
//! ```sh
//! echo '{"tokens": [[5, 6, 7], [8, 9]]}' | cargo run --release --example outputs -- tests/models/bert-eras
//! ```
//!
//! A sample of text is a list of ids without padding; `{"pixels": [[0.5, …]], "shape": [1, 28, 28]}` are pictures, and with
//! both each text has a picture. Standard output gets an object with the rows of each output, all samples' one after the other.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use tamis::REGISTRY;
use tamis::checkpoint::{Checkpoint, read_graph};
use tamis::pass::{Input, Pixels, Sample};
use tamis::runtime::{Batch, Failure, Inputs, Model, Rows, Value, Watch, batches};
use tamis::weights::Version;

/// Rows of outputs by name.
#[derive(Default)]
struct Outputs(BTreeMap<String, Vec<Vec<f32>>>);

impl Watch for Outputs {
    fn output(&mut self, name: &str, value: &Value, _: &Batch) -> Result<(), Failure> {
        let rows = value.tensor.to_vec2()?;
        self.0.entry(name.to_owned()).or_default().extend(rows);
        Ok(())
    }
}

fn main() {
    let dir = std::env::args().nth(1).expect("a model's directory");
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).expect("an object on standard input");
    let asked: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let checkpoint = Arc::new(Checkpoint::open(Path::new(&dir)).expect("a model"));
    let graph = read_graph(REGISTRY.families, &checkpoint).expect("a graph");
    let version = Version::open(graph, &checkpoint);
    let batches: Vec<Batch> = match both(&asked) {
        Some(both) => vec![both],
        None => batches(samples(&asked).into_iter().map(Ok), usize::MAX, 0)
            .map(|batch| batch.expect("read"))
            .collect(),
    };
    let mut outputs = Outputs::default();
    Model::new(&version).run(&batches, &mut outputs).unwrap_or_else(|failure| panic!("{failure:?}"));
    println!("{}", serde_json::to_string(&outputs.0).expect("plain data"));
}

/// Texts with a picture each.
fn both(asked: &serde_json::Value) -> Option<Batch> {
    let texts: Vec<Vec<u32>> = serde_json::from_value(asked.get("tokens")?.clone()).expect("lists of ids");
    let pictures: Vec<Vec<f32>> =
        serde_json::from_value(asked.get("pixels")?.clone()).expect("lists of numbers");
    let shape = serde_json::from_value(asked["shape"].clone()).expect("channels, height, width");
    let (rows, labels) = (Rows::of(texts.iter().map(Vec::len)), vec![None; texts.len()]);
    let inputs = Inputs::Both { ids: texts.concat(), rows, values: pictures.concat(), shape };
    Some(Batch { inputs, labels, first: 0 })
}

fn samples(asked: &serde_json::Value) -> Vec<Sample> {
    let of = |input: Input| Sample { input, label: None };
    if let Some(texts) = asked.get("tokens") {
        let texts: Vec<Vec<u32>> = serde_json::from_value(texts.clone()).expect("lists of ids");
        return texts.into_iter().map(|ids| of(Input::Tokens(ids))).collect();
    }
    let pictures: Vec<Vec<f32>> = serde_json::from_value(asked["pixels"].clone()).expect("lists of numbers");
    let [channels, height, width]: [usize; 3] =
        serde_json::from_value(asked["shape"].clone()).expect("channels, height, width");
    pictures.into_iter().map(|values| of(Input::Pixels(Pixels { channels, height, width, values }))).collect()
}
