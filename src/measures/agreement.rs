//! `agreement`: how often the model predicts what the input model does.

use crate::diagnostic::Diagnostic;
use crate::graph::{Cost, SiteId};
use crate::measure;
use crate::observe::{compared, no_logits};
use crate::pass::{Context, Data, Measure};

measure! {
    /// The share of equal predictions of this model and the input model: of samples, or of tokens of a language model.
    Agreement = "agreement" in Share
    {
        /// What both models are shown. It needs no labels.
        data: Data,
    }
}

impl Measure for Agreement {
    fn data(&self) -> Vec<Data> {
        vec![self.data.clone()]
    }

    fn measure(&self, at: &Context<'_>, _: &Cost, _: Option<&[SiteId]>) -> Result<f64, Diagnostic> {
        compared(at, &self.data)?.agreement.ok_or_else(|| no_logits(&self.data))
    }
}
