//! `lamp`: magnitudes that compare across tensors of any scale.

use crate::criterion;
use crate::pass::{Criterion, ElementScores};
use crate::tensor::lamp::lamp_scores;
use crate::weights::Reach;

criterion! {
    /// The share of a weight in the energy of the weights of its matrix that are no smaller (LAMP, DIMAP).
    ///
    /// The score of w is w² over the sum of u² for all u of |u| ≥ |w|, so that scores compare whatever the scale of a
    /// matrix, and the largest weight of each scores 1: no layer collapses. Within one matrix the order is that of
    /// `magnitude`: the two differ where matrices compete, `with { scope: group }` as in DIMAP, or `scope: global`.
    ///
    /// ```tamis
    /// sparsify weights of layers[*] by lamp to 50% zeros with { scope: group }
    /// ```
    ///
    /// Data-independent Module-Aware Pruning, arXiv:2404.13648.
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
        lamp_scores(weights, scores).expect("as many scores as weights, and fewer than 2^32 of them");
    }
}
