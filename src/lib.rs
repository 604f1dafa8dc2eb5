//! tamis compiles recipes for neural-network compression: check, plan, run.

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod check;
pub mod checkpoint;
pub mod compare;
pub mod criteria;
pub mod diagnostic;
pub mod execute;
pub mod families;
pub mod graph;
pub mod measures;
pub mod optimize;
pub mod pass;
pub mod passes;
pub mod plan;
pub mod provenance;
pub mod readers;
pub mod reference;
pub mod report;
pub mod source;
pub mod syntax;
pub mod tensor;
pub mod weights;
pub mod world;

use std::path::Path;

use check::{MeasuredAt, Measuring, Settings, Typed, World};
use diagnostic::Diagnostics;
use optimize::{Rule, Trace};
use pass::Registry;
use plan::Plan;
use source::{SourceId, Sources};

/// What can be done: the lists that every phase is handed.
pub static REGISTRY: Registry = Registry {
    passes: passes::PASSES,
    criteria: criteria::CRITERIA,
    measures: measures::MEASURES,
    readers: readers::READERS,
    families: families::FAMILIES,
};

/// Text to a checked recipe: names, types, targets, and costs after each step. Reads no weight.
pub fn check(
    recipe: SourceId,
    settings: &Settings,
    world: &dyn World,
    sources: &mut Sources,
) -> (Option<Typed>, Diagnostics) {
    check::check(recipe, settings, world, &REGISTRY, sources)
}

/// `measure` statements against a model as it stands.
pub fn measures(
    text: SourceId,
    model: &Path,
    at: MeasuredAt,
    world: &dyn World,
    sources: &mut Sources,
) -> (Option<Measuring>, Diagnostics) {
    check::measures(text, model, at, world, &REGISTRY, sources)
}

/// A checked recipe to the graph of its tasks, made better by rules that keep the result: `optimize::RULES`, or none.
pub fn plan(typed: &Typed, rules: &[&dyn Rule]) -> (Plan, Trace) {
    optimize::optimize(plan::build(typed), rules)
}
