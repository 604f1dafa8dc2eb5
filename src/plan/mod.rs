//! What a checked recipe comes down to: a graph of tasks, each of which says what it needs, reads and writes.
//!
//! ```text
//! 1 source   models/minilm
//! 2 score    magnitude of 12 axes    <- 1
//! 3 select   keep 8 of 12 each       <- 1, 2
//! 4 rewrite  keep heads in 6 layers  <- 1, 3
//! 5 save     out/minilm-8            <- 4
//! ```
//! Tasks of equal keys are one task, so sweeps share what they have in common and equal scores are computed once.

mod build;
mod change;
mod dot;
mod effect;
mod gain;
mod json;
mod key;
mod needs;
mod order;
mod table;
mod task;
#[cfg(test)]
mod tests;
mod text;
#[cfg(test)]
pub mod toys;

use std::path::PathBuf;
use std::sync::Arc;

use petgraph::Direction;
use petgraph::stable_graph::{NodeIndex, StableDiGraph};
use petgraph::visit::EdgeRef;

pub use build::build;
pub use change::effect;
pub use dot::dot;
pub use effect::{Effect, Places, is_below};
pub use json::json;
pub use needs::{BLOCK, Held, Needs, changed, last_uses, needs, peak, read, tensors_at};
pub use order::topological;
pub use table::{aligned, cut, line, needs_text, table};
pub use task::{Does, Entry, Expecting, Measuring, Need, Part, Rewriting, Saving, Storage, Task};
pub use text::{numbered, text};

use crate::check::MeasuredAt;
use crate::diagnostic::Diagnostic;
use crate::graph::{Cost, Graph};
use crate::pass::CostBound;
use crate::source::Span;

pub type TaskId = NodeIndex;

/// See the module's text.
#[derive(Debug, Clone)]
pub struct Plan {
    /// An edge leads from what is needed to who needs it.
    pub tasks: StableDiGraph<Task, Need>,
    /// All tasks, what is needed before who needs it: the order in which they are done.
    pub order: Vec<TaskId>,
    /// How many tasks there would be if equal ones were not one.
    pub wanted: usize,
    pub model: Model,
    /// The input that costs are stated for.
    pub at: MeasuredAt,
    pub title: Option<String>,
    pub header: Vec<(String, String)>,
    pub params: Vec<(String, String)>,
    /// By number, from 1: the first stands at 0.
    pub steps: Vec<Step>,
}

/// The model that the recipe starts from.
#[derive(Debug, Clone)]
pub struct Model {
    pub name: String,
    pub path: PathBuf,
    pub graph: Arc<Graph>,
    pub cost: Cost,
}

/// A step of the recipe, as reports number it.
#[derive(Debug, Clone)]
pub struct Step {
    pub number: usize,
    pub verb: &'static str,
    pub text: String,
    pub span: Span,
    /// The values of the sweeps around it.
    pub branch: Vec<String>,
    /// The cost before it, and what is known of the one after it.
    pub before: Cost,
    pub after: Cost,
    pub bound: Option<CostBound>,
    /// What it does beside costs, for people: `12 weights 2:4`.
    pub gain: String,
    pub notes: Vec<Diagnostic>,
}

impl Plan {
    pub fn task(&self, id: TaskId) -> &Task {
        &self.tasks[id]
    }

    pub fn step(&self, number: usize) -> &Step {
        &self.steps[number - 1]
    }

    /// Tasks in the order in which they are done.
    pub fn ordered(&self) -> impl Iterator<Item = (TaskId, &Task)> {
        self.order.iter().map(|&id| (id, &self.tasks[id]))
    }

    /// The task that answers one kind of need of another.
    pub fn needed(&self, id: TaskId, need: Need) -> Option<TaskId> {
        let mut edges = self.tasks.edges_directed(id, Direction::Incoming);
        edges.find(|edge| *edge.weight() == need).map(|edge| edge.source())
    }

    /// All that a task needs, in the order of its order.
    pub fn needs(&self, id: TaskId) -> Vec<TaskId> {
        self.neighbours(id, Direction::Incoming)
    }

    /// All who need a task.
    pub fn users(&self, id: TaskId) -> Vec<TaskId> {
        self.neighbours(id, Direction::Outgoing)
    }

    fn neighbours(&self, id: TaskId, direction: Direction) -> Vec<TaskId> {
        let mut found: Vec<TaskId> = self.tasks.neighbors_directed(id, direction).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The version that a task reads, from the one nearest to it to the source.
    pub fn lineage(&self, id: TaskId) -> Vec<TaskId> {
        let version = |id: &TaskId| self.needed(*id, Need::Version);
        std::iter::successors(self.needed(id, Need::Version), version).collect()
    }

    /// The graph of the version that a source or a rewrite makes; bounds where weights decide.
    pub fn graph(&self, version: TaskId) -> &Arc<Graph> {
        match &self.tasks[version].does {
            Does::Rewrite(rewriting) => &rewriting.graph,
            _ => &self.model.graph,
        }
    }

    pub fn saves(&self) -> impl Iterator<Item = (TaskId, &Saving)> {
        self.ordered().filter_map(|(id, task)| match &task.does {
            Does::Save(saving) => Some((id, saving)),
            _ => None,
        })
    }

    /// The source's task.
    pub fn source(&self) -> TaskId {
        let is_source = |id: &TaskId| matches!(self.tasks[*id].does, Does::Source);
        self.tasks.node_indices().find(is_source).expect("every plan begins with a source")
    }
}
