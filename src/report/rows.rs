//! Rows of the tables that the page and the card share: the whole model, its costs step by step, measures, expectations.

use serde::Serialize;

use super::chart::{Bar, percent};
use super::words::{compared, did, left, value};
use crate::diagnostic::numbers::share;
use crate::graph::Between;
use crate::pass::CostMeasure;
use crate::provenance::{Cost, Provenance, Step, Totals};

/// A number of the whole model before the first step and after the last.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Total {
    pub name: &'static str,
    pub before: String,
    pub after: String,
    /// What is left of it.
    pub left: String,
    pub bar: Bar,
}

/// A step, or the input.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Stage {
    /// 0 for the input.
    pub number: usize,
    pub verb: String,
    /// The step's text behind its verb.
    pub text: String,
    pub did: Vec<String>,
    pub costs: Vec<Spent>,
}

/// A cost after a step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Spent {
    pub name: &'static str,
    pub value: String,
    /// Of the input's.
    pub left: String,
    pub bar: Bar,
    /// What was known before any weight was read, where that was not the number itself.
    pub planned: Option<String>,
}

impl Spent {
    /// Whether its bar shows more than the number.
    pub(super) fn has_marks(&self) -> bool {
        self.bar.band.is_some() || self.bar.tick.is_some()
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Measure {
    pub text: String,
    pub after: String,
    pub value: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Expected {
    pub text: String,
    pub value: String,
    pub op: String,
    pub bound: String,
    pub held: bool,
}

pub(super) fn totals(provenance: &Provenance) -> Vec<Total> {
    let (before, after) = (&provenance.before, &provenance.after);
    // Times are known where the recipe names a table of them.
    let known =
        |(_, measure): &(&str, CostMeasure)| *measure != CostMeasure::Latency || before.cost.nanoseconds > 0;
    let mut rows: Vec<Total> = COSTS
        .into_iter()
        .filter(known)
        .map(|(name, measure)| {
            let (was, is) = (before.cost.of(measure), after.cost.of(measure));
            let left = left(is, was).map_or(String::new(), share);
            Total { name, before: measure.show(was), after: measure.show(is), left, bar: Bar::share(is, was) }
        })
        .collect();
    rows.push(Total {
        name: "zeros",
        before: zeros(before),
        after: zeros(after),
        left: String::new(),
        bar: Bar::share(after.zeros, after.cost.params),
    });
    rows
}

/// The input, then each step.
pub(super) fn stages(provenance: &Provenance) -> Vec<Stage> {
    let input = &provenance.before.cost;
    let first = Stage {
        number: 0,
        verb: "input".into(),
        text: provenance.input.path.clone(),
        did: Vec::new(),
        costs: columns(input).map(|(name, measure)| spent(name, measure, input, input, None)).collect(),
    };
    let stage = |step: &Step| Stage {
        number: step.number,
        verb: step.verb.clone(),
        text: step.text.strip_prefix(step.verb.as_str()).unwrap_or(&step.text).trim().to_string(),
        did: did(step),
        costs: columns(input)
            .map(|(name, measure)| spent(name, measure, &step.after, input, Some(step)))
            .collect(),
    };
    std::iter::once(first).chain(provenance.steps.iter().map(stage)).collect()
}

pub(super) fn measures(provenance: &Provenance) -> Vec<Measure> {
    let row = |measured: &crate::provenance::Measured| Measure {
        text: measured.text.clone(),
        after: match measured.after_step {
            0 => "the input".to_string(),
            step => format!("step {step}"),
        },
        value: value(measured.unit, measured.value),
    };
    provenance.measures.iter().map(row).collect()
}

pub(super) fn expectations(provenance: &Provenance) -> Vec<Expected> {
    let row = |expectation: &crate::provenance::Expectation| {
        let (value, bound) = compared(expectation);
        let (text, op) = (expectation.text.clone(), expectation.op.clone());
        Expected { text, value, op, bound, held: expectation.held }
    };
    provenance.expectations.iter().map(row).collect()
}

/// The share of zeros among all weights.
pub(super) fn zeros(totals: &Totals) -> String {
    share(left(totals.zeros, totals.cost.params).unwrap_or(0.0))
}

const COSTS: [(&str, CostMeasure); 5] = [
    ("parameters", CostMeasure::Params),
    ("MACs", CostMeasure::Macs),
    ("FLOPs", CostMeasure::Flops),
    ("bytes", CostMeasure::Bytes),
    ("latency by table", CostMeasure::Latency),
];

/// What the page calls a column.
fn title(measure: CostMeasure) -> &'static str {
    let named = COSTS.iter().find(|(_, other)| *other == measure);
    named.map_or(measure.name(), |(title, _)| title)
}

/// The columns of costs from step to step.
fn columns(input: &Cost) -> impl Iterator<Item = (&'static str, CostMeasure)> {
    CostMeasure::columns(input.nanoseconds > 0).map(|measure| (title(measure), measure))
}

fn spent(name: &'static str, measure: CostMeasure, cost: &Cost, input: &Cost, step: Option<&Step>) -> Spent {
    let (is, was) = (cost.of(measure), input.of(measure));
    let shown = |range: Between| measure.show_range(range, was);
    // What a step leaves as it was, it did not foresee.
    let step = step.filter(|step| step.before.of(measure) != is);
    let planned = step.map(|step| step.planned.of(measure)).filter(|planned| planned.known().is_none());
    let mut bar = Bar::share(is, was);
    bar.band = planned.map(|range| {
        let (from, to) = (percent(range.min, was), percent(range.max, was));
        super::chart::Rect { x: from, y: 0.0, width: to - from, height: 100.0, kept: false }
    });
    bar.tick = step.and_then(|step| limit(measure, step)).map(|limit| percent(limit, was));
    let left = left(is, was).map_or(String::new(), share);
    Spent { name, value: shown(Between::exact(is)), left, bar, planned: planned.map(shown) }
}

/// What the step was allowed to cost. A bound on FLOPs is one on MACs.
fn limit(measure: CostMeasure, step: &Step) -> Option<u64> {
    let budget = step.budget?;
    match (measure, budget.measure) {
        (CostMeasure::Macs, CostMeasure::Flops) => Some(budget.at_most / 2),
        (here, there) if here == there => Some(budget.at_most),
        _ => None,
    }
}
