//! `attention_mass`: a token is worth what all tokens attend to it.

use std::sync::Arc;

use crate::criterion;
use crate::graph::{ReductionRule, TokenScore};
use crate::pass::Criterion;
use crate::pass::tokens::{Layer, Reducing};

criterion! {
    /// A token is worth as much as all tokens attend to it, summed over them and averaged over heads, in the layer where tokens go.
    /// Those that stay keep their order; padding neither scores nor is scored.
    ///
    /// The significance of PoWER-BERT, arXiv:2001.08950.
    ///
    /// ```tamis
    /// drop tokens at layers[*] by attention_mass to 60% macs
    /// ```
    AttentionMass = "attention_mass"
    {}
}

impl Criterion for AttentionMass {
    fn describe(&self) -> String {
        "attention_mass".into()
    }

    fn reducing(&self) -> Option<Arc<dyn Reducing>> {
        Some(Arc::new(self.clone()))
    }
}

impl Reducing for AttentionMass {
    fn rule(&self, _: &Layer<'_>) -> ReductionRule {
        ReductionRule::Drop { score: TokenScore::AttentionMass, fuse: false, sorted: false }
    }
}
