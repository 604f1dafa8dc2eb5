//! `random`: scores without meaning, the baseline that any other criterion has to beat.

use std::collections::BTreeMap;

use crate::criterion;
use crate::diagnostic::Diagnostic;
use crate::pass::{Criterion, ElementScores, UnitScores};
use crate::tensor::random::Stream;
use crate::weights::{Reach, Version};

criterion! {
    /// Uniform random scores, from a seed and the place in the model alone: the same for any order of work.
    ///
    /// The baseline that any other criterion has to beat.
    Random = "random"
    {
        /// What the numbers start from.
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

    fn score(&self, place: &str, first: usize, _: &[f32], scores: &mut [f32]) {
        Stream::new(self.seed, place).fill(first as u64, scores);
    }
}

impl UnitScores for Random {
    fn score(&self, version: &Version, axes: &[String]) -> Result<BTreeMap<String, Vec<f64>>, Diagnostic> {
        let places = version.graph.places();
        let of_axis = |path: &String| {
            let axis = places.axis(path).expect("the checker and the run agree on paths");
            let stream = Stream::new(self.seed, path);
            let extent = version.graph.extent(axis).max as u64;
            (path.clone(), (0..extent).map(|element| f64::from(stream.uniform(element))).collect())
        };
        Ok(axes.iter().map(of_axis).collect())
    }
}
