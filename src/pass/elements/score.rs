//! Scores of elements, by a criterion.

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
        json!({ "criterion": self.criterion.describe(), "axes": self.axes })
    }

    fn reads(&self) -> Vec<String> {
        self.axes.clone()
    }

    fn run(&self, version: &Version, _: Option<&Finding>) -> Result<Finding, Diagnostic> {
        let units = self.criterion.units().expect("a pass asks for unit scores before it lowers to this");
        units.score(version, &self.axes).map(Finding::UnitScores)
    }
}
