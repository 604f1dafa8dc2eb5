//! `magnitude`: what is large matters.

mod units;

use std::collections::BTreeMap;

use crate::diagnostic::Diagnostic;
use crate::pass::{Context, Criterion, ElementScores, UnitScores};
use crate::tensor::norm;
use crate::weights::Reach;
use crate::{choice, criterion};

choice! {
    /// How the weights of an element add up to its score.
    pub enum Norm("a norm") {
        /// By their squares: the squared L2 norm.
        L2 = "l2",
        /// By their absolute values: the L1 norm.
        L1 = "l1",
    }
}

criterion! {
    /// What is large matters: a weight by its absolute value, a head, neuron, expert or layer by all of its weights.
    ///
    /// An element's weights are those that go with it: of a head its rows of query, key and value, their biases, and its
    /// columns of the output projection; of an expert or a layer all of its tensors, and an expert's row of the router.
    /// Scores are sums, of squares or of absolute values; no root is taken, so that the scores of several elements add up.
    /// Gains and biases of norms do not count for elements of an axis: they say how the residual stream is scaled, not
    /// what an element adds to it.
    ///
    /// ```tamis
    /// sparsify weights of layers[*].mlp by magnitude to 2:4
    /// prune neurons of layers[*] by magnitude(norm: l1) keep 75%
    /// ```
    Magnitude = "magnitude"
    {
        /// How the weights of a head, neuron or other element add up. Single weights are compared by absolute value in
        /// either case.
        norm: Norm = "l2",
    }
}

impl Criterion for Magnitude {
    fn describe(&self) -> String {
        match self.norm {
            Norm::L2 => "magnitude".into(),
            Norm::L1 => "magnitude(norm: l1)".into(),
        }
    }

    fn elements(&self) -> Option<&dyn ElementScores> {
        Some(self)
    }

    fn units(&self) -> Option<&dyn UnitScores> {
        Some(self)
    }
}

impl ElementScores for Magnitude {
    fn reach(&self) -> Reach {
        Reach::Inputs(1)
    }

    fn is_magnitude(&self) -> bool {
        true
    }

    fn score(&self, _: &str, _: usize, weights: &[f32], scores: &mut [f32]) {
        scores.iter_mut().zip(weights).for_each(|(score, weight)| *score = weight.abs());
    }
}

impl UnitScores for Magnitude {
    fn score(&self, at: &Context<'_>, axes: &[String]) -> Result<BTreeMap<String, Vec<f64>>, Diagnostic> {
        let norm = match self.norm {
            Norm::L1 => norm::Norm::L1,
            Norm::L2 => norm::Norm::SquaredL2,
        };
        units::sums(at.version, axes, norm)
    }
}
