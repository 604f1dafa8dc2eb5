//! How rules change a plan, and what has to be made true again after they did.

use std::sync::Arc;

use petgraph::Direction;
use petgraph::visit::EdgeRef;

use super::key::key;
use super::task::{Does, Need, Task};
use super::{Plan, TaskId};
use crate::checkpoint::Digest;
use crate::graph::Graph;
use crate::pass::Rewrite;

/// A graph after a rewrite, from shapes alone.
pub fn effect(graph: &Graph, rewrite: &dyn Rewrite) -> Arc<Graph> {
    let mut graph = graph.clone();
    rewrite.effect(&mut graph);
    Arc::new(graph)
}

impl Plan {
    /// Takes a task out.
    pub fn remove(&mut self, id: TaskId) {
        self.tasks.remove_node(id);
        self.order.retain(|&other| other != id);
    }

    /// Takes a task out; who needed it needs `instead` from now on, in the same way.
    pub fn replace(&mut self, id: TaskId, instead: TaskId) {
        let users: Vec<(TaskId, Need)> = self
            .tasks
            .edges_directed(id, Direction::Outgoing)
            .map(|edge| (edge.target(), *edge.weight()))
            .collect();
        for (user, need) in users {
            self.tasks.add_edge(instead, user, need);
        }
        for entry in self.tasks.node_weights_mut().flat_map(Task::entries_mut) {
            if entry.task == id {
                entry.task = instead;
            }
        }
        self.remove(id);
    }

    /// As [`replace`](Self::replace), where `with` does from now on what both did.
    pub fn join(&mut self, id: TaskId, with: TaskId) {
        let steps = std::mem::take(&mut self.tasks[id].steps);
        let joined = &mut self.tasks[with].steps;
        joined.extend(steps);
        joined.sort_unstable();
        joined.dedup();
        self.replace(id, with);
    }

    /// Takes out what no save, measure or expectation needs; how many tasks that was.
    pub fn sweep_unused(&mut self) -> usize {
        let before = self.order.len();
        for id in self.order.clone().into_iter().rev() {
            let is_result = matches!(self.tasks[id].does, Does::Save(_) | Does::Measure(_) | Does::Expect(_));
            let is_used = self.tasks.neighbors_directed(id, Direction::Outgoing).next().is_some();
            if !is_result && !is_used && id != self.source() {
                self.remove(id);
            }
        }
        before - self.order.len()
    }

    /// Makes graphs, keys and order say again what the tasks do.
    ///
    /// # Panics
    /// Where tasks need each other in a circle.
    pub fn mend(&mut self) {
        self.reorder();
        for id in self.order.clone() {
            if let Some(rewriting) = self.tasks[id].rewriting() {
                let version = self.needed(id, Need::Version).expect("a rewrite is of a version");
                let graph = effect(self.graph(version), rewriting.rewrite.as_ref());
                self.tasks[id].rewriting_mut().expect("it was one just now").graph = graph;
            }
            let inputs = self.inputs(id);
            self.tasks[id].key =
                key(&self.tasks[id].does, &inputs, self.at, self.model.graph.times.as_deref());
        }
    }

    /// The keys of what a task needs. Where files are read in place of a version, the version counts.
    fn inputs(&self, id: TaskId) -> Vec<(Need, Digest)> {
        let mut inputs: Vec<(Need, Digest)> = self
            .tasks
            .edges_directed(id, Direction::Incoming)
            .filter(|edge| *edge.weight() != Need::Written)
            .map(|edge| (*edge.weight(), self.tasks[edge.source()].key))
            .collect();
        inputs.sort_unstable();
        inputs
    }
}
