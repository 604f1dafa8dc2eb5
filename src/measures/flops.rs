//! `flops`: twice the multiply-accumulates.

use crate::diagnostic::Diagnostic;
use crate::graph::{Between, Cost, SiteId};
use crate::measure;
use crate::pass::{Context, Measure};

measure! {
    /// Floating-point operations of one forward pass for the stated input: two for each multiply-accumulate.
    Flops = "flops" in Count {}
}

impl Measure for Flops {
    fn of_cost(&self, cost: &Cost) -> Option<Between> {
        Some(cost.flops())
    }

    fn measure(&self, _: &Context<'_>, cost: &Cost, _: Option<&[SiteId]>) -> Result<f64, Diagnostic> {
        Ok(cost.flops().max as f64)
    }
}
