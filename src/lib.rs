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
pub mod ide;
pub mod measures;
pub mod observe;
pub mod onnx;
pub mod optimize;
pub mod pass;
pub mod passes;
pub mod plan;
pub mod provenance;
pub mod readers;
pub mod reference;
pub mod report;
pub mod runtime;
pub mod source;
pub mod syntax;
pub mod tensor;
pub mod weights;
pub mod world;
pub mod yaml;

use std::path::{Path, PathBuf};

use check::{MeasuredAt, Measuring, Settings, Typed, World};
use checkpoint::Existing;
use diagnostic::Diagnostics;
use execute::{Options, Outcome, Progress, RecipeText};
use optimize::{Rule, Trace};
use pass::Registry;
use plan::Plan;
use provenance::Provenance;
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

/// What a run is asked for beside its plan.
#[derive(Debug)]
pub struct Order {
    pub recipe: RecipeText,
    /// What to do where an output is there already.
    pub existing: Existing,
    /// Where what was found out is kept from run to run.
    pub cache: Option<PathBuf>,
    /// What the input model's card says of its licence.
    pub license: Option<String>,
}

/// A plan to outputs, each whole or not there, with a report and a card. Failed expectations come with the outcome.
pub fn run(plan: &Plan, order: Order, progress: &dyn Progress) -> Result<Outcome, Diagnostics> {
    let Order { recipe, existing, cache, license } = order;
    let pages = |provenance: &Provenance| report::pages(provenance, license.as_deref());
    let options = Options { families: REGISTRY.families, recipe, existing, cache, pages: &pages };
    execute::run(plan, &options, progress)
}
