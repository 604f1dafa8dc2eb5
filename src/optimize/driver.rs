//! The driver: rules in their order until none fires, the plan checked after each.

use std::collections::BTreeMap;

use petgraph::algo::is_cyclic_directed;

use super::Rule;
use crate::graph::{Extent, Graph};
use crate::plan::{Does, Need, Plan, TaskId};
use crate::tensor::DType;

/// Rules undo nothing of each other, so few rounds are needed; a rule that fires for ever is a bug, found here.
const ROUNDS: usize = 50;

/// One change that a rule made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fired {
    /// What it saves, for people.
    pub text: String,
}

impl Fired {
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }
}

/// What optimizing did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    /// Tasks that the recipe wants, before equal ones became one.
    pub wanted: usize,
    pub before: usize,
    pub after: usize,
    /// In the order in which it happened.
    pub fired: Vec<(&'static str, Fired)>,
}

/// Applies rules until none fires.
///
/// # Panics
/// Where a rule breaks what it must keep: a bug in the rule.
pub fn optimize(mut plan: Plan, rules: &[&dyn Rule]) -> (Plan, Trace) {
    let mut trace = Trace { wanted: plan.wanted, before: plan.order.len(), ..Trace::default() };
    let promised = Promise::of(&plan);
    for _ in 0..ROUNDS {
        let mut changed = false;
        for rule in rules {
            let fired = rule.rewrite(&mut plan);
            if !fired.is_empty() {
                changed = true;
                verify(&plan, rule.name());
                plan.mend();
                assert!(Promise::of(&plan) == promised, "`{}` changed what is saved", rule.name());
                trace.fired.extend(fired.into_iter().map(|fired| (rule.name(), fired)));
            }
        }
        if !changed {
            trace.after = plan.order.len();
            return (plan, trace);
        }
    }
    panic!("rules still fire after {ROUNDS} rounds: {:?}", trace.fired.last());
}

/// `tasks 31 -> 19`, and what each rule did.
pub fn explain(trace: &Trace) -> String {
    let head = format!("tasks {} -> {}", trace.wanted, trace.after);
    let mut lines = Vec::new();
    match trace.wanted - trace.before {
        0 => {}
        shared => lines.push(format!("equal tasks are one: {shared} fewer")),
    }
    lines.extend(trace.fired.iter().map(|(rule, fired)| format!("{rule}: {}", fired.text)));
    if lines.is_empty() {
        return format!("{head}\n");
    }
    let margin = " ".repeat(head.len());
    let mut text = String::new();
    for (at, line) in lines.iter().enumerate() {
        let margin = if at == 0 { &head } else { &margin };
        text.push_str(&format!("{margin}   {line}\n"));
    }
    text
}

/// What must not change: the expectations and measures, and each save with the names, types and extents of its tensors.
#[derive(Debug, PartialEq)]
struct Promise {
    saves: BTreeMap<(Vec<String>, String), Vec<Tensor>>,
    asked: Vec<String>,
}

type Tensor = (String, DType, Vec<Vec<Extent>>);

impl Promise {
    fn of(plan: &Plan) -> Self {
        let tensors = |id: TaskId| {
            let version = plan.needed(id, Need::Version).expect("a save is of a version");
            tensors(plan.graph(version))
        };
        let saves = plan
            .saves()
            .map(|(id, saving)| ((saving.branch.clone(), saving.path.display().to_string()), tensors(id)))
            .collect();
        let asked = |id: &TaskId| match &plan.tasks[*id].does {
            Does::Measure(measuring) => Some(measuring.text.clone()),
            Does::Expect(expecting) => Some(expecting.text.clone()),
            _ => None,
        };
        let mut asked: Vec<String> = plan.order.iter().filter_map(asked).collect();
        asked.sort_unstable();
        Self { saves, asked }
    }
}

fn tensors(graph: &Graph) -> Vec<Tensor> {
    let mut tensors: Vec<Tensor> = graph
        .params
        .iter()
        .map(|(_, param)| {
            let extents = |dim: &crate::graph::Dim| dim.0.iter().map(|&axis| graph.extent(axis)).collect();
            (param.name.resolve(), param.dtype, param.dims.iter().map(extents).collect())
        })
        .collect();
    tensors.sort_by(|(left, ..), (right, ..)| left.cmp(right));
    tensors
}

/// The plan holds together: no circle, and each task has what it cannot do without.
fn verify(plan: &Plan, rule: &str) {
    assert!(!is_cyclic_directed(&plan.tasks), "`{rule}` made a circle");
    for id in plan.tasks.node_indices() {
        let has = |need| plan.needed(id, need).is_some();
        let whole = match &plan.tasks[id].does {
            Does::Source => true,
            Does::Work(_) | Does::Rewrite(_) | Does::Measure(_) | Does::Save(_) => has(Need::Version),
            Does::Expect(_) => has(Need::Value),
        };
        assert!(whole, "`{rule}` left `{}` without what it needs", plan.describe(id));
    }
    assert_eq!(plan.order.len(), plan.tasks.node_count(), "`{rule}` left a task without its place");
}
