//! `random`: chance, to compare with.

use std::collections::BTreeMap;

use crate::criterion;
use crate::diagnostic::Diagnostic;
use crate::pass::{Context, Criterion, ElementScores, UnitScores};
use crate::tensor::random::Stream;
use crate::weights::Reach;

criterion! {
    /// Chance, as a baseline: what a criterion is worth shows beside it.
    ///
    /// Scores depend on the seed, on the place in the model's tree and on the number of the weight or element alone, never on
    /// threads. Weights that are zero already come last, so that a share of zeros is met whatever the steps before did.
    ///
    /// ```tamis
    /// sparsify weights of layers[*].mlp by random(seed: 7) to 50% zeros
    /// prune neurons of layers[*] by random keep 75%
    /// ```
    Random = "random"
    {
        /// Another seed makes another choice.
        seed: u64 = "0",
    }
}

impl Criterion for Random {
    fn describe(&self) -> String {
        format!("random(seed: {})", self.seed)
    }

    fn elements(&self) -> Option<&dyn ElementScores> {
        Some(self)
    }

    fn units(&self) -> Option<&dyn UnitScores> {
        Some(self)
    }
}

impl ElementScores for Random {
    fn reach(&self) -> Reach {
        Reach::Inputs(1)
    }

    fn score(&self, place: &str, first: usize, weights: &[f32], scores: &mut [f32]) {
        Stream::new(self.seed, place).fill(first as u64, scores);
        for (score, weight) in scores.iter_mut().zip(weights) {
            *score = if *weight == 0.0 { 0.0 } else { 1.0 - *score };
        }
    }
}

impl UnitScores for Random {
    fn score(&self, at: &Context<'_>, axes: &[String]) -> Result<BTreeMap<String, Vec<f64>>, Diagnostic> {
        let (graph, places) = (&at.version.graph, at.version.graph.places());
        let of_axis = |path: &String| {
            let axis = places.axis(path).expect("the checker and the run agree on paths");
            let stream = Stream::new(self.seed, path);
            let scores = (0..graph.extent(axis).max).map(|element| stream.uniform(element as u64).into());
            (path.clone(), scores.collect())
        };
        Ok(axes.iter().map(of_axis).collect())
    }
}
