//! Of all orders in which tasks can be done, one that holds little at a time.

use std::collections::{BTreeMap, BTreeSet};

use super::{Fired, Rule};
use crate::diagnostic::numbers;
use crate::plan::{Held, Plan, TaskId, peak};

/// Tasks that an order is searched for.
const MOST: usize = 2000;

pub struct OrderForMemory;

impl Rule for OrderForMemory {
    fn name(&self) -> &'static str {
        "order-for-memory"
    }

    fn doc(&self) -> &'static str {
        "Tasks are done in an order in which results die early: one branch of a sweep is finished before the next begins."
    }

    fn rewrite(&self, plan: &mut Plan) -> Vec<Fired> {
        // The search looks at all pairs of tasks; long recipes hold little and are done as they are written.
        let before = peak(plan, &plan.order);
        if weight(before) == 0 || plan.order.len() > MOST {
            return Vec::new();
        }
        let better = frugal(plan);
        let after = peak(plan, &better);
        if weight(after) >= weight(before) {
            return Vec::new();
        }
        plan.order = better;
        let text = |held: Held| numbers::bytes(weight(held));
        vec![Fired::new(format!("{} held between tasks at most, instead of {}", text(after), text(before)))]
    }
}

fn weight(held: Held) -> u64 {
    held.scratch + held.findings
}

/// Next is always the task after which least is held, and of equal ones the one that stood first.
fn frugal(plan: &Plan) -> Vec<TaskId> {
    let held: BTreeMap<TaskId, i128> =
        plan.order.iter().map(|&id| (id, i128::from(weight(plan.holds(id))))).collect();
    let mut left = plan.order.clone();
    let mut done = BTreeSet::new();
    let mut order = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let is_ready = |id: &TaskId| plan.needs(*id).iter().all(|need| done.contains(need));
        let ready = left.iter().copied().filter(is_ready);
        let next = ready.min_by_key(|&id| held[&id] - released(plan, id, &done, &held));
        let next = next.expect("tasks do not need each other in a circle");
        left.retain(|&id| id != next);
        done.insert(next);
        order.push(next);
    }
    order
}

/// What nobody needs any more once a task is done.
fn released(plan: &Plan, id: TaskId, done: &BTreeSet<TaskId>, held: &BTreeMap<TaskId, i128>) -> i128 {
    let is_last = |need: &TaskId| plan.users(*need).iter().all(|user| *user == id || done.contains(user));
    plan.needs(id).into_iter().filter(is_last).map(|need| held[&need]).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimize::optimize;
    use crate::plan::toys::{planned, texts};

    #[test]
    fn one_branch_is_saved_before_the_next_is_begun() {
        let mut plan = planned(|body| {
            body.sweep(&["a", "b"], |at, body| {
                body.cut("layers[0].mlp.neurons", &[at]).save(format!("out/{at}"));
            });
        });
        // As if someone had put all rewrites first.
        let is_save = |id: &TaskId| plan.task(*id).kind() == "save";
        let (saves, others): (Vec<TaskId>, Vec<TaskId>) = plan.order.iter().partition(|id| is_save(id));
        plan.order = [others, saves].concat();
        let (plan, trace) = optimize(plan, &[&OrderForMemory]);
        let kinds: Vec<&str> = plan.ordered().map(|(_, task)| task.kind()).collect();
        assert_eq!(kinds, ["source", "rewrite", "save", "rewrite", "save"]);
        assert_eq!(trace.fired[0].1.text, "36 B held between tasks at most, instead of 72 B");
    }

    #[test]
    fn an_order_that_cannot_be_bettered_stays() {
        let plan = planned(|body| {
            body.prune(&[0, 1], 4).save("out");
        });
        let before = texts(&plan, "");
        let (plan, trace) = optimize(plan, &[&OrderForMemory]);
        assert_eq!((texts(&plan, ""), trace.fired), (before, vec![]));
    }
}
