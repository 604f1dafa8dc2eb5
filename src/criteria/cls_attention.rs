//! `cls_attention`: a token is worth what the class token attends to it (EViT).

use std::sync::Arc;

use crate::criterion;
use crate::graph::{ReductionRule, TokenScore};
use crate::pass::Criterion;
use crate::pass::tokens::{Layer, Reducing};

criterion! {
    /// A token is worth as much as the class token attends to it, on average over heads, in the layer where tokens go. Those that
    /// stay come out sorted by it. With `fuse` those that go are added up, times their scores, in one token more at the end.
    ///
    /// EViT, arXiv:2202.07800; the authors drop in layers 3, 6 and 9 of 12.
    ///
    /// ```tamis
    /// drop tokens at layers[1] by cls_attention(fuse: true) keep 70%
    /// ```
    ClsAttention = "cls_attention"
    {
        /// Whether the tokens that go become one.
        fuse: bool = "false",
    }
}

impl Criterion for ClsAttention {
    fn describe(&self) -> String {
        format!("cls_attention(fuse: {})", self.fuse)
    }

    fn reducing(&self) -> Option<Arc<dyn Reducing>> {
        Some(Arc::new(self.clone()))
    }
}

impl Reducing for ClsAttention {
    fn rule(&self, _: &Layer<'_>) -> ReductionRule {
        ReductionRule::Drop { score: TokenScore::FirstAttention, fuse: self.fuse, sorted: true }
    }
}
