//! Weights as numbers: whole tensors, pieces of them in order, the matrices of sites.

use std::ops::Range;

use super::bands::Bands;
use super::mask::{FLOATS, matrix_values, nonfinite, not_finite};
use super::version::Version;
use crate::diagnostic::Diagnostic;
use crate::graph::{ParamId, SiteId, View, Weight};
use crate::tensor::{DType, MatrixView, convert};

/// Bytes of a tensor that are evaluated at once.
const BLOCK: usize = 4 << 20;

/// Some outputs of a site's matrix as they are stored, or all of it where no less can be read.
#[derive(Debug)]
pub struct StoredBlock<'a> {
    pub dtype: DType,
    /// Bytes of whole rows of the tensor.
    pub bytes: &'a [u8],
    /// Where the block's elements are in `bytes`, counted in elements.
    pub matrix: MatrixView,
}

impl Version {
    /// All values of a float tensor, in stored order.
    ///
    /// # Errors
    /// Where bytes cannot be read, or a value is not finite.
    pub fn values(&self, param: ParamId) -> Result<Vec<f32>, Diagnostic> {
        let mut values = vec![0.0; self.expr(param).len()];
        self.for_each_block(param, |first, block| {
            values[first..first + block.len()].copy_from_slice(block);
        })?;
        Ok(values)
    }

    /// Visits the values of a float tensor in order, in pieces of some megabytes, each with the number of its first.
    ///
    /// # Errors
    /// Where bytes cannot be read, or a value is not finite.
    pub fn for_each_block(
        &self,
        param: ParamId,
        mut visit: impl FnMut(usize, &[f32]),
    ) -> Result<(), Diagnostic> {
        let expr = self.expr(param);
        let (mut bytes, mut values, mut bad) = (Vec::new(), Vec::new(), 0);
        for rows in expr.row_blocks(BLOCK) {
            let first = rows.start * expr.row_len();
            expr.read_rows(rows, &mut bytes)?;
            values.resize(bytes.len() / expr.dtype().size(), 0.0);
            convert::read_f32(expr.dtype(), &bytes, &mut values).expect(FLOATS);
            bad += nonfinite(&values);
            // The rest is still counted.
            if bad == 0 {
                visit(first, &values);
            }
        }
        self.refuse(param, bad)
    }

    /// The matrix of a site row after row, `[out, in]` whatever the layout; of a factored one the product.
    ///
    /// # Errors
    /// Where bytes cannot be read, or a value is not finite.
    pub fn site_matrix(&self, site: SiteId) -> Result<Vec<f32>, Diagnostic> {
        match &self.graph.sites[site].weight {
            Weight::Dense(view) => self.view_matrix(view, self.graph.sites[site].transposed),
            Weight::Factored { left, right, rest } => {
                let (left, right) = (self.view_matrix(left, false)?, self.view_matrix(right, false)?);
                let (outs, ins) = self.graph.site_dims(site);
                let inputs = self.graph.dim_extent(&ins);
                let mut matrix = product(&left, &right, self.graph.dim_extent(&outs), inputs);
                if let Some(rest) = rest {
                    let values = self.view_matrix(&rest.view, false)?;
                    for (&row, values) in rest.rows.iter().zip(values.chunks_exact(inputs.max(1))) {
                        let row = &mut matrix[row * inputs..][..inputs];
                        row.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
                    }
                }
                Ok(matrix)
            }
        }
    }

    /// Fills `out` with the weights of a site's dense matrix from number `first` on, counted row after row.
    ///
    /// # Errors
    /// Where bytes cannot be read, or a value is not finite.
    pub fn matrix_range(&self, site: SiteId, first: usize, out: &mut [f32]) -> Result<(), Diagnostic> {
        let Weight::Dense(view) = &self.graph.sites[site].weight else {
            out.copy_from_slice(&self.site_matrix(site)?[first..first + out.len()]);
            return Ok(());
        };
        let matrix = self.graph.matrix(view, self.graph.sites[site].transposed);
        let width = matrix.inputs.max(1);
        let outs = first / width..(first + out.len()).div_ceil(width);
        let expr = self.expr(view.param);
        let rows = Bands::of(&matrix, expr.row_len()).rows_of_outputs(&outs);
        let (values, start) = match rows {
            Some(rows) => (self.rows_of_matrix(view, &matrix, rows)?, outs.start * width),
            None => (self.site_matrix(site)?, 0),
        };
        out.copy_from_slice(&values[first - start..first - start + out.len()]);
        Ok(())
    }

