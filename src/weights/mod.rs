//! Lazy weights: a model version maps each tensor to an expression over a checkpoint; nothing is read until it is asked for.
//!
//! Passes change versions: they keep elements of an axis, mask a matrix, factor it, change its type. A read evaluates the
//! expression for the rows that it needs, so that a checkpoint larger than memory goes through in pieces.

mod bands;
mod expr;
mod factor;
mod mask;
mod part;
mod read;
mod slice;
#[cfg(test)]
mod tests;
mod values;
mod version;

pub use expr::{Expr, Factoring};
pub use mask::{MaskRule, MatrixBlock, Reach};
pub use part::MatrixPart;
pub use values::StoredBlock;
pub use version::Version;
