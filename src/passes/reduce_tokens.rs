//! `reduce tokens`: lists that say how many tokens each layer has left, first by dropping and then by merging.

use crate::diagnostic::{Diagnostic, codes};
use crate::graph::{ReductionRule, TokenCount};
use crate::pass;
use crate::pass::tokens::{Reduced, layers};
use crate::pass::{Counts, Lowering, Pass, StepScope};

pass! {
    /// Gives each layer numbers of its own: after `prune` those tokens are left that the class token attends to most, of which
    /// those behind the first `merge` go into the ones that they are most like by features. Counts include the class token;
    /// where there are fewer tokens already, nothing happens.
    ///
    /// Such lists are what DiffRate learns, arXiv:2305.17997; its authors publish them for DeiT and ViT. A mean over merged
    /// tokens is a plain one, and a token's size grows by what comes times its cosine, as there.
    ///
    /// ```tamis
    /// reduce tokens at layers[1, 2] with { prune: [120, 80], merge: [100, 60] }
    /// ```
    ReduceTokens = "reduce" ["tokens"]
    {}
    with {
        /// How many tokens are left in each layer once the least attended are dropped.
        prune: Counts,
        /// How many of those are left once the next ones are merged.
        merge: Counts,
        /// Whether attention behind weighs tokens by their size.
        proportional_attention: bool = "true",
    }
}

impl Pass for ReduceTokens {
    fn lower(&self, step: &StepScope<'_>) -> Result<Lowering, Diagnostic> {
        let layers = layers(step);
        for (name, list) in [("prune", &self.prune.0), ("merge", &self.merge.0)] {
            if list.len() != layers.len() {
                let message = format!("`{name}` has {} numbers for {} layers", list.len(), layers.len());
                return Err(Diagnostic::at(&codes::OUT_OF_RANGE, step.targets[0].span, message)
                    .help("write a number for each layer that the step names"));
            }
        }
        let rules = self.prune.0.iter().map(|&kept| ReductionRule::MergeByAttention { kept }).collect();
        let both = self.prune.0.iter().zip(&self.merge.0);
        let counts = both.map(|(&prune, &merge)| TokenCount::Exactly(prune.min(merge))).collect();
        let by = "given lists".to_owned();
        Reduced { layers, rules, by_size: self.proportional_attention, by }.lower_counts(step, counts)
    }
}
