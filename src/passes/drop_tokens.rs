//! `drop tokens`: tokens that matter little go on their way through the layers.

use crate::diagnostic::Diagnostic;
use crate::pass;
use crate::pass::tokens::{Amount, Reduced, Schedule};
use crate::pass::{Budget, Lowering, Pass, Quantity, Scorer, StepScope};

pass! {
    /// Drops tokens between the attention and the feed-forward of layers: those of the lowest scores. From there on there are
    /// fewer, and every later operation costs less. No weight changes, and tokens are chosen anew for each sample. A class token in
    /// front, and whatever else the model reads by number, always stays.
    ///
    /// `keep 70%` and `remove 10` count in each named layer by itself; a share is rounded up. `to 60% macs` looks for the share
    /// that brings the whole model within the budget.
    ///
    /// Of a model that reads a picture beside a text only the picture's tokens go, before a layer and by the layer before it:
    /// `last_query_attention` and `text_attention` say which.
    ///
    /// A model that says something of every token, makes text, or places tokens relative to each other is refused.
    /// The rule is saved in the graph beside the weights, with a modeling file for `transformers`; where a text's hidden states
    /// are then fewer than its tokens, the output's `attention_mask` says how many tokens each stands for.
    ///
    /// ```tamis
    /// drop tokens at layers[1] by cls_attention keep 70%
    /// ```
    DropTokens = "drop" ["tokens"]
    {
        /// How tokens are scored.
        By criterion: Scorer = "cls_attention",
        /// How many stay in each layer; a share is of those that can go.
        Keep keep: Option<Quantity>,
        /// How many go in each layer.
        Remove remove: Option<Quantity>,
        /// What the whole model may cost.
        To budget: Option<Budget>,
    }
    with {
        /// How `remove` spreads over the layers.
        schedule: Schedule = "constant",
    }
}

impl Pass for DropTokens {
    fn lower(&self, step: &StepScope<'_>) -> Result<Lowering, Diagnostic> {
        let reducing = self.criterion.reducing(false)?;
        let amount = Amount::read(step, &*reducing, self.keep, self.remove, self.budget, self.schedule)?;
        let by = self.criterion.criterion.describe();
        Reduced::new(step, &*reducing, None, by).lower(step, amount)
    }
}
