//! The passes: a file each, and the list.

pub mod cast;
pub mod densify;
pub mod drop;
pub mod factorize;
pub mod factorize_experts;
pub mod insert;
pub mod merge;
pub mod prune;
pub mod recover;
pub mod skip;
pub mod sparsify;

use crate::pass::PassSpec;

/// Every pass there is, in the order of the manual.
pub static PASSES: &[&PassSpec] = &[
    &prune::SPEC,
    &drop::SPEC,
    &merge::SPEC,
    &skip::SPEC,
    &sparsify::SPEC,
    &factorize::SPEC,
    &factorize_experts::SPEC,
    &insert::SPEC,
    &recover::SPEC,
    &cast::SPEC,
    &densify::SPEC,
];
