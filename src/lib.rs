//! tamis compiles recipes for neural-network compression: check, plan, run.

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod check;
pub mod checkpoint;
pub mod compare;
pub mod criteria;
pub mod diagnostic;
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

use check::{Settings, Typed, World};
use diagnostic::Diagnostics;
use pass::Registry;
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
