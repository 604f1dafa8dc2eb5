//! `text_attention`: tokens of a picture go that the text behind it hardly attends to (MustDrop).

use std::sync::Arc;

use crate::criterion;
use crate::graph::{PictureRule, ReductionRule};
use crate::pass::tokens::{Layer, Reducing};
use crate::pass::{Criterion, Ratio};

criterion! {
    /// In a model that reads a picture beside a text, a token of the picture goes where the tokens of the text behind it attend to it
    /// less than `global` of what they attend to the whole picture, and none of them as much as `individual`: in the layer before
    /// the one that is named, on average over heads. Key tokens never go: the `key` share of the patches that the class token attends
    /// to most in the last layer of the vision tower that the text reads, rounded up. What stays is numbered anew.
    ///
    /// How many go depends on each picture and text, so that `keep` and `remove` are not written, and costs are intervals: from
    /// the key tokens alone to the whole picture.
    ///
    /// The prefilling stage of MustDrop, arXiv:2411.10803, section 3.3, with the key set of 3.2; what it drops "after layers 2, 6,
    /// 10 and 14" goes before `language.layers[3, 7, 11, 15]`.
    ///
    /// ```tamis
    /// drop tokens at language.layers[3] by text_attention(global: 0.001, individual: 0.001)
    /// ```
    TextAttention = "text_attention"
    {
        /// Of what the text attends to the picture, the share below which a token may go.
        global: f64 = "0.001",
        /// What a token of the text has to attend to one of the picture for it to stay.
        individual: f64 = "0.001",
        /// The share of patches that never go.
        key: Ratio = "8%",
    }
}

impl Criterion for TextAttention {
    fn describe(&self) -> String {
        let Self { global, individual, key } = self;
        format!("text_attention(global: {global}, individual: {individual}, key: {})", key.0)
    }

    fn reducing(&self) -> Option<Arc<dyn Reducing>> {
        Some(Arc::new(self.clone()))
    }
}

impl Reducing for TextAttention {
    fn rule(&self, _: &Layer<'_>) -> ReductionRule {
        let Self { global, individual, key: Ratio(key) } = *self;
        ReductionRule::Picture(PictureRule::ByText { global, individual, key })
    }

    fn decides(&self) -> bool {
        true
    }
}
