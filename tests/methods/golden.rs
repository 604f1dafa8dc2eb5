//! The same steps as other programs do them; `tests/golden/weights.py` says which, and how.

use std::collections::BTreeMap;
use std::fs;

use serde::Deserialize;
use tamis::tensor::DType;

use crate::model::{Matrix, linears};
use crate::run::run;

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

#[test]
fn other_programs_give_the_same_numbers() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/weights.json");
    let text = fs::read_to_string(path).expect("golden values are beside the tests");
    let cases: Vec<Case> = serde_json::from_str(&text).expect("golden values are cases");
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
