//! `lamp`: a weight's share of the energy of those at least as large, so that layers can compete.

use crate::criterion;
use crate::pass::{Criterion, ElementScores};
use crate::tensor::lamp::lamp_scores;
use crate::weights::Reach;

criterion! {
    /// Layer-adaptive magnitude: the square of a weight over the sum of the squares of all weights of its matrix that are at
    /// least as large (LAMP; DIMAP, arXiv:2404.13648, uses it by module).
    ///
    /// The largest weight of each matrix scores 1, so that no layer can be emptied, and scaling a matrix changes nothing. Made
    /// for `scope: group` and `scope: global`; within one matrix it orders as `magnitude` does.
    Lamp = "lamp" {}
}

impl Criterion for Lamp {
    fn describe(&self) -> String {
        "lamp".into()
    }

    fn elements(&self) -> Option<&dyn ElementScores> {
        Some(self)
    }
}

impl ElementScores for Lamp {
    fn reach(&self) -> Reach {
        Reach::Matrix
    }

    fn score(&self, _: &str, _: usize, weights: &[f32], scores: &mut [f32]) {
        lamp_scores(weights, scores).expect("weights are finite, and as many as scores");
    }
}
