//! `mask_tuning`: heads and neurons that are left, made larger or smaller.

use std::sync::Arc;

use faer::Mat;
use serde_json::json;

use crate::criterion;
use crate::pass::{Aim, Criterion, Data, Equations, Projected, Recovery};
use crate::tensor::solve::{product, solve};

criterion! {
    /// Scales each head and neuron that is left so that the stream behind it comes near to the input model's (Kwon et al.).
    ///
    /// The scales `x` of a block are `1 + d`, where `d` is least in `|A^T A d - A^T R|^2 + |d|^2`: the columns of `A` are what each
    /// unit adds to the stream, and `R` is what is missing of the input model's stream. For heads a number that is added to
    /// all outputs is found with them, and goes into the bias where there is one. Blocks are tuned one after the other, attention
    /// before feed-forward. Where a scale comes out beyond 10, that block and those after it stay as they are.
    ///
    /// Unlike the published code it tunes the first attention too, takes all tokens in the last feed-forward, and solves the
    /// equations exactly.
    ///
    /// ```tamis
    /// data calib = text("calib.jsonl", samples: 128)
    /// prune heads, neurons of layers[*] by magnitude to 60% flops
    /// recover outputs of layers[*] by mask_tuning(calib)
    /// ```
    ///
    /// A Fast Post-Training Pruning Framework for Transformers, arXiv:2204.09656, section 4.3.
    MaskTuning = "mask_tuning"
    {
        /// What the model is shown.
        data: Data,
    }
}

/// No unit is scaled by more.
const MOST: f64 = 10.0;

impl Criterion for MaskTuning {
    fn describe(&self) -> String {
        format!("mask_tuning({})", self.data.reader.describe())
    }

    fn data(&self) -> Vec<Data> {
        vec![self.data.clone()]
    }

    fn recovery(&self) -> Option<Arc<dyn Recovery>> {
        Some(Arc::new(self.clone()))
    }
}

impl Recovery for MaskTuning {
    fn data(&self) -> &Data {
        &self.data
    }

    fn aim(&self) -> Aim {
        Aim::Stream
    }

    fn keeps_zeros(&self) -> bool {
        true
    }

    fn fit(&self, seen: &Equations, projection: &mut Projected) -> Result<bool, String> {
        tune(seen, projection)
    }

    fn arguments(&self) -> serde_json::Value {
        json!({ "mask tuning": MOST })
    }
}

/// Scales the units of a projection; `false` where one would be scaled too much.
fn tune(seen: &Equations, projection: &mut Projected) -> Result<bool, String> {
    let (normal, missing) = equations(seen, projection);
    let units = projection.inputs / projection.unit;
    let change = damped(&normal, &missing).ok_or("what its units give is not finite")?;
    if (0..units).any(|unit| (1.0 + change[(unit, 0)]).abs() > MOST) {
        return Ok(false);
    }
    let (inputs, width) = (projection.inputs, projection.unit);
    for (at, weight) in projection.weight.iter_mut().enumerate() {
        let scale = 1.0 + change[(at % inputs / width, 0)];
        *weight = (f64::from(*weight) * scale) as f32;
    }
    if let (true, Some(bias)) = (normal.nrows() > units, &mut projection.bias) {
        bias.iter_mut().for_each(|bias| *bias = (f64::from(*bias) + change[(units, 0)]) as f32);
    }
    Ok(true)
}

/// `A^T A` and `A^T R`: a column a unit, and for heads with a bias one of ones.
fn equations(seen: &Equations, projection: &Projected) -> (Mat<f64>, Mat<f64>) {
    let Projected { out, inputs, unit: width, .. } = *projection;
    let weight = Mat::from_fn(out, inputs, |row, column| f64::from(projection.weight[row * inputs + column]));
    let products = product(weight.transpose(), weight.as_ref());
    let units = inputs / width;
    let intercept = usize::from(width > 1 && projection.bias.is_some());
    let sum =
        |unit: usize, of: &dyn Fn(usize) -> f64| (unit * width..(unit + 1) * width).map(of).sum::<f64>();
    // What input j adds to all outputs and rows together.
    let total = |j: usize| seen.inputs[j] * (0..out).map(|o| weight[(o, j)]).sum::<f64>();
    let normal = Mat::from_fn(units + intercept, units + intercept, |row, column| {
        match (row < units, column < units) {
            (true, true) => sum(row, &|i| sum(column, &|j| products[(i, j)] * seen.gram[i * inputs + j])),
            (true, false) => sum(row, &total),
            (false, true) => sum(column, &total),
            (false, false) => seen.rows * out as f64,
        }
    });
    let missing = Mat::from_fn(units + intercept, 1, |row, _| match row < units {
        true => sum(row, &|j| (0..out).map(|o| weight[(o, j)] * seen.cross[j * out + o]).sum()),
        false => seen.missing.iter().sum(),
    });
    (normal, missing)
}

/// The `d` that is least in `|normal d - missing|^2 + |d|^2`.
fn damped(normal: &Mat<f64>, missing: &Mat<f64>) -> Option<Mat<f64>> {
    let mut squared = product(normal.transpose(), normal.as_ref());
    (0..squared.nrows()).for_each(|at| squared[(at, at)] += 1.0);
    solve(squared, product(normal.transpose(), missing.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked case of the method's card: A^T A = diag(10, 1), A^T B = (20, 1) gives the scales 1.990099 and 1.
    #[test]
    fn scales_by_hand() {
        let normal = Mat::from_fn(2, 2, |row, column| if row == column { [10.0, 1.0][row] } else { 0.0 });
        let missing = Mat::from_fn(2, 1, |row, _| [20.0 - 10.0, 1.0 - 1.0][row]);
        let change = damped(&normal, &missing).unwrap();
        assert!((1.0 + change[(0, 0)] - 1.990099).abs() < 1e-6 && change[(1, 0)] == 0.0);
    }

    fn by_hand(gram: f64, missing: f64) -> Equations {
        let seen = |value: f64| vec![value];
        Equations {
            gram: seen(gram),
            cross: seen(missing),
            inputs: seen(0.0),
            missing: seen(0.0),
            error: 0.0,
            rows: 1.0,
        }
    }

    /// Of two equal neurons one is gone: the other has to give twice as much.
    #[test]
    fn a_neuron_stands_in_for_its_twin() {
        let tuning = |gram: f64, missing: f64| {
            let mut projection = Projected { weight: vec![1.0], bias: None, out: 1, inputs: 1, unit: 1 };
            (tune(&by_hand(gram, missing), &mut projection), projection.weight[0])
        };
        assert_eq!(tuning(1e6, 1e6), (Ok(true), 2.0));
        assert_eq!(tuning(1e6, 0.0), (Ok(true), 1.0), "nothing is missing");
        assert_eq!(tuning(1e6, 1e7), (Ok(false), 1.0), "beyond the bound");
    }
}
