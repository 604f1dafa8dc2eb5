//! `least_squares`: output projections that give what they gave before.

use std::sync::Arc;

use faer::Mat;
use serde_json::json;

use crate::criterion;
use crate::pass::{Aim, Criterion, Data, Equations, Projected, Ratio, Recovery};
use crate::tensor::solve::solve;

criterion! {
    /// Fits output projections anew: from the inputs that are left they give what the input model's gave, as nearly as can be over
    /// the data.
    ///
    /// `W + D` with `(X^T X + ridge m I) D^T = X^T R`, where `R` is what is missing of the input model's output and `m` the mean of
    /// the diagonal of `X^T X`. The ridge holds weights to what they are: where nothing is missing, nothing changes. Projections
    /// are fitted one after the other, each to inputs that have come through those before it. Biases stay.
    ///
    /// ```tamis
    /// data calib = text("calib.jsonl", samples: 128)
    /// prune heads, neurons of layers[*] by magnitude to 60% flops
    /// recover outputs of layers[*] by least_squares(calib)
    /// ```
    ///
    /// He, Zhang and Sun, Channel Pruning for Accelerating Very Deep Neural Networks, arXiv:1707.06168, reconstruction.
    LeastSquares = "least_squares"
    {
        /// What the model is shown.
        data: Data,
        /// How strongly weights are held to what they are, as a share of the mean square of an input.
        ridge: Ratio = "10%",
    }
}

impl Criterion for LeastSquares {
    fn describe(&self) -> String {
        format!("least_squares({}, ridge: {})", self.data.reader.describe(), self.ridge.0)
    }

    fn data(&self) -> Vec<Data> {
        vec![self.data.clone()]
    }

    fn recovery(&self) -> Option<Arc<dyn Recovery>> {
        Some(Arc::new(self.clone()))
    }
}

impl Recovery for LeastSquares {
    fn data(&self) -> &Data {
        &self.data
    }

    fn aim(&self) -> Aim {
        Aim::Output
    }

    fn keeps_zeros(&self) -> bool {
        false
    }

    fn fit(&self, seen: &Equations, projection: &mut Projected) -> Result<bool, String> {
        let (out, inputs) = (projection.out, projection.inputs);
        let mean = (0..inputs).map(|at| seen.gram[at * inputs + at]).sum::<f64>() / inputs.max(1) as f64;
        if mean == 0.0 {
            return Ok(true);
        }
        let own = |row: usize, column: usize| if row == column { self.ridge.0 * mean } else { 0.0 };
        let gram =
            Mat::from_fn(inputs, inputs, |row, column| seen.gram[row * inputs + column] + own(row, column));
        let cross = Mat::from_fn(inputs, out, |row, column| seen.cross[row * out + column]);
        let change = solve(gram, cross)
            .ok_or("the products of its inputs cannot be inverted: a larger `ridge` may help")?;
        for (at, weight) in projection.weight.iter_mut().enumerate() {
            *weight = (f64::from(*weight) + change[(at % inputs, at / inputs)]) as f32;
        }
        Ok(true)
    }

    fn arguments(&self) -> serde_json::Value {
        json!({ "least squares": self.ridge.0 })
    }
}
