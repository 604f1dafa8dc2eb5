//! `merge tokens`: tokens that are alike become one on their way through the layers.

use crate::diagnostic::Diagnostic;
use crate::pass;
use crate::pass::tokens::{Amount, Reduced, Schedule};
use crate::pass::{Budget, Lowering, Pass, Quantity, Scorer, StepScope};

pass! {
    /// Merges tokens between the attention and the feed-forward of layers: from there on there are fewer, and every later
    /// operation costs less. No weight changes, and tokens are chosen anew for each sample. A class token in front, and whatever
    /// else the model reads by number, always stays.
    ///
    /// `keep 90%` and `remove 13` count in each layer by itself; at most half of its tokens can go. `to 60% macs` looks for the
    /// number that brings the whole model within the budget. With `proportional_attention` a token counts in later attention as
    /// many times as it stands for tokens, and means over tokens count it so too.
    ///
    /// A model that says something of every token, makes text, or places tokens relative to each other is refused.
    /// The rule is saved in the graph beside the weights, with a modeling file for `transformers`; where a text's hidden states
    /// are then fewer than its tokens, the output's `attention_mask` says how many tokens each stands for.
    ///
    /// ```tamis
    /// merge tokens at layers[*] by key_similarity remove 2
    /// ```
    MergeTokens = "merge" ["tokens"]
    {
        /// Which tokens are alike.
        By criterion: Scorer = "key_similarity",
        /// How many stay in each layer; a share is of those that can go.
        Keep keep: Option<Quantity>,
        /// How many go in each layer.
        Remove remove: Option<Quantity>,
        /// What the whole model may cost.
        To budget: Option<Budget>,
    }
    with {
        /// Whether attention weighs tokens by their size; where nothing is said, as the method's authors do.
        proportional_attention: Option<bool>,
        /// How `remove` and `to` spread over the layers.
        schedule: Schedule = "constant",
    }
}

impl Pass for MergeTokens {
    fn lower(&self, step: &StepScope<'_>) -> Result<Lowering, Diagnostic> {
        let reducing = self.criterion.reducing(true)?;
        let amount = Amount::read(step, &*reducing, self.keep, self.remove, self.budget, self.schedule)?;
        let by = self.criterion.criterion.describe();
        Reduced::new(step, &*reducing, self.proportional_attention, by).lower(step, amount)
    }
}
