//! A matrix in the bytes of its tensor, for whoever reads the tensor anyway.

use std::ops::Range;

use super::bands::Bands;
use super::mask::Reach;
use super::version::Version;
use crate::graph::View;
use crate::tensor::MatrixView;

/// Where a matrix lies in the rows of its tensor.
#[derive(Debug, Clone, Copy)]
pub struct MatrixPart {
    matrix: MatrixView,
    bands: Bands,
    /// Rows of the tensor, and elements of each.
    rows: (usize, usize),
}

impl MatrixPart {
    /// The smallest number of rows, counted from the tensor's first, that can be judged by themselves.
    pub fn granule(&self, reach: Reach) -> usize {
        self.bands.granule(&self.matrix, reach, self.rows.0).max(1)
    }

    /// What of the matrix lies in some rows, as a view of their elements.
    pub fn of_rows(&self, rows: &Range<usize>) -> MatrixView {
        self.bands.cut(&self.matrix, rows, self.rows.1).view
    }
}

impl Version {
    pub fn matrix_part(&self, view: &View, transposed: bool) -> MatrixPart {
        let matrix = self.graph.matrix(view, transposed);
        let expr = self.expr(view.param);
        let rows = (expr.rows(), expr.row_len());
        MatrixPart { matrix, bands: Bands::of(&matrix, rows.1), rows }
    }
}
