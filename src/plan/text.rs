//! A plan as numbered lines.

use std::collections::BTreeMap;

use super::task::{Does, Storage, Task};
use super::{Plan, TaskId};

/// Descriptions are padded to this width at most, so that one long line does not push all arrows away.
const WIDEST: usize = 60;

/// A line a task, in the order in which they are done:
///
/// ```text
/// 1 source   models/minilm
/// 2 score    magnitude of 12 axes  <- 1
/// ```
pub fn text(plan: &Plan) -> String {
    let numbers = numbered(plan);
    let described: Vec<String> = plan.order.iter().map(|&id| plan.describe(id)).collect();
    let widths = described.iter().map(|text| text.chars().count());
    let wide = widths.filter(|&width| width <= WIDEST).max().unwrap_or(0);
    let digits = plan.order.len().to_string().len();
    let mut lines = String::new();
    for (&id, described) in plan.order.iter().zip(&described) {
        let needs: Vec<String> = plan.needs(id).iter().map(|id| numbers[id].to_string()).collect();
        let kind = plan.tasks[id].kind();
        let line = match needs.join(", ").as_str() {
            "" => format!("{:digits$} {kind:<8} {described}", numbers[&id]),
            needs => format!("{:digits$} {kind:<8} {described:<wide$}  <- {needs}", numbers[&id]),
        };
        lines.push_str(line.trim_end());
        lines.push('\n');
    }
    lines
}

/// The number of each task, from 1 in the order in which they are done.
pub fn numbered(plan: &Plan) -> BTreeMap<TaskId, usize> {
    plan.order.iter().copied().zip(1..).collect()
}

impl Plan {
    /// What a task does, for people.
    pub fn describe(&self, id: TaskId) -> String {
        match &self.tasks[id] {
            Task { does: Does::Source, .. } => self.model.path.display().to_string(),
            task @ Task { does: Does::Rewrite(rewriting), .. } => match rewriting.storage {
                Storage::Scratch => format!("{}, to scratch files", task.describe()),
                Storage::Lazy => task.describe(),
            },
            task => task.describe(),
        }
    }
}
