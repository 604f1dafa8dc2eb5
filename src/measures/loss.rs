//! `loss`: the mean cross entropy.

use crate::diagnostic::Diagnostic;
use crate::graph::{Cost, SiteId};
use crate::measure;
use crate::observe::scored;
use crate::pass::{Context, Data, Measure};

measure! {
    /// The mean cross entropy in nats: of a language model over every token but the first of each window, of a classifier over
    /// samples.
    Loss = "loss" in Number
    {
        /// What is predicted.
        data: Data,
    }
}

impl Measure for Loss {
    fn data(&self) -> Vec<Data> {
        vec![self.data.clone()]
    }

    fn measure(&self, at: &Context<'_>, _: &Cost, _: Option<&[SiteId]>) -> Result<f64, Diagnostic> {
        Ok(scored(at, &self.data)?.mean_loss())
    }
}
