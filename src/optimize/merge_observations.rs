//! Works that look at the same version are one work, where the works themselves know how to be one.

use std::sync::Arc;

use super::{Fired, Rule};
use crate::pass::Work;
use crate::plan::{Does, Need, Plan, TaskId};

pub struct MergeObservations;

impl Rule for MergeObservations {
    fn name(&self) -> &'static str {
        "merge-observations"
    }

    fn doc(&self) -> &'static str {
        "Two works over the same model that differ in their places alone become one over the places of both, \
         so that weights or data are gone through once."
    }

    fn rewrite(&self, plan: &mut Plan) -> Vec<Fired> {
        let mut fired = Vec::new();
        while let Some((first, second, work)) = pair(plan) {
            let text =
                format!("`{}` is done together with `{}`", plan.describe(second), plan.describe(first));
            fired.push(Fired::new(text));
            plan.tasks[first].does = Does::Work(work);
            plan.join(second, first);
        }
        fired
    }
}

/// Two works that can be one, the earlier first.
fn pair(plan: &Plan) -> Option<(TaskId, TaskId, Arc<dyn Work>)> {
    let alone: Vec<(TaskId, TaskId, &Arc<dyn Work>)> = plan
        .ordered()
        .filter(|&(id, _)| plan.needed(id, Need::Finding).is_none())
        .filter_map(|(id, task)| Some((id, plan.needed(id, Need::Version)?, task.work()?)))
        .collect();
    for (at, (first, version, work)) in alone.iter().enumerate() {
        for (second, other, next) in &alone[at + 1..] {
            if version == other
                && let Some(merged) = work.merged(next.as_ref())
            {
                return Some((*first, *second, merged));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimize::optimize;
    use crate::plan::toys::{planned, texts};

    #[test]
    fn scores_of_two_steps_over_one_model_are_one_work() {
        let plan = planned(|body| {
            body.sweep(&["a", "b"], |at, body| {
                body.prune(&[at], 4).save(format!("out/{at}"));
            });
        });
        let (plan, trace) = optimize(plan, &[&MergeObservations]);
        assert_eq!(texts(&plan, "score"), ["sum of neurons (2 axes)"], "the scores of both branches");
        assert_eq!(trace.fired.len(), 1);
    }

    #[test]
    fn scores_of_different_versions_stay_apart() {
        let plan = planned(|body| {
            body.prune(&[0], 4).prune(&[1], 4).save("out");
        });
        let (plan, trace) = optimize(plan, &[&MergeObservations]);
        assert_eq!(texts(&plan, "score").len(), 2);
        assert_eq!(trace.fired, []);
    }
}
