//! `perplexity`: how many tokens a language model hesitates between.

use crate::diagnostic::{Diagnostic, codes};
use crate::graph::{Cost, SiteId};
use crate::measure;
use crate::observe::scored;
use crate::pass::{Context, Data, Measure, is_causal};

measure! {
    /// `e` to the mean cross entropy of a language model over all tokens that it predicts: every token of a window but the
    /// first. Windows start afresh, so that shorter ones give higher numbers: say `tokens` beside a figure.
    Perplexity = "perplexity" in Number
    {
        /// The text.
        data: Data,
    }
}

impl Measure for Perplexity {
    fn data(&self) -> Vec<Data> {
        vec![self.data.clone()]
    }

    fn measure(&self, at: &Context<'_>, _: &Cost, _: Option<&[SiteId]>) -> Result<f64, Diagnostic> {
        if !is_causal(&at.version.graph) {
            let message = "perplexity is of language models, and this model predicts no next token";
            return Err(
                Diagnostic::new(&codes::NO_LOSS, message).help("`loss` and `accuracy` are of classifiers")
            );
        }
        Ok(scored(at, &self.data)?.mean_loss().exp())
    }
}
