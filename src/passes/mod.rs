//! The passes: a file each, and the list.

pub mod drop;
pub mod prune;

use crate::pass::PassSpec;

/// Every pass there is, in the order of the manual.
pub static PASSES: &[&PassSpec] = &[&prune::SPEC, &drop::SPEC];
