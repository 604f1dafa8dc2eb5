//! What the numeric functions refuse, instead of panicking or guessing.

use thiserror::Error;

use super::DType;

/// A request that the numbers at hand cannot answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TensorError {
    #[error("`{0}` is not a floating-point type")]
    NotFloat(DType),
    #[error("{what}: {found}, where {expected} belong")]
    Length { what: &'static str, expected: usize, found: usize },
    #[error("a view of {out} x {inputs} reaches past the {len} elements of its tensor")]
    OutsideTensor { out: usize, inputs: usize, len: usize },
    #[error("{extent} {what} do not divide into groups of {by}")]
    Indivisible { what: &'static str, extent: usize, by: usize },
    #[error("`{keep}:{of}` is not a pattern: it keeps fewer than it groups, and groups at most 256")]
    NotAPattern { keep: usize, of: usize },
    #[error("{asked} {what} asked of {available}")]
    TooMany { what: &'static str, asked: usize, available: usize },
    #[error("{0} values are not finite")]
    NotFinite(usize),
    #[error("rank {rank} is not between 1 and {most}")]
    Rank { rank: usize, most: usize },
    #[error("the singular value decomposition of {out} x {inputs} did not converge")]
    NoConvergence { out: usize, inputs: usize },
    #[error("the tensor is empty")]
    Empty,
    #[error("the size of the tensor overflows")]
    Overflow,
}

/// Requires `found` to be what belongs there.
pub(super) fn expect_length(what: &'static str, expected: usize, found: usize) -> Result<(), TensorError> {
    if expected == found { Ok(()) } else { Err(TensorError::Length { what, expected, found }) }
}