    /// Whether pieces of a site's matrix can be read without the rest of it.
    pub fn has_rows_apart(&self, site: SiteId) -> bool {
        let Weight::Dense(view) = &self.graph.sites[site].weight else { return false };
        let matrix = self.graph.matrix(view, self.graph.sites[site].transposed);
        let expr = self.expr(view.param);
        let apart = Bands::of(&matrix, expr.row_len()).rows_of_outputs(&(0..1)).is_some();
        apart && expr.granule_rows() < expr.rows()
    }

    /// Visits a matrix as it is stored, in pieces of some megabytes. Every element is in one of them.
    ///
    /// # Errors
    /// Where bytes cannot be read.
    pub fn for_each_stored(
        &self,
        view: &View,
        transposed: bool,
        mut visit: impl FnMut(StoredBlock<'_>),
    ) -> Result<(), Diagnostic> {
        let matrix = self.graph.matrix(view, transposed);
        let expr = self.expr(view.param);
        let (dtype, row_len, all) = (expr.dtype(), expr.row_len(), expr.rows());
        let bands = Bands::of(&matrix, row_len);
        let about = (BLOCK / expr.row_bytes().max(1)).next_multiple_of(expr.granule_rows());
        let mut bytes = Vec::new();
        for rows in bands.blocks(&matrix, all, about) {
            expr.read_rows(rows.clone(), &mut bytes)?;
            let cutting = bands.cut(&matrix, &rows, row_len);
            visit(StoredBlock { dtype, bytes: &bytes, matrix: cutting.view });
        }
        Ok(())
    }

    /// One matrix, or vector, row after row, whatever its layout: what a site's weight, a factor or a bias is made of.
    ///
    /// # Errors
    /// Where bytes cannot be read, or a value is not finite.
    pub fn view_matrix(&self, view: &View, transposed: bool) -> Result<Vec<f32>, Diagnostic> {
        let matrix = self.graph.matrix(view, transposed);
        let expr = self.expr(view.param);
        let rows = Bands::of(&matrix, expr.row_len()).rows(&matrix, expr.rows());
        self.rows_of_matrix(view, &matrix, rows)
    }

    /// What of a matrix lies in some rows, row after row.
    fn rows_of_matrix(
        &self,
        view: &View,
        matrix: &MatrixView,
        rows: Range<usize>,
    ) -> Result<Vec<f32>, Diagnostic> {
        let expr = self.expr(view.param);
        let mut bytes = Vec::new();
        expr.read_rows(rows.clone(), &mut bytes)?;
        let cutting = Bands::of(matrix, expr.row_len()).cut(matrix, &rows, expr.row_len());
        let values = matrix_values(expr.dtype(), &bytes, &cutting.view);
        self.refuse(view.param, nonfinite(&values)).map(|()| values)
    }

    fn refuse(&self, param: ParamId, bad: usize) -> Result<(), Diagnostic> {
        if bad == 0 {
            return Ok(());
        }
        let name = self.graph.params[param].name.resolve();
        Err(self.expr(param).in_file(not_finite(&format!("`{name}`"), bad)))
    }
}

/// `left [out, rank]` times `right [rank, inputs]`.
fn product(left: &[f32], right: &[f32], out: usize, inputs: usize) -> Vec<f32> {
    let rank = left.len() / out.max(1);
    let mut product = vec![0.0; out * inputs];
    for (row, left) in product.chunks_mut(inputs.max(1)).zip(left.chunks(rank.max(1))) {
        for (left, right) in left.iter().zip(right.chunks(inputs.max(1))) {
            row.iter_mut().zip(right).for_each(|(sum, right)| *sum += left * right);
        }
    }
    product
}
