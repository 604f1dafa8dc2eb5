//! Scores of elements, by a criterion.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;

use crate::diagnostic::Diagnostic;
use crate::pass::{Criterion, Finding, Work, WorkKind};
use crate::weights::Version;

/// Scores every element of some axes.
#[derive(Debug)]
pub struct ScoreElements {
    pub criterion: Arc<dyn Criterion>,
    /// Paths of the axes.
    pub axes: Vec<String>,
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
        self.axes.clone()
    }

    fn without(&self, gone: &BTreeSet<String>) -> Option<Arc<dyn Work>> {
        let left: Vec<String> = self.axes.iter().filter(|path| !gone.contains(*path)).cloned().collect();
        let criterion = Arc::clone(&self.criterion);
        (!left.is_empty()).then(|| Arc::new(Self { criterion, axes: left }) as Arc<dyn Work>)
    }

    fn merged(&self, other: &dyn Work) -> Option<Arc<dyn Work>> {
        const BY: &str = "scores of elements by";
        if other.arguments().get(BY) != self.arguments().get(BY) {
            return None;
        }
        let new = other.reads().into_iter().filter(|path| !self.axes.contains(path));
        let axes = self.axes.iter().cloned().chain(new).collect();
        Some(Arc::new(Self { criterion: Arc::clone(&self.criterion), axes }))
    }

    fn run(&self, version: &Version, _: Option<&Finding>) -> Result<Finding, Diagnostic> {
        let units = self.criterion.units().expect("a pass asks for unit scores before it lowers to this");
        units.score(version, &self.axes).map(Finding::UnitScores)
    }
}
