//! The common way to put fewer tokens through layers: a criterion says which go, clauses say how many.
//!
//! Passes over tokens differ in what becomes of those that go, not in how it is done. No weight changes: what a step does is
//! a rule of the graph, saved beside the weights.

mod amount;
mod rewrite;

use std::fmt::Debug;

pub use amount::{Amount, Schedule};
pub use rewrite::ReduceTokens;

use super::lowering::{Lowering, Stage};
use super::step::StepScope;
use crate::diagnostic::{Diagnostic, codes};
use crate::graph::{Graph, NotReduced, ReductionRule, TokenCount};
use crate::syntax::ast::ClauseKind;
use std::sync::Arc;

/// What a criterion says of tokens.
pub trait Reducing: Debug + Send + Sync {
    /// Which tokens go in a layer, and where.
    fn rule(&self, layer: &Layer<'_>) -> ReductionRule;

    /// Whether attention behind weighs a token by how many it stands for, where the recipe does not say.
    fn by_size(&self) -> bool {
        false
    }

    /// Whether how many go is decided by the tokens of each sample, so that no clause can say it.
    fn decides(&self) -> bool {
        false
    }
}

/// A layer that is to have fewer tokens.
#[derive(Debug, Clone, Copy)]
pub struct Layer<'a> {
    /// Its number among all layers of the model.
    pub number: usize,
    /// How many layers the model has.
    pub of: usize,
    pub path: &'a str,
}

/// The layers that a step names, each with its rule.
#[derive(Debug, Clone)]
pub struct Reduced {
    /// Numbers of layers, ascending.
    pub layers: Vec<usize>,
    pub rules: Vec<ReductionRule>,
    pub by_size: bool,
    /// The criterion, as written.
    pub by: String,
}

impl Reduced {
    /// The layers of a step, with a criterion's rules.
    pub fn new(step: &StepScope<'_>, reducing: &dyn Reducing, by_size: Option<bool>, by: String) -> Self {
        let layers = layers(step);
        let of = step.graph.blocks.len();
        let rule = |&number: &usize| {
            let path = step.graph.tree.path(step.graph.blocks[number].node);
            reducing.rule(&Layer { number, of, path: &path })
        };
        let rules = layers.iter().map(rule).collect();
        Self { layers, rules, by_size: by_size.unwrap_or_else(|| reducing.by_size()), by }
    }

    /// The step as one rewrite.
    ///
    /// # Errors
    /// Where something behind needs every token, or so few tokens cannot be.
    pub fn lower(&self, step: &StepScope<'_>, amount: Amount) -> Result<Lowering, Diagnostic> {
        let whole = vec![TokenCount::Less(0); self.layers.len()];
        let graph = self.applied(step, &whole)?;
        let counts = amount.counts(step, self, graph)?;
        Ok(self.rewritten(step, counts))
    }

    /// The step as one rewrite, with what each layer keeps.
    ///
    /// # Errors
    /// Where something behind needs every token.
    pub fn lower_counts(
        &self,
        step: &StepScope<'_>,
        counts: Vec<TokenCount>,
    ) -> Result<Lowering, Diagnostic> {
        self.applied(step, &counts)?;
        Ok(self.rewritten(step, counts))
    }

    fn rewritten(&self, step: &StepScope<'_>, counts: Vec<TokenCount>) -> Lowering {
        let path = |&number: &usize| step.graph.tree.path(step.graph.blocks[number].node);
        let paths = self.layers.iter().map(path);
        let layers = paths.zip(counts).zip(self.rules.iter().cloned());
        let layers = layers.map(|((path, count), rule)| (path, count, rule)).collect();
        let rewrite = ReduceTokens { layers, by_size: self.by_size, by: self.by.clone() };
        Lowering {
            stages: vec![Stage { work: Vec::new(), rewrite: Arc::new(rewrite) }],
            ..Lowering::default()
        }
    }

    /// The graph with the reductions of the step.
    fn applied(&self, step: &StepScope<'_>, counts: &[TokenCount]) -> Result<Graph, Diagnostic> {
        let mut graph = step.graph.clone();
        for ((&layer, rule), &count) in self.layers.iter().zip(&self.rules).zip(counts) {
            let path = step.graph.tree.path(step.graph.blocks[layer].node);
            graph
                .reduce_tokens(layer, count, rule.clone(), self.by_size)
                .map_err(|why| refused(step, &path, why))?;
        }
        Ok(graph)
    }
}

/// The numbers of the layers that a step means, ascending.
pub fn layers(step: &StepScope<'_>) -> Vec<usize> {
    let named = &step.targets[0].layers;
    let is_named = |number: &usize| named.contains(&step.graph.tree.path(step.graph.blocks[*number].node));
    (0..step.graph.blocks.len()).filter(is_named).collect()
}

/// Why a layer cannot have fewer tokens, to the user.
pub fn refused(step: &StepScope<'_>, path: &str, why: NotReduced) -> Diagnostic {
    match why {
        NotReduced::NoPlace => {
            let message = format!("`{path}` is no attention and feed-forward, each added to the stream");
            step.at(ClauseKind::At, &codes::NOT_IN_MODEL, message)
        }
        NotReduced::Already => {
            let message = format!("`{path}` has fewer tokens already");
            step.at(ClauseKind::At, &codes::TOKENS_REDUCED, message)
                .help("say it in one step, or name other layers")
        }
        NotReduced::NoPicture(why) => {
            let message = format!("no tokens of a picture can go before `{path}`");
            step.at(ClauseKind::At, &codes::NOT_IN_MODEL, message).says(why)
        }
        NotReduced::Needed(needs) => {
            let message = format!("tokens cannot go in `{path}`: every one is needed behind it");
            Diagnostic::at(&codes::TOKENS_NEEDED, step.targets[0].span, message).says(needs)
        }
    }
}
