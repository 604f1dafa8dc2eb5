//! Matrices inside flat tensors: row-major, transposed, or a section of a fused one.

use super::TensorError;

/// A matrix inside a flat tensor: element (o, i) stands at `offset + o * out_stride + i * in_stride`.
///
/// ```text
/// linear weight [out, in]            rows(out, in)
/// GPT-2's Conv1D, stored [in, out]   transposed(out, in)
/// values of a fused [3 * d, d]       rows(d, d).at(2 * d * d)
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MatrixView {
    pub offset: usize,
    pub out: usize,
    pub inputs: usize,
    pub out_stride: usize,
    pub in_stride: usize,
}

impl MatrixView {
    /// A matrix stored row after row.
    pub fn rows(out: usize, inputs: usize) -> Self {
        Self { offset: 0, out, inputs, out_stride: inputs, in_stride: 1 }
    }

    /// A matrix stored input after input.
    pub fn transposed(out: usize, inputs: usize) -> Self {
        Self { offset: 0, out, inputs, out_stride: 1, in_stride: out }
    }

    /// The same matrix, starting elsewhere in the tensor.
    pub fn at(self, offset: usize) -> Self {
        Self { offset, ..self }
    }

    /// The same elements with inputs and outputs exchanged.
    pub fn swapped(self) -> Self {
        Self {
            out: self.inputs,
            inputs: self.out,
            out_stride: self.in_stride,
            in_stride: self.out_stride,
            ..self
        }
    }

    /// Where element (o, i) stands.
    pub fn index(&self, o: usize, i: usize) -> usize {
        self.offset + o * self.out_stride + i * self.in_stride
    }

    /// Puts values, row after row, in their places in the tensor.
    ///
    /// # Panics
    /// Where the view does not fit in the tensor.
    pub fn put(&self, values: &[f32], tensor: &mut [f32]) {
        for (o, row) in values.chunks_exact(self.inputs.max(1)).enumerate() {
            let first = self.index(o, 0);
            if self.has_contiguous_rows() {
                tensor[first..first + row.len()].copy_from_slice(row);
            } else {
                row.iter().enumerate().for_each(|(i, value)| tensor[first + i * self.in_stride] = *value);
            }
        }
    }

    pub fn len(&self) -> usize {
        self.out * self.inputs
    }

    pub fn is_empty(&self) -> bool {
        self.out == 0 || self.inputs == 0
    }

    /// Whether the inputs of a row stand next to each other.
    pub fn has_contiguous_rows(&self) -> bool {
        self.in_stride == 1
    }

    /// Refuses a view that does not fit in a tensor of `len` elements. After it, `index` and `len` cannot overflow.
    pub fn check(&self, len: usize) -> Result<(), TensorError> {
        let outside = TensorError::OutsideTensor { out: self.out, inputs: self.inputs, len };
        self.out.checked_mul(self.inputs).ok_or(TensorError::Overflow)?;
        if self.is_empty() || self.last().is_some_and(|last| last < len) { Ok(()) } else { Err(outside) }
    }

    fn last(&self) -> Option<usize> {
        let down = (self.out - 1).checked_mul(self.out_stride)?;
        let along = (self.inputs - 1).checked_mul(self.in_stride)?;
        self.offset.checked_add(down)?.checked_add(along)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transposed_view_reads_what_is_stored_inputs_first() {
        let stored = [11, 21, 31, 12, 22, 32];
        let view = MatrixView::transposed(3, 2);
        assert_eq!(stored[view.index(0, 1)], 12);
        assert_eq!(stored[view.index(2, 0)], 31);
    }

    #[test]
    fn values_go_back_to_their_places() {
        let mut stored = [0.0; 7];
        MatrixView::transposed(3, 2).at(1).put(&[11.0, 12.0, 21.0, 22.0, 31.0, 32.0], &mut stored);
        assert_eq!(stored, [0.0, 11.0, 21.0, 31.0, 12.0, 22.0, 32.0]);
    }

    #[test]
    fn a_view_must_end_within_its_tensor() {
        assert_eq!(MatrixView::rows(2, 3).at(1).check(7), Ok(()));
        let outside = TensorError::OutsideTensor { out: 2, inputs: 3, len: 6 };
        assert_eq!(MatrixView::rows(2, 3).at(1).check(6), Err(outside));
        assert_eq!(MatrixView::rows(0, 3).check(0), Ok(()));
    }

    #[test]
    fn a_hostile_view_is_refused_without_overflow() {
        let view = MatrixView { offset: 0, out: usize::MAX, inputs: 2, out_stride: 2, in_stride: 1 };
        assert_eq!(view.check(10), Err(TensorError::Overflow));
        let view = MatrixView { offset: 0, out: 3, inputs: 1, out_stride: usize::MAX, in_stride: 1 };
        assert!(view.check(10).is_err());
    }
}
