//! `last_query_attention`: a token of a picture is worth what the last token of the prompt attends to it (FastV).

use std::sync::Arc;

use crate::criterion;
use crate::graph::{PictureRule, ReductionRule};
use crate::pass::Criterion;
use crate::pass::tokens::{Layer, Reducing};

criterion! {
    /// In a model that reads a picture beside a text, a token of the picture is worth as much as the last token attends to it, on
    /// average over heads, in the layer before the one that is named. Text is never dropped. What stays keeps its order and its
    /// position, so that rotary positions are those of the whole prompt. `keep 50%` is of the picture's tokens.
    ///
    /// FastV, arXiv:2403.06764; `language.layers[2]` is its K = 2, and `keep 50%` its R = 50 %.
    ///
    /// ```tamis
    /// drop tokens at language.layers[2] by last_query_attention keep 50%
    /// ```
    LastQueryAttention = "last_query_attention"
    {}
}

impl Criterion for LastQueryAttention {
    fn describe(&self) -> String {
        "last_query_attention".into()
    }

    fn reducing(&self) -> Option<Arc<dyn Reducing>> {
        Some(Arc::new(self.clone()))
    }
}

impl Reducing for LastQueryAttention {
    fn rule(&self, _: &Layer<'_>) -> ReductionRule {
        ReductionRule::Picture(PictureRule::LastQuery)
    }
}
