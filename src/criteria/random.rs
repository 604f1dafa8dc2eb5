//! `random`: chance, to compare with.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::criterion;
use crate::diagnostic::Diagnostic;
use crate::graph::{ReductionRule, TokenScore};
use crate::pass::tokens::{Layer, Reducing};
use crate::pass::{Context, Criterion, Data, ElementScores, Grouping, Seen, Sight, UnitScores};
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
    /// drop tokens at layers[*] by random keep 90%
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

    fn reducing(&self) -> Option<Arc<dyn Reducing>> {
        Some(Arc::new(self.clone()))
    }

    fn grouping(&self) -> Option<Arc<dyn Grouping>> {
        Some(Arc::new(self.clone()))
    }
}

impl Reducing for Random {
    fn rule(&self, layer: &Layer<'_>) -> ReductionRule {
        let start = Stream::new(self.seed, layer.path).start();
        ReductionRule::Drop { score: TokenScore::Random { start }, fuse: false, sorted: false }
    }
}

impl Grouping for Random {
    fn data(&self) -> Option<&Data> {
        None
    }

    fn sight(&self) -> Sight {
        Sight::Routing
    }

    /// A random order; the first ones have a group of their own, each other one comes into any.
    fn groups(&self, seen: &Seen<'_>, into: usize) -> Result<Vec<usize>, Diagnostic> {
        let stream = Stream::new(self.seed, seen.place);
        let chance = |at: usize| stream.uniform(at as u64);
        let mut order: Vec<usize> = (0..seen.experts).collect();
        order.sort_by(|&a, &b| chance(a).total_cmp(&chance(b)));
        let mut groups = vec![0; seen.experts];
        for (place, &expert) in order.iter().enumerate() {
            let any = (chance(seen.experts + place) * into as f32) as usize;
            groups[expert] = if place < into { place } else { any.min(into - 1) };
        }
        Ok(groups)
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
