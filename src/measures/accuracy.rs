//! `accuracy`: the share that is predicted right.

use crate::diagnostic::Diagnostic;
use crate::graph::{Cost, SiteId};
use crate::measure;
use crate::observe::scored;
use crate::pass::{Context, Data, Measure};

measure! {
    /// The share of samples whose most likely class is their label; of a language model the share of tokens that were the
    /// most likely ones. Of equal logits the first counts.
    Accuracy = "accuracy" in Share
    {
        /// What is predicted, with labels where the model is a classifier.
        data: Data,
    }
}

impl Measure for Accuracy {
    fn data(&self) -> Vec<Data> {
        vec![self.data.clone()]
    }

    fn measure(&self, at: &Context<'_>, _: &Cost, _: Option<&[SiteId]>) -> Result<f64, Diagnostic> {
        let scored = scored(at, &self.data)?;
        Ok(scored.right as f64 / scored.count.max(1) as f64)
    }
}
