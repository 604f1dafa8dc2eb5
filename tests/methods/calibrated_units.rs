//! Scores of heads, neurons, hidden dims and layers by data, against PyTorch, on the trained models.
//!
//! The reference computes in float64, tamis in f32; tolerances say what that costs, relative to the largest value of a vector.

use crate::trained::{Trained, float, floats, keys, near, open, shown};

const MODELS: [&str; 3] = ["bert-eras", "llama-sotu", "vit-fashion"];

/// Scores of all axes of some golden values.
fn agree(trained: &Trained, criterion: &str, key: &str, tolerance: f64) {
    let golden = &trained.golden[key];
    let paths: Vec<String> = keys(golden).into_iter().filter(|key| key.starts_with("layers[")).collect();
    let found = trained.scores(criterion, &paths);
    for path in paths {
        shown(&found[&path], &golden[&path], tolerance, &format!("{criterion} {path}"));
    }
}

#[test]
fn squared_gradients_are_those_of_pytorch() {
    for name in MODELS {
        let trained = open(name);
        agree(&trained, "fisher(calib)", "fisher, batch 1", 1e-4);
        agree(&trained, "fisher(calib, batch: 8)", "fisher, batch 8", 1e-4);
    }
}

/// The golden values are gradients with their signs, of which the criterion takes the size or the square.
#[test]
fn first_order_changes_are_those_of_pytorch() {
    for name in MODELS {
        let trained = open(name);
        let golden = &trained.golden["gradient"];
        let (absolute, square) = ("taylor(calib, order: absolute)", "taylor(calib, order: square)");
        let paths = keys(golden);
        let (sizes, squares) = (trained.scores(absolute, &paths), trained.scores(square, &paths));
        for path in paths {
            let what = format!("{name} {path}");
            let of = &golden[&path];
            let first = floats(of.get("first").unwrap_or(of));
            let of_first = |change: fn(f64) -> f64| first.iter().map(|it| change(*it)).collect::<Vec<f64>>();
            near(&sizes[&path][..first.len()], &of_first(f64::abs), 1e-4, &what);
            near(&squares[&path][..first.len()], &of_first(|it| it * it), 1e-4, &what);
            if let Some(golden) = of.get("squares") {
                near(&[squares[&path].iter().sum()], &[float(golden)], 1e-4, &what);
            }
        }
    }
}

#[test]
fn activations_are_as_large_as_in_pytorch() {
    for name in MODELS {
        let trained = open(name);
        agree(&trained, "activation(calib)", "activation", 1e-5);
        let found = trained.scores("activation(calib)", &["hidden".into()]);
        near(&found["hidden"], &floats(&trained.golden["activation"]["hidden"]), 1e-5, name);
    }
}

#[test]
fn layers_turn_what_goes_through_them_as_in_pytorch() {
    for name in [&MODELS[..], &["mixtral-sotu"]].concat() {
        let trained = open(name);
        let found = trained.scores("block_influence(calib)", &["layers".into()]);
        near(&found["layers"], &floats(&trained.golden["block_influence"]), 1e-5, name);
    }
}

/// Scores are shares of a mean over all heads that are asked for, in the golden values as well.
#[test]
fn optin_ranks_heads_as_in_pytorch() {
    for name in ["bert-eras", "vit-fashion"] {
        let trained = open(name);
        let golden = &trained.golden["optin"];
        let paths: Vec<String> = keys(golden).into_iter().filter(|path| path.ends_with("heads")).collect();
        let found = trained.scores("optin(calib)", &paths);
        let largest = |of: &mut dyn Iterator<Item = f64>| of.fold(0.0, f64::max);
        let _ = largest;
        for path in &paths {
            near(&found[path], &floats(&golden[path]["importance"]), 1e-4, &format!("{name} {path}"));
        }
    }
}
