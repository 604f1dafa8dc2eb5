//! Scores of elements, by a criterion.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;

use crate::diagnostic::Diagnostic;
use crate::graph::Graph;
use crate::pass::{Context, Criterion, Data, Finding, Work, WorkKind};

/// Scores every element of some axes.
#[derive(Debug)]
pub struct ScoreElements {
    pub criterion: Arc<dyn Criterion>,
    /// Paths of the axes.
    pub axes: Vec<String>,
    /// Paths of all that is read for it: the axes, or the whole model where it is looked at while it runs.
    reads: Vec<String>,
}

impl ScoreElements {
    pub fn new(graph: &Graph, criterion: Arc<dyn Criterion>, axes: Vec<String>) -> Self {
        let reads = if criterion.data().is_empty() { axes.clone() } else { everything(graph) };
        Self { criterion, axes, reads }
    }
}

/// All places of a model: what is read when it runs.
pub fn everything(graph: &Graph) -> Vec<String> {
    graph.sites.iter().map(|(_, site)| graph.tree.path(site.node)).collect()
}

impl Work for ScoreElements {
    fn kind(&self) -> WorkKind {
        WorkKind::Score
    }

    fn describe(&self) -> String {
        format!("{} of {}", self.criterion.describe(), super::keep::places(&self.axes))
    }

    fn arguments(&self) -> serde_json::Value {
        json!({ "scores of elements by": self.criterion.describe(), "axes": self.axes })
    }

    fn reads(&self) -> Vec<String> {
        self.reads.clone()
    }

    fn without(&self, gone: &BTreeSet<String>) -> Option<Arc<dyn Work>> {
        if !self.criterion.data().is_empty() {
            return None;
        }
        let left: Vec<String> = self.axes.iter().filter(|path| !gone.contains(*path)).cloned().collect();
        let criterion = Arc::clone(&self.criterion);
        (!left.is_empty())
            .then(|| Arc::new(Self { criterion, reads: left.clone(), axes: left }) as Arc<dyn Work>)
    }

    fn merged(&self, other: &dyn Work) -> Option<Arc<dyn Work>> {
        const BY: &str = "scores of elements by";
        if other.arguments().get(BY) != self.arguments().get(BY) {
            return None;
        }
        let asked = other.arguments();
        let asked = asked.get("axes")?.as_array()?.iter().filter_map(serde_json::Value::as_str);
        let new = asked.map(str::to_owned).filter(|path| !self.axes.contains(path));
        let axes: Vec<String> = self.axes.iter().cloned().chain(new).collect();
        let reads = if self.criterion.data().is_empty() { axes.clone() } else { self.reads.clone() };
        Some(Arc::new(Self { criterion: Arc::clone(&self.criterion), axes, reads }))
    }

    fn data(&self) -> Vec<Data> {
        self.criterion.data()
    }

    fn run(&self, at: &Context<'_>) -> Result<Finding, Diagnostic> {
        let units = self.criterion.units().expect("a pass asks for unit scores before it lowers to this");
        units.score(at, &self.axes).map(Finding::UnitScores)
    }
}
