//! Rules: a plan to an equivalent plan that does less. What is saved in the end is the same, bit for bit.
//!
//! ```text
//! tasks 31 -> 19   drop-dead-work: 6 of 12 places of `score magnitude` are removed later
//!                  compose-rewrites: 36 tensors computed when read, without 90.9 MB of scratch files
//! ```

mod collapse_slices;
mod compose_rewrites;
mod driver;
mod drop_dead_work;
mod merge_observations;
mod order_for_memory;
mod read_back;

pub use driver::{Fired, Trace, explain, optimize};

use crate::plan::Plan;

/// One way to make a plan better. What it goes by are the effects that tasks declare, never what they are called.
pub trait Rule: Sync {
    /// `drop-dead-work`
    fn name(&self) -> &'static str;

    /// What it does and when, in a sentence or two.
    fn doc(&self) -> &'static str;

    /// Changes the plan wherever it can; what it says of each change is empty where there was none.
    /// Graphs, keys and the order are mended by the driver.
    fn rewrite(&self, plan: &mut Plan) -> Vec<Fired>;
}

/// All rules, in the order in which they are tried.
pub static RULES: &[&dyn Rule] = &[
    &drop_dead_work::DropDeadWork,
    &merge_observations::MergeObservations,
    &collapse_slices::CollapseSlices,
    &compose_rewrites::ComposeRewrites,
    &read_back::ReadBack,
    &order_for_memory::OrderForMemory,
];
