//! The passes: a file each, and the list.

pub mod cast;
pub mod convert;
pub mod densify;
pub mod distill;
pub mod drop;
pub mod drop_tokens;
pub mod factorize;
pub mod factorize_experts;
pub mod insert;
pub mod merge;
pub mod merge_tokens;
pub mod prune;
pub mod recover;
pub mod reduce_tokens;
pub mod skip;
pub mod sparsify;
pub mod tune;

use crate::pass::PassSpec;

/// Every pass there is, in the order of the manual.
pub static PASSES: &[&PassSpec] = &[
    &prune::SPEC,
    &drop::SPEC,
    &drop_tokens::SPEC,
    &merge::SPEC,
    &merge_tokens::SPEC,
    &skip::SPEC,
    &reduce_tokens::SPEC,
    &sparsify::SPEC,
    &factorize::SPEC,
    &factorize_experts::SPEC,
    &insert::SPEC,
    &convert::SPEC,
    &recover::SPEC,
    &distill::SPEC,
    &tune::SPEC,
    &cast::SPEC,
    &densify::SPEC,
];
