//! The same steps as other programs do them; `tests/golden/weights.py` says which, and how.

use std::collections::BTreeMap;
use std::fs;

use serde::Deserialize;
use tamis::tensor::DType;

use crate::model::{LLAMA, Matrix, linears, of_config};
use crate::run::run;
use crate::units::scores;

#[derive(Deserialize)]
struct Golden {
    steps: Vec<Case>,
    units: Units,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    weights: BTreeMap<String, Values>,
    steps: String,
    result: BTreeMap<String, Values>,
    tolerance: f64,
}

#[derive(Deserialize)]
struct Values {
    shape: [usize; 2],
    values: Vec<f32>,
}

/// Scores of a Llama's elements: `PATH NORM`.
#[derive(Deserialize)]
struct Units {
    tensors: BTreeMap<String, Values>,
    scores: BTreeMap<String, Vec<f64>>,
}

fn golden() -> Golden {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/weights.json");
    let text = fs::read_to_string(path).expect("golden values are beside the tests");
    serde_json::from_str(&text).expect("golden values are cases and scores")
}

#[test]
fn other_programs_give_the_same_numbers() {
    let Golden { steps: cases, .. } = golden();
    assert_eq!(cases.len(), 12);
    for Case { name, weights, steps, result, tolerance } in cases {
        let matrices: Vec<Matrix<'_>> =
            weights.iter().map(|(path, it)| (path.as_str(), it.shape, it.values.as_slice())).collect();
        let done = run(&linears(DType::F32, &matrices), &steps);
        for (path, expected) in result {
            for (at, (now, expected)) in done.matrix(&path).iter().zip(&expected.values).enumerate() {
                let far = f64::from((now - expected).abs());
                assert!(far <= tolerance, "{name}: `{path}` number {at} is {now}, not {expected}");
            }
        }
    }
}

#[test]
fn other_programs_give_elements_the_same_scores() {
    let Golden { units: Units { tensors, scores: expected }, .. } = golden();
    let tensors: Vec<(&str, Vec<f32>)> =
        tensors.iter().map(|(name, it)| (name.as_str(), it.values.clone())).collect();
    let model = of_config(LLAMA, &tensors);
    assert_eq!(expected.len(), 4);
    for (of, expected) in expected {
        let (path, norm) = of.split_once(' ').expect("a path and a norm");
        let found = scores(&model, &format!("magnitude(norm: {norm})"), path);
        let near = found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(near && found.len() == expected.len(), "{of}: {found:?}, not {expected:?}");
    }
}
