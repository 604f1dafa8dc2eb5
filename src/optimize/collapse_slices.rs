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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimize::optimize;
    use crate::plan::toys::{planned, texts};

    #[test]
    fn cuts_of_one_axis_become_one() {
        let plan = planned(|body| {
            body.cut("layers", &[0, 1, 3]).cut("layers", &[1, 2]).cut("layers", &[1]).save("out");
        });
        let (plan, _) = optimize(plan, &[&CollapseSlices]);
        assert_eq!(texts(&plan, "rewrite"), ["keep 1 in layers, to scratch files"]);
        let version = plan.ordered().find_map(|(_, task)| task.rewriting()).unwrap();
        assert_eq!(version.rewrite.arguments(), serde_json::json!({ "keep": { "layers": [3] } }));
        assert_eq!(version.parts.iter().map(|part| part.steps.clone()).collect::<Vec<_>>(), [[1], [2], [3]]);
    }

    #[test]
    fn a_version_that_somebody_else_looks_at_is_made() {
        let plan = planned(|body| {
            body.cut("layers", &[0, 1]).save("first").cut("layers", &[1]).save("second");
        });
        assert_eq!(optimize(plan, &[&CollapseSlices]).1.fired, []);
    }

    #[test]
    fn cuts_of_two_axes_stay_two() {
        let plan = planned(|body| {
            body.cut("layers", &[0, 1]).cut("layers[0].mlp.neurons", &[1]).save("out");
        });
        assert_eq!(optimize(plan, &[&CollapseSlices]).1.fired, []);
    }
}
