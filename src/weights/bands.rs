//! How a matrix lies in the rows of its tensor: outputs down the rows, inputs down the rows, or neither.

use std::ops::Range;

use super::mask::Reach;
use crate::tensor::MatrixView;

/// Rows of a tensor that hold one output (or one input) after the other. A row is what the last stored dim spans.
///
/// ```text
/// linear weight [out, in]                 outputs, 1 row each
/// convolution [out, in height, width]     outputs, `in height` rows each
/// GPT-2's Conv1D, stored [in, out]        inputs, 1 row each
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bands {
    run: Run,
    /// The first row that holds something of the matrix.
    first: usize,
    /// Rows of one band.
    each: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    Outputs,
    Inputs,
    /// No layout that is known: only the whole tensor will do.
    Neither,
}

impl Bands {
    pub fn of(matrix: &MatrixView, row_len: usize) -> Self {
        let row_len = row_len.max(1);
        let (first, within) = (matrix.offset / row_len, matrix.offset % row_len);
        let down = |stride: usize, across: usize, across_stride: usize| {
            let whole_rows = stride > 0 && stride.is_multiple_of(row_len);
            whole_rows && within + across.saturating_sub(1) * across_stride < stride
        };
        if down(matrix.out_stride, matrix.inputs, matrix.in_stride) {
            Self { run: Run::Outputs, first, each: matrix.out_stride / row_len }
        } else if down(matrix.in_stride, matrix.out, matrix.out_stride) {
            Self { run: Run::Inputs, first, each: matrix.in_stride / row_len }
        } else {
            Self { run: Run::Neither, first: 0, each: 1 }
        }
    }

    /// The smallest number of rows that can be decided on by themselves, of `all` rows of the tensor.
    pub fn granule(&self, matrix: &MatrixView, reach: Reach, all: usize) -> usize {
        let bands = match (self.run, reach) {
            (Run::Neither, _) => return all,
            (Run::Outputs, Reach::Inputs(_) | Reach::Row) => 1,
            (Run::Outputs, Reach::Rows(outputs)) => outputs,
            (Run::Outputs, Reach::Matrix) => matrix.out,
            (Run::Inputs, Reach::Inputs(inputs)) => inputs,
            (Run::Inputs, Reach::Row | Reach::Rows(_) | Reach::Matrix) => matrix.inputs,
        };
        let rows = bands.saturating_mul(self.each).max(1);
        // Granules are counted from the tensor's first row.
        if self.first.is_multiple_of(rows) { rows.min(all) } else { all }
    }

    /// What of the matrix lies in some rows, as a view of those rows' elements, and its first output and input.
    pub fn cut(&self, matrix: &MatrixView, rows: &Range<usize>, row_len: usize) -> Cutting {
        let numbers = |count: usize| {
            let from = rows.start.saturating_sub(self.first).div_ceil(self.each);
            let to = rows.end.saturating_sub(self.first) / self.each;
            from.min(count)..to.clamp(from.min(count), count)
        };
        let (outs, inputs) = match self.run {
            Run::Outputs => (numbers(matrix.out), 0..matrix.inputs),
            Run::Inputs => (0..matrix.out, numbers(matrix.inputs)),
            Run::Neither => (0..matrix.out, 0..matrix.inputs),
        };
        let offset = matrix.index(outs.start, inputs.start).saturating_sub(rows.start * row_len);
        let view = MatrixView { offset, out: outs.len(), inputs: inputs.len(), ..*matrix };
        Cutting { view, first: (outs.start, inputs.start) }
    }

    /// The rows that hold something of the matrix.
    pub fn rows(&self, matrix: &MatrixView, all: usize) -> Range<usize> {
        match self.run {
            Run::Outputs => self.first..self.first + matrix.out * self.each,
            Run::Inputs => self.first..self.first + matrix.inputs * self.each,
            Run::Neither => 0..all,
        }
    }

