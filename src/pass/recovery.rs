//! What a recovery is: how an output projection makes up for what was taken out in front of it.

use std::fmt::Debug;

use super::reader::Data;

/// What a projection is fitted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aim {
    /// What the input model's projection gave.
    Output,
    /// The input model's stream behind it: what went wrong in the stream before is made up for too.
    Stream,
}

/// What was seen of a projection at work beside the input model's: sums over all rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Equations {
    /// `X^T X [inputs, inputs]` of its inputs.
    pub gram: Vec<f64>,
    /// `X^T R [inputs, out]`, where R is what is missing: the aim less what there is.
    pub cross: Vec<f64>,
    /// The sum of X `[inputs]`.
    pub inputs: Vec<f64>,
    /// The sum of R `[out]`.
    pub missing: Vec<f64>,
    /// The sum of squares of R.
    pub error: f64,
    pub rows: f64,
}

/// An output projection, as it is and as it will be.
#[derive(Debug, Clone, PartialEq)]
pub struct Projected {
    /// `[out, inputs]`
    pub weight: Vec<f32>,
    /// `[out]`, where the model has biases there.
    pub bias: Option<Vec<f32>>,
    pub out: usize,
    pub inputs: usize,
    /// Inputs that belong together: those of a head; 1 for neurons.
    pub unit: usize,
}

/// A way to make up for what was taken out.
pub trait Recovery: Debug + Send + Sync {
    /// What the model is shown.
    fn data(&self) -> &Data;

    fn aim(&self) -> Aim;

    /// Whether weights that are zero stay zero.
    fn keeps_zeros(&self) -> bool;

    /// Whether it needs a bias to change.
    fn needs_bias(&self) -> bool {
        false
    }

    /// Changes the projection. `false` leaves this one and all that follow as they are.
    ///
    /// # Errors
    /// What about the sums cannot be computed with.
    fn fit(&self, seen: &Equations, projection: &mut Projected) -> Result<bool, String>;

    /// All that it depends on beside the data.
    fn arguments(&self) -> serde_json::Value;
}
