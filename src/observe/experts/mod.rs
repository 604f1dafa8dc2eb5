//! Experts at work: which tokens a router sends where, and what each expert makes of them.

mod evolve;
mod group;
mod look;
mod merge;
mod ratios;
mod subsets;
mod weights;

pub use evolve::{Breeding, EvolveSets};
pub use group::{GroupExperts, Scope};
pub use look::{Look, Looked, look};
pub use merge::{MergeExperts, merged_name, router_name};
pub use ratios::MedianRatios;
pub use subsets::{ChooseSubset, MOST_SUBSETS, subsets};