    /// The rows that hold something of the matrix, in ranges of whole bands of about so many rows.
    pub fn blocks(
        &self,
        matrix: &MatrixView,
        all: usize,
        about: usize,
    ) -> impl Iterator<Item = Range<usize>> + use<> {
        let held = self.rows(matrix, all);
        let step = match self.run {
            Run::Neither => held.len().max(1),
            Run::Outputs | Run::Inputs => about.max(1).next_multiple_of(self.each),
        };
        held.clone().step_by(step).map(move |start| start..(start + step).min(held.end))
    }

    /// The rows that hold some outputs, where others hold nothing of them.
    pub fn rows_of_outputs(&self, outs: &Range<usize>) -> Option<Range<usize>> {
        let row = |out: usize| self.first + out * self.each;
        (self.run == Run::Outputs).then(|| row(outs.start)..row(outs.end))
    }
}

/// A part of a matrix in some rows of its tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cutting {
    pub view: MatrixView,
    pub first: (usize, usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_weight_has_an_output_a_row() {
        let matrix = MatrixView::rows(6, 8);
        let bands = Bands::of(&matrix, 8);
        let granules = [Reach::Inputs(4), Reach::Row, Reach::Rows(3), Reach::Matrix];
        assert_eq!(granules.map(|reach| bands.granule(&matrix, reach, 6)), [1, 1, 3, 6]);
        let cutting = bands.cut(&matrix, &(2..5), 8);
        assert_eq!(cutting, Cutting { view: MatrixView::rows(3, 8), first: (2, 0) });
    }

    #[test]
    fn a_convolution_has_an_output_in_several_rows() {
        // [4, 2, 3, 5]: 24 rows of 5, of which 6 are one output.
        let matrix = MatrixView::rows(4, 30);
        let bands = Bands::of(&matrix, 5);
        assert_eq!(bands.granule(&matrix, Reach::Inputs(2), 24), 6);
        assert_eq!(bands.granule(&matrix, Reach::Rows(2), 24), 12);
        assert_eq!(bands.cut(&matrix, &(6..18), 5).first, (1, 0));
        assert_eq!(bands.cut(&matrix, &(6..18), 5).view.out, 2);
    }

    #[test]
    fn a_transposed_weight_has_an_input_a_row() {
        // Values of a fused [8, 3 * 6]: 8 inputs down, 6 outputs along from the 12th on.
        let matrix = MatrixView { offset: 12, out: 6, inputs: 8, out_stride: 1, in_stride: 18 };
        let bands = Bands::of(&matrix, 18);
        let granules = [Reach::Inputs(1), Reach::Inputs(4), Reach::Row, Reach::Matrix];
        assert_eq!(granules.map(|reach| bands.granule(&matrix, reach, 8)), [1, 4, 8, 8]);
        let cutting = bands.cut(&matrix, &(4..8), 18);
        assert_eq!(cutting.view, MatrixView { inputs: 4, ..matrix });
        assert_eq!(cutting.first, (0, 4));
    }

    #[test]
    fn sections_of_fused_rows_do_not_reach_into_each_other() {
        // Keys of a fused [3 * 4, 8]: rows 4 to 8.
        let matrix = MatrixView::rows(4, 8).at(32);
        let bands = Bands::of(&matrix, 8);
        assert_eq!(bands.granule(&matrix, Reach::Matrix, 12), 4);
        assert_eq!(bands.rows(&matrix, 12), 4..8);
        assert!(bands.cut(&matrix, &(0..4), 8).view.is_empty());
        assert!(bands.cut(&matrix, &(8..12), 8).view.is_empty());
        assert_eq!(bands.cut(&matrix, &(0..12), 8).view, matrix);
    }

    #[test]
    fn a_section_that_begins_inside_of_a_granule_asks_for_everything() {
        let matrix = MatrixView::rows(4, 8).at(16);
        assert_eq!(Bands::of(&matrix, 8).granule(&matrix, Reach::Matrix, 12), 12);
    }
}
