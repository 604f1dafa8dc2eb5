//! Masks as rules: which elements of a matrix become zero.

use std::fmt::Debug;

use crate::diagnostic::Diagnostic;
use crate::tensor::{DType, MatrixView};

/// How much of a matrix one decision looks at; reads are cut so that no decision is split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// That many consecutive inputs of one output; 1 is an element by itself.
    Inputs(usize),
    /// All inputs of one output.
    Row,
    /// That many outputs by all of their inputs.
    Rows(usize),
    /// Everything.
    Matrix,
}

/// Decides which elements of a matrix become zero. The same decision for any cut into blocks and any thread.
pub trait MaskRule: Debug + Send + Sync {
    fn reach(&self) -> Reach;

    /// Sets elements of the block to `+0.0`; leaves all others as they are, to the bit.
    ///
    /// # Errors
    /// Where a score cannot be computed: weights that are not finite.
    fn apply(&self, block: &mut MatrixBlock<'_>) -> Result<(), Diagnostic>;
}

/// A part of a matrix in the bytes of a tensor, at least as large as the rule's reach.
#[derive(Debug)]
pub struct MatrixBlock<'a> {
    /// The tree path of the site, and so the name of the matrix in messages and seeds.
    pub place: &'a str,
    pub dtype: DType,
    /// Bytes of some rows of the tensor.
    pub bytes: &'a mut [u8],
    /// Where the block's elements are in `bytes`, counted in elements.
    pub matrix: MatrixView,
    /// The output and input numbers of the block's first element in the whole matrix.
    pub first: (usize, usize),
    /// Outputs and inputs of the whole matrix.
    pub whole: (usize, usize),
}
