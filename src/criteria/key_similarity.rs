//! `key_similarity`: tokens are alike whose keys are (ToMe).

use std::sync::Arc;

use crate::criterion;
use crate::graph::ReductionRule;
use crate::pass::Criterion;
use crate::pass::tokens::{Layer, Reducing};

criterion! {
    /// Tokens are as alike as their keys: the cosine of keys averaged over heads. Tokens at even places are paired with the most
    /// similar one at an odd place, and the most similar pairs become one token, the mean by size.
    ///
    /// Token Merging (ToMe), arXiv:2210.09461. Attention is proportional unless the step says otherwise, as it is there; models
    /// that were pretrained as masked autoencoders do better without.
    ///
    /// ```tamis
    /// merge tokens at layers[*] by key_similarity to 70% macs
    /// ```
    KeySimilarity = "key_similarity"
    {}
}

impl Criterion for KeySimilarity {
    fn describe(&self) -> String {
        "key_similarity".into()
    }

    fn reducing(&self) -> Option<Arc<dyn Reducing>> {
        Some(Arc::new(self.clone()))
    }
}

impl Reducing for KeySimilarity {
    fn rule(&self, _: &Layer<'_>) -> ReductionRule {
        ReductionRule::MergePairs
    }

    fn by_size(&self) -> bool {
        true
    }
}
