//! `energy`: tokens that are like many others may merge, the others are protected (PiToMe).

use std::sync::Arc;

use crate::criterion;
use crate::graph::ReductionRule;
use crate::pass::Criterion;
use crate::pass::tokens::{Layer, Reducing};

criterion! {
    /// A token's energy is high where it is like many others: the mean over tokens of `f(cosine - margin)` of keys averaged over
    /// heads, with `f(v) = v` above 0 and `exp(v) - 1` below. Of the tokens of the highest energy every second goes into the most
    /// similar of the others; tokens of low energy, such as those of a small object, stay as they are.
    ///
    /// The margin falls from layer to layer, as `margin (1 - layer / layers)`.
    ///
    /// PiToMe, arXiv:2405.16148. Attention is not proportional unless the step says so, as in the authors' code.
    ///
    /// ```tamis
    /// merge tokens at layers[*] by energy keep 90%
    /// ```
    Energy = "energy"
    {
        /// The margin of the first layer.
        margin: f64 = "0.75",
    }
}

impl Criterion for Energy {
    fn describe(&self) -> String {
        format!("energy(margin: {})", self.margin)
    }

    fn reducing(&self) -> Option<Arc<dyn Reducing>> {
        Some(Arc::new(self.clone()))
    }
}

impl Reducing for Energy {
    fn rule(&self, layer: &Layer<'_>) -> ReductionRule {
        let left = 1.0 - layer.number as f64 / layer.of.max(1) as f64;
        ReductionRule::MergeByEnergy { margin: self.margin * left }
    }
}
