//! Masks as rules: which elements of a matrix become zero.

use std::fmt::Debug;

use crate::diagnostic::{Diagnostic, codes};
use crate::tensor::{DType, MatrixView, convert, mask};

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

impl MatrixBlock<'_> {
    /// The weights row after row, whatever the layout.
    ///
    /// # Errors
    /// Where one is not finite.
    pub fn values(&self) -> Result<Vec<f32>, Diagnostic> {
        let values = matrix_values(self.dtype, self.bytes, &self.matrix);
        match nonfinite(&values) {
            0 => Ok(values),
            count => Err(self.not_finite(count)),
        }
    }

    /// Sets to `+0.0` what is not marked. Marks stand row after row.
    pub fn zero_dropped(&mut self, keep: &[bool]) {
        mask::zero_dropped(self.dtype, self.bytes, &self.matrix, keep)
            .expect("a block's view lies in its bytes, and marks are as many as weights");
    }

    /// Refuses weights that are NaN or infinite, for rules that compare stored bits.
    pub fn refuse_nonfinite(&self) -> Result<(), Diagnostic> {
        let all = convert::count_nonfinite(self.dtype, self.bytes).expect(FLOATS);
        // Rows may hold other matrices beside this one.
        if all == 0 { Ok(()) } else { self.values().map(|_| ()) }
    }

    fn not_finite(&self, count: usize) -> Diagnostic {
        not_finite(&format!("`{}`", self.place), count)
    }
}

/// Why element types need no check: weights are of float types, and a view is one of its own tensor.
pub(super) const FLOATS: &str = "weights are floats, and views lie in their tensors";

/// A matrix row after row, from the bytes that it is a view of.
pub(super) fn matrix_values(dtype: DType, bytes: &[u8], view: &MatrixView) -> Vec<f32> {
    let mut values = vec![0.0; view.len()];
    if view.is_empty() {
        return values;
    }
    if view.has_contiguous_rows() {
        for (out, row) in values.chunks_mut(view.inputs).enumerate() {
            let start = view.index(out, 0) * dtype.size();
            let stored = &bytes[start..start + row.len() * dtype.size()];
            convert::read_f32(dtype, stored, row).expect(FLOATS);
        }
        return values;
    }
    let mut stored = vec![0.0; bytes.len() / dtype.size()];
    convert::read_f32(dtype, bytes, &mut stored).expect(FLOATS);
    for (out, row) in values.chunks_mut(view.inputs).enumerate() {
        let column = stored[view.index(out, 0)..].iter().step_by(view.in_stride);
        row.iter_mut().zip(column).for_each(|(value, stored)| *value = *stored);
    }
    values
}

/// How many values are NaN or infinite.
pub(super) fn nonfinite(values: &[f32]) -> usize {
    values.iter().filter(|value| !value.is_finite()).count()
}

pub(super) fn not_finite(whose: &str, count: usize) -> Diagnostic {
    let (values, are) = if count == 1 { ("value", "is") } else { ("values", "are") };
    Diagnostic::new(
        &codes::WEIGHTS_NOT_FINITE,
        format!("{count} {values} of {whose} {are} not finite: NaN or infinite"),
    )
}
