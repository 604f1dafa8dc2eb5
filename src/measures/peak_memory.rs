//! `peak_memory`: what a forward pass holds at once.

use crate::diagnostic::Diagnostic;
use crate::graph::{Cost, SiteId};
use crate::measure;
use crate::pass::{Context, Count, Measure};

measure! {
    /// Bytes that a forward pass in f32 holds at once at most: all weights, and the values that later operations still need, each
    /// given up when its last reader has run. It is worked out from shapes, for texts of the length that `measure at` says or
    /// pictures of the config's size; what an operation needs for itself, attention's scores among it, does not count.
    PeakMemory = "peak_memory" in Bytes
    {
        /// Samples that go through the model together.
        batch: Count = "1",
    }
}

impl Measure for PeakMemory {
    fn measure(&self, at: &Context<'_>, cost: &Cost, _: Option<&[SiteId]>) -> Result<f64, Diagnostic> {
        let weights = cost.params.max * 4;
        Ok((weights + at.version.graph.peak_value_bytes() * self.batch.0 as u64) as f64)
    }
}
