//! A plan as JSON: costs before and after, steps, tasks.

use serde_json::{Value, json};

use super::{Plan, needs, numbered};
use crate::graph::{Between, CannotSay, Cost};
use crate::pass::CostMeasure;

/// `{schema, before, after, steps, tasks, saves, needs}`; a number that is not known yet is `{min, max}`.
pub fn json(plan: &Plan) -> Value {
    let after = plan.saves().last().map_or(plan.model.cost, |(_, saving)| plan.cost_after(&saving.steps));
    json!({
        "model": plan.model.path.to_string_lossy(),
        "before": cost(&plan.model.cost),
        "after": cost(&after),
        "steps": plan.steps.iter().map(step).collect::<Vec<_>>(),
        "tasks": tasks(plan),
        "saves": saves(plan),
        "needs": needs(plan),
    })
}

impl Plan {
    /// What is known of the cost after the last of some steps.
    pub fn cost_after(&self, steps: &[usize]) -> Cost {
        steps.last().map_or(self.model.cost, |&step| self.step(step).after)
    }
}

fn step(step: &super::Step) -> Value {
    json!({
        "number": step.number,
        "verb": step.verb,
        "text": step.text,
        "branch": step.branch,
        "before": cost(&step.before),
        "after": cost(&step.after),
        "bound": step.bound,
        "notes": step.notes.iter().map(|note| json!({ "code": note.code.name, "message": note.message })).collect::<Vec<_>>(),
    })
}

fn tasks(plan: &Plan) -> Vec<Value> {
    let numbers = numbered(plan);
    let task = |(id, task): (super::TaskId, &super::Task)| {
        json!({
            "number": numbers[&id],
            "kind": task.kind(),
            "does": plan.describe(id),
            "needs": plan.needs(id).iter().map(|id| numbers[id]).collect::<Vec<_>>(),
            "steps": task.steps,
            "key": task.key,
        })
    };
    plan.ordered().map(task).collect()
}

fn saves(plan: &Plan) -> Vec<Value> {
    let reasons = |reasons: &Vec<CannotSay>| serde_json::to_value(reasons).expect("two texts each");
    let save = |(_, saving): (_, &super::Saving)| {
        json!({
            "path": saving.path.to_string_lossy(),
            "branch": saving.branch,
            "after": cost(&plan.cost_after(&saving.steps)),
            "loads_in_transformers": saving.loads.is_ok(),
            "because": saving.loads.as_ref().map_or_else(reasons, |_| json!([])),
        })
    };
    plan.saves().map(save).collect()
}

fn cost(cost: &Cost) -> Value {
    let known = |measure: &CostMeasure| *measure != CostMeasure::Latency || cost.nanoseconds.max > 0;
    let one = |measure: CostMeasure| match measure {
        CostMeasure::Latency => ("nanoseconds".to_string(), number(cost.nanoseconds)),
        _ => (measure.name().to_string(), number(measure.of(cost))),
    };
    Value::Object(CostMeasure::ALL.into_iter().filter(known).map(one).collect())
}

fn number(number: Between) -> Value {
    number.known().map_or_else(|| json!({ "min": number.min, "max": number.max }), Value::from)
}
