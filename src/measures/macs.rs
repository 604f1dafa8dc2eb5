//! `macs`: multiply-accumulates of one forward pass.

use crate::diagnostic::Diagnostic;
use crate::graph::{Between, Cost, SiteId};
use crate::measure;
use crate::pass::{Context, Measure};

measure! {
    /// Multiply-accumulates of one forward pass for the stated input: products of linear, convolution and attention operations
    /// (scores and values, causal ones in full). Norms, activations, softmax, biases and lookups are not counted.
    Macs = "macs" in Count {}
}

impl Measure for Macs {
    fn of_cost(&self, cost: &Cost) -> Option<Between> {
        Some(cost.macs)
    }

    fn measure(&self, _: &Context<'_>, cost: &Cost, _: Option<&[SiteId]>) -> Result<f64, Diagnostic> {
        Ok(cost.macs.max as f64)
    }
}
