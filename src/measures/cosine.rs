//! `cosine`: how much the model's answers point where the input model's do.

use crate::diagnostic::Diagnostic;
use crate::graph::{Cost, SiteId};
use crate::measure;
use crate::observe::compared;
use crate::pass::{Context, Data, Measure};

measure! {
    /// The mean cosine between this model's answers and the input model's: of a classifier between the logits of a sample, of a
    /// language model between the last hidden states of a token, of an encoder without head between the mean hidden states of a
    /// sample. 1 is the same direction.
    Cosine = "cosine" in Number
    {
        /// What both models are shown. It needs no labels.
        data: Data,
    }
}

impl Measure for Cosine {
    fn data(&self) -> Vec<Data> {
        vec![self.data.clone()]
    }

    fn measure(&self, at: &Context<'_>, _: &Cost, _: Option<&[SiteId]>) -> Result<f64, Diagnostic> {
        Ok(compared(at, &self.data)?.cosine)
    }
}
