//! The runtime against transformers: logits, hidden states and losses of the trained models, from `golden.json` beside each.
//!
//! Golden values have seven digits and are computed in f32, as ours are; 1e-4 of the largest value is what the order of
//! additions may cost.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value as Json;
use tamis::REGISTRY;
use tamis::checkpoint::{Checkpoint, read_graph};
use tamis::observe::Outputs;
use tamis::pass::{Input, Pixels, Sample};
use tamis::runtime::{Batch, Gates, Model, Value, batches, log_sum_exp};
use tamis::weights::Version;

pub fn trained(name: &str) -> (PathBuf, Version) {
    opened(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models").join(name))
}

pub fn opened(dir: PathBuf) -> (PathBuf, Version) {
    let checkpoint = Arc::new(Checkpoint::open(&dir).expect("the model is in the repository"));
    let graph = read_graph(REGISTRY.families, &checkpoint).expect("a graph");
    (dir, Version::open(graph, &checkpoint))
}

fn golden(dir: &Path) -> Json {
    serde_json::from_str(&fs::read_to_string(dir.join("golden.json")).unwrap()).unwrap()
}

pub fn floats(json: &Json) -> Vec<f64> {
    json.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

pub fn row(value: &Value, row: usize) -> Vec<f64> {
    let row = value.tensor.get(row).unwrap().to_vec1::<f32>().unwrap();
    row.into_iter().map(f64::from).collect()
}

pub fn agree(found: &[f64], golden: &[f64], what: &str) {
    let largest = golden.iter().fold(1e-6f64, |most, it| most.max(it.abs()));
    for (at, (found, golden)) in found.iter().zip(golden).enumerate() {
        let error = (found - golden).abs() / largest;
        assert!(error < 1e-4, "{what}, {at}: {found}, transformers has {golden}");
    }
}

pub fn forward(version: &Version, samples: Vec<Sample>) -> Outputs {
    let made = batches(samples.into_iter().map(Ok), usize::MAX, 1);
    let made: Vec<Batch> = made.collect::<Result<_, _>>().expect("samples are there");
    let [batch]: [Batch; 1] = made.try_into().expect("one batch");
    let model = Model::new(version);
    let mut outputs = Outputs::default();
    let weights = model.load().expect("weights are read");
    model.forward(&weights, &batch, &Gates::default(), &mut outputs).expect("it runs");
    outputs
}

/// The unpadded rows of a golden batch of token ids.
pub fn token_samples(inputs: &Json) -> Vec<Sample> {
    let rows =
        inputs["input_ids"].as_array().unwrap().iter().zip(inputs["attention_mask"].as_array().unwrap());
    rows.map(|(ids, mask)| {
        let real = floats(mask).iter().filter(|it| **it == 1.0).count();
        let ids = floats(ids)[..real].iter().map(|id| *id as u32).collect();
        Sample { input: Input::Tokens(ids), label: None }
    })
    .collect()
}

#[test]
fn the_classifier_answers_as_transformers_does() {
    let (dir, version) = trained("bert-eras");
    let golden = golden(&dir);
    let outputs = forward(&version, token_samples(&golden["inputs"]));
    let (logits, hidden) = (outputs.logits.unwrap(), outputs.hidden.unwrap());
    for sample in 0..logits.rows.samples() {
        agree(&row(&logits, sample), &floats(&golden["logits"][sample]), "logits");
        let rows = hidden.rows.of_sample(sample);
        agree(&row(&hidden, rows.start), &floats(&golden["hidden"]["first position"][sample]), "first");
        let last = &golden["hidden"]["last unpadded position"][sample];
        agree(&row(&hidden, rows.end - 1), &floats(last), "last");
    }
}

#[test]
fn language_models_answer_as_transformers_does() {
    for name in ["llama-sotu", "mixtral-sotu"] {
        let (dir, version) = trained(name);
        let golden = golden(&dir);
        let outputs = forward(&version, token_samples(&golden["inputs"]));
        let (logits, hidden) = (outputs.logits.unwrap(), outputs.hidden.unwrap());
        for position in golden["logits"].as_array().unwrap() {
            let sample = position["row"].as_u64().unwrap() as usize;
            let at = logits.rows.of_sample(sample).start + position["position"].as_u64().unwrap() as usize;
            agree(&row(&hidden, at), &floats(&position["hidden"]), name);
            agree(&row(&logits, at)[..32], &floats(&position["first 32"]), name);
            let all: Vec<f32> = row(&logits, at).into_iter().map(|it| it as f32).collect();
            agree(
                &[log_sum_exp(&all)],
                &[position["log of the sum of exponentials"].as_f64().unwrap()],
                name,
            );
        }
    }
}

#[test]
fn the_picture_classifier_answers_as_transformers_does() {
    let (dir, version) = trained("vit-fashion");
    let golden = golden(&dir);
    let file = dir.parent().unwrap().join("data/fashion-mnist/t10k-images-idx3-ubyte");
    let bytes = fs::read(file).unwrap();
    let picture = |at: usize| {
        let pixels = &bytes[16 + at * 784..16 + (at + 1) * 784];
        // As the preprocessor config says.
        let values = pixels.iter().map(|pixel| (f32::from(*pixel) / 255.0 - 0.286) / 0.353).collect();
        let pixels = Pixels { channels: 1, height: 28, width: 28, values };
        Sample { input: Input::Pixels(pixels), label: None }
    };
    let outputs = forward(&version, (0..4).map(picture).collect());
    let (logits, hidden) = (outputs.logits.unwrap(), outputs.hidden.unwrap());
    for sample in 0..4 {
        agree(&row(&logits, sample), &floats(&golden["logits"][sample]), "logits");
        let rows = hidden.rows.of_sample(sample);
        agree(&row(&hidden, rows.start), &floats(&golden["hidden"]["first position"][sample]), "first");
        agree(&row(&hidden, rows.end - 1), &floats(&golden["hidden"]["last position"][sample]), "last");
    }
}

/// Each sample's answer is its own, whatever stands beside it.
#[test]
fn samples_do_not_see_each_other() {
    let (dir, version) = trained("bert-eras");
    let samples = token_samples(&golden(&dir)["inputs"]);
    let together = forward(&version, samples.clone()).logits.unwrap();
    for (at, sample) in samples.into_iter().enumerate() {
        let alone = forward(&version, vec![sample]).logits.unwrap();
        agree(&row(&together, at), &row(&alone, 0), "alone and together");
    }
}

/// A model of which one layer at a time is in memory answers with the same bits: a large teacher is run so.
#[test]
fn layer_by_layer_answers_are_the_same() {
    for name in ["bert-eras", "mixtral-sotu"] {
        let (dir, version) = trained(name);
        let samples = token_samples(&golden(&dir)["inputs"]);
        let whole = forward(&version, samples.clone());
        let made: Vec<Batch> =
            batches(samples.into_iter().map(Ok), usize::MAX, 1).collect::<Result<_, _>>().unwrap();
        let mut by_layers = Outputs::default();
        Model::new(&version).run(&made, &mut by_layers).unwrap();
        let of = |outputs: Outputs| {
            outputs.logits.unwrap().tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        assert_eq!(of(by_layers), of(whole), "{name}");
    }
}
