//! `kl`: how far the model's probabilities are from the input model's.

use crate::diagnostic::Diagnostic;
use crate::graph::{Cost, SiteId};
use crate::measure;
use crate::observe::{compared, no_logits};
use crate::pass::{Context, Data, Measure};

measure! {
    /// The mean Kullback-Leibler divergence `KL(input || this)` of predicted probabilities in nats: over samples, or over tokens
    /// of a language model. 0 is the same.
    Kl = "kl" in Number
    {
        /// What both models are shown. It needs no labels.
        data: Data,
    }
}

impl Measure for Kl {
    fn data(&self) -> Vec<Data> {
        vec![self.data.clone()]
    }

    fn measure(&self, at: &Context<'_>, _: &Cost, _: Option<&[SiteId]>) -> Result<f64, Diagnostic> {
        compared(at, &self.data)?.kl.ok_or_else(|| no_logits(&self.data))
    }
}
