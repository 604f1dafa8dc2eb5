//! Zeros chosen by data, against PyTorch: input norms, Wanda and SparseGPT on the trained models.
//!
//! The reference computes in float64, tamis in f32; tolerances say what that costs, relative to the largest value of a vector.

use tamis::observe::{ObserveInputs, Statistic};
use tamis::pass::{Finding, Work};

use crate::run::Outcome;
use crate::trained::{float, floats, keys, near, open};

/// The matrix of a weight in f64, and its inputs.
fn matrix(done: &Outcome, path: &str) -> (Vec<f64>, usize) {
    let values = done.matrix(path).into_iter().map(f64::from).collect();
    let graph = &done.version.graph;
    let site = graph.places().site(path).expect("a site of that path");
    (values, graph.dim_extent(&graph.site_dims(site).1))
}

/// Four inputs a hexadecimal digit, the first in its highest bit; a bit is set where the weight stays.
fn kept(row: &[f64]) -> String {
    let digit = |four: &[f64]| four.iter().fold(0, |bits, it| bits * 2 + u32::from(*it != 0.0));
    row.chunks(4).map(|four| format!("{:x}", digit(four))).collect()
}

fn zeros(values: &[f64]) -> usize {
    values.iter().filter(|value| **value == 0.0).count()
}

/// Single squares are of f32 inputs, and their sums of f64: what remains is the rounding of the layers before, 1e-6.
#[test]
fn norms_of_inputs_are_those_of_pytorch() {
    for name in ["bert-eras", "llama-sotu", "vit-fashion", "mixtral-sotu"] {
        let trained = open(name);
        let golden = &trained.golden["input_norms"];
        let version = trained.version();
        let paths = keys(golden);
        let data = trained.data.clone();
        let observe = ObserveInputs::new(&version.graph, data, Statistic::Squares, &paths, None);
        let Finding::Statistics(seen) = observe.run(&trained.at(&version)).expect("samples are read") else {
            panic!("squares are statistics")
        };
        for path in &paths {
            let (what, squares, golden) = (format!("{name} {path}"), &seen.0[path], &golden[path]);
            near(&squares[..16], &floats(&golden["first"]), 2e-6, &what);
            near(&[squares.iter().sum()], &[float(&golden["sum"])], 2e-6, &what);
        }
    }
}

/// The zeros are the same to the weight, and nothing else changes: sums differ by the seven digits of the golden ones alone,
/// and the loss, which is worked out in f32, by 1e-5.
#[test]
fn wanda_keeps_what_it_keeps_in_pytorch() {
    for name in ["bert-eras", "llama-sotu", "mixtral-sotu"] {
        let trained = open(name);
        for (to, amount) in [("2:4", "2:4"), ("50%", "50% zeros")] {
            let done = trained.run(&format!("sparsify weights of layers[*] by wanda(calib) to {amount}"));
            let golden = &trained.golden["wanda"][to];
            for path in keys(&golden["weights"]) {
                let (what, of) = (format!("{name} {to} {path}"), &golden["weights"][&path]);
                let (values, inputs) = matrix(&done, &path);
                assert_eq!(zeros(&values), of["zeros"].as_u64().unwrap() as usize, "{what}");
                assert_eq!(kept(&values[..inputs]), of["kept in the first row"], "{what}");
                assert_eq!(kept(&values[values.len() - inputs..]), of["kept in the last row"], "{what}");
                let size: f64 = values.iter().map(|it| it.abs()).sum();
                near(&[size], &[float(&of["sum of magnitudes"])], 1e-6, &what);
                near(&[values.iter().sum::<f64>() + size], &[float(&of["sum"]) + size], 1e-6, &what);
            }
            near(&[trained.loss(&done.version)], &[float(&golden["loss"])], 1e-5, name);
        }
    }
}

/// tamis rounds what it changed to the stored type before the next layer sees it, the reference rounds nothing. In the first
/// layer single values are therefore the same but for that rounding. From there on they differ, as one zero chosen otherwise
/// changes all weights behind it, and what is compared is how large the weights are and what the model loses.
#[test]
fn sparsegpt_gives_a_model_as_good_as_in_pytorch() {
    // Half a unit in the last place of the stored type: F16 and BF16.
    for (name, rounding) in [("bert-eras", 2f64.powi(-11)), ("llama-sotu", 2f64.powi(-8))] {
        let trained = open(name);
        for (to, amount) in [("2:4", "2:4"), ("50%", "50% zeros")] {
            let done = trained.run(&format!("sparsify weights of layers[*] by sparsegpt(calib) to {amount}"));
            let golden = &trained.golden["sparsegpt"][to];
            for path in keys(&golden["weights"]) {
                let (what, of) = (format!("{name} {to} {path}"), &golden["weights"][&path]);
                let (values, _) = matrix(&done, &path);
                assert_eq!(zeros(&values), of["zeros"].as_u64().unwrap() as usize, "{what}");
                let norm = values.iter().map(|it| it * it).sum::<f64>().sqrt();
                near(&[norm], &[float(&of["norm"])], 5e-3, &what);
                if path.starts_with("layers[0]") {
                    near(&values[..32], &floats(&of["first row"]), rounding, &what);
                }
            }
            let loss = trained.loss(&done.version);
            near(&[loss], &[float(&golden["loss"])], 2e-2, name);
            let wanda = float(&trained.golden["wanda"][to]["loss"]);
            assert!(loss < wanda, "{name} {to}: {loss}, by wanda {wanda}");
        }
    }
}
