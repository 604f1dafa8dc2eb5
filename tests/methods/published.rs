//! The runtime against transformers on published models: `tests/golden/runtime.json`, made by `runtime.py` beside it.
//!
//! These models are too large for the repository, so the tests run when asked for, with the directory that holds them:
//! `TAMIS_MODELS=DIR cargo test --test methods published -- --ignored`. The tolerance is that of the trained models.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use tamis::observe::Outputs;
use tamis::pass::{Input, Pixels, Sample};
use tamis::runtime::log_sum_exp;
use tamis::weights::Version;

use crate::runtime::{agree, floats, forward, opened, row, token_samples};

fn models() -> PathBuf {
    std::env::var_os("TAMIS_MODELS").expect("TAMIS_MODELS says where the models are").into()
}

fn golden(name: &str) -> (Version, Json) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/runtime.json");
    let mut golden: Json = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    (opened(models().join(name)).1, golden[name].take())
}

/// The last hidden states at the places that were written down.
fn hidden_agrees(outputs: &Outputs, golden: &Json, what: &str) {
    let hidden = outputs.hidden.as_ref().expect("hidden states");
    for place in golden.as_array().unwrap() {
        let [sample, position] = ["row", "position"].map(|key| place[key].as_u64().unwrap() as usize);
        let at = hidden.rows.of_sample(sample).start + position;
        agree(&row(hidden, at), &floats(&place["values"]), what);
    }
}

#[test]
#[ignore = "needs TAMIS_MODELS"]
fn minilm_answers_as_transformers_does() {
    let (version, golden) = golden("minilm");
    let outputs = forward(&version, token_samples(&golden["inputs"]));
    hidden_agrees(&outputs, &golden["hidden"], "hidden");
    let means = outputs.hidden.as_ref().unwrap().mean().unwrap();
    for (sample, pooled) in golden["pooled"].as_array().unwrap().iter().enumerate() {
        agree(&row(&means, sample), &floats(pooled), "pooled");
    }
}

#[test]
#[ignore = "needs TAMIS_MODELS"]
fn smollm2_answers_as_transformers_does() {
    let (version, golden) = golden("smollm2");
    let outputs = forward(&version, token_samples(&golden["inputs"]));
    hidden_agrees(&outputs, &golden["hidden"], "hidden");
    let logits = outputs.logits.as_ref().expect("logits");
    for place in golden["logits"].as_array().unwrap() {
        let [sample, position] = ["row", "position"].map(|key| place[key].as_u64().unwrap() as usize);
        let found = row(logits, logits.rows.of_sample(sample).start + position);
        let best = place["top ids"].as_array().unwrap().iter();
        let best: Vec<f64> = best.map(|id| found[id.as_u64().unwrap() as usize]).collect();
        agree(&best, &floats(&place["top logits"]), "the largest logits");
        agree(&found[..32], &floats(&place["first 32"]), "logits");
        let all: Vec<f32> = found.iter().map(|it| *it as f32).collect();
        let sum = place["log of the sum of exponentials"].as_f64().unwrap();
        agree(&[log_sum_exp(&all)], &[sum], "the sum of exponentials");
    }
}

#[test]
#[ignore = "needs TAMIS_MODELS"]
fn dinov2_answers_as_transformers_does() {
    let (version, golden) = golden("dinov2-small");
    for case in golden["cases"].as_array().unwrap() {
        let samples = pictures(&case["inputs"], &golden);
        let first = &samples[0];
        for (channel, values) in
            case["inputs"]["pixel_values at [0, c, 100, 90..98]"].as_array().unwrap().iter().enumerate()
        {
            let row = (channel * first.height + 100) * first.width + 90;
            let found: Vec<f64> = first.values[row..row + 8].iter().map(|it| f64::from(*it)).collect();
            agree(&found, &floats(values), "pixels");
        }
        let sample = |pixels| Sample { input: Input::Pixels(pixels), label: None };
        let outputs = forward(&version, samples.into_iter().map(sample).collect());
        hidden_agrees(&outputs, &case["hidden"], &case["inputs"].to_string()[..60]);
    }
}

/// The pictures that `runtime.py` describes.
fn pictures(of: &Json, golden: &Json) -> Vec<Pixels> {
    let size = of["size"].as_u64().unwrap() as usize;
    let pixels = |value: &dyn Fn(usize, usize, usize) -> f32| {
        let at = |place: usize| value(place / size / size, place / size % size, place % size);
        Pixels { channels: 3, height: size, width: size, values: (0..3 * size * size).map(at).collect() }
    };
    let Some(file) = of.get("file") else {
        let wave =
            |c: usize, y: usize, x: usize| (0.01 * (c as f64 + 1.0) * x as f64 + 0.02 * y as f64).sin();
        return vec![pixels(&|c, y, x| wave(c, y, x) as f32)];
    };
    let mut bytes = Vec::new();
    let packed = fs::File::open(models().join(file.as_str().unwrap())).unwrap();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(packed), &mut bytes).unwrap();
    let [mean, std] = ["image_mean", "image_std"].map(|key| floats(&golden[key]));
    let numbers = of["pictures"].as_array().unwrap().iter().map(|number| number.as_u64().unwrap() as usize);
    let picture = |number: usize| {
        let grey = &bytes[16 + number * 784..][..784];
        pixels(&|c, y, x| {
            let byte = f32::from(grey[y / 8 * 28 + x / 8]);
            (byte / 255.0 - mean[c] as f32) / std[c] as f32
        })
    };
    numbers.map(picture).collect()
}
