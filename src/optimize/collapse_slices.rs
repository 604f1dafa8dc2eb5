//! Two slices, one after the other, are one slice.

use std::sync::Arc;

use super::{Fired, Rule};
use crate::pass::Rewrite;
use crate::plan::{Need, Plan, TaskId};

pub struct CollapseSlices;

impl Rule for CollapseSlices {
    fn name(&self) -> &'static str {
        "collapse-slices"
    }

    fn doc(&self) -> &'static str {
        "A rewrite whose result only the next rewrite looks at becomes one with it, where both are known before any weight \
         is read: `drop layers[10]` and then `drop layers[0..2]` cut once."
    }

    fn rewrite(&self, plan: &mut Plan) -> Vec<Fired> {
        let mut fired = Vec::new();
        while let Some((first, second, rewrite)) = pair(plan) {
            let text = format!(
                "`{}` and `{}` are one cut",
                plan.tasks[first].describe(),
                plan.tasks[second].describe()
            );
            fired.push(Fired::new(text));
            let later = plan.tasks[second].rewriting().expect("a pair of rewrites").clone();
            let joined = plan.tasks[first].rewriting_mut().expect("a pair of rewrites");
            joined.rewrite = rewrite;
            joined.graph = later.graph;
            joined.parts.extend(later.parts);
            plan.join(second, first);
        }
        fired
    }
}

/// A rewrite, the one user of its version, and what they are together.
fn pair(plan: &Plan) -> Option<(TaskId, TaskId, Arc<dyn Rewrite>)> {
    plan.ordered().find_map(|(second, task)| {
        let later = task.rewriting()?;
        let first = plan.needed(second, Need::Version)?;
        let earlier = plan.tasks[first].rewriting()?;
        let needs_no_finding = [first, second].iter().all(|&id| plan.needed(id, Need::Finding).is_none());
        if !needs_no_finding || plan.users(first) != [second] {
            return None;
        }
        Some((first, second, earlier.rewrite.followed_by(later.rewrite.as_ref())?))
    })
}
