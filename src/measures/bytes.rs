//! `bytes`: what the weights take on disk.

use crate::diagnostic::Diagnostic;
use crate::graph::{Between, Cost, SiteId};
use crate::measure;
use crate::pass::{Context, Measure};

measure! {
    /// Bytes of the stored weights, in the element types that they are stored in.
    Bytes = "bytes" in Bytes {}
}

impl Measure for Bytes {
    fn of_cost(&self, cost: &Cost) -> Option<Between> {
        Some(cost.bytes)
    }

    fn measure(&self, _: &Context<'_>, cost: &Cost, _: Option<&[SiteId]>) -> Result<f64, Diagnostic> {
        Ok(cost.bytes.max as f64)
    }
}
