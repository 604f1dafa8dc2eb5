//! What a pass sees of the step that it lowers: the graph as the steps above left it, and what was selected in it.

use std::collections::BTreeMap;

use super::amount::{Budget, CostMeasure};
use super::noun::Noun;
use crate::diagnostic::{Code, Diagnostic, codes};
use crate::graph::{Cost, Graph};
use crate::source::Span;
use crate::syntax::ast::ClauseKind;

/// A step in its place.
#[derive(Debug)]
pub struct StepScope<'a> {
    pub graph: &'a Graph,
    /// The recipe's input model.
    pub source: &'a Graph,
    /// One for each noun, in the order written. None is empty.
    pub targets: &'a [Target],
    /// The cost of the recipe's input model, which shares refer to.
    pub input: &'a Cost,
    /// The batch that costs are stated for.
    pub batch: u64,
    pub verb: Span,
    pub clauses: &'a BTreeMap<ClauseKind, Span>,
}

/// The elements or weights that a noun means in a step.
#[derive(Debug, Clone)]
pub struct Target {
    pub noun: &'static Noun,
    pub span: Span,
    /// `heads[0, 3]`: these elements, ascending, checked against each axis.
    pub indices: Option<Vec<usize>>,
    /// Paths of the axes whose elements are meant.
    pub axes: Vec<String>,
    /// Paths of the sites whose weights are meant.
    pub sites: Vec<String>,
    /// Paths of the layers whose tokens are meant.
    pub layers: Vec<String>,
    /// How many of the noun one element of an axis is: query heads that share a key/value head; else 1.
    pub group: usize,
}

impl StepScope<'_> {
    /// The place of a clause's value, or of the verb where the clause was not written.
    pub fn span(&self, clause: ClauseKind) -> Span {
        self.clauses.get(&clause).copied().unwrap_or(self.verb)
    }

    /// Whether the step names no place: the whole model is meant.
    pub fn is_everywhere(&self) -> bool {
        !self.clauses.contains_key(&ClauseKind::Of) && !self.clauses.contains_key(&ClauseKind::At)
    }

    /// The largest cost that a budget allows; shares are of the input model's.
    ///
    /// # Errors
    /// Where it bounds time, and no table says how long anything takes.
    pub fn at_most(&self, budget: Budget) -> Result<u64, Diagnostic> {
        if budget.measure == CostMeasure::Latency && self.graph.times.is_none() {
            let message = "how long this model takes is not known";
            let help = "measure it, `tamis time MODEL --out times.json`, and say `measure at { times: \"times.json\" }`";
            return Err(self.at(ClauseKind::To, &codes::NO_TIMES, message).help(help));
        }
        Ok(budget.at_most(self.input))
    }

    pub fn at(&self, clause: ClauseKind, code: &'static Code, message: impl Into<String>) -> Diagnostic {
        Diagnostic::at(code, self.span(clause), message)
    }

    /// All axes of all nouns.
    pub fn axes(&self) -> Vec<String> {
        self.targets.iter().flat_map(|target| target.axes.iter().cloned()).collect()
    }

    /// All sites of all nouns.
    pub fn sites(&self) -> Vec<String> {
        self.targets.iter().flat_map(|target| target.sites.iter().cloned()).collect()
    }
}
