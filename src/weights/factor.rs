//! Factors: both sides of a truncated SVD from one decomposition.

use std::sync::{Mutex, PoisonError};

use super::bands::Bands;
use super::expr::Factoring;
use super::mask::{matrix_values, not_finite};
use crate::diagnostic::{Diagnostic, codes};
use crate::graph::Part;
use crate::tensor::svd::{self, Factors};
use crate::tensor::{MatrixView, TensorError};

/// What of a factoring has been computed and not yet been fetched.
#[derive(Debug, Default)]
pub(super) struct Sides(Mutex<Fetched>);

#[derive(Debug, Default)]
struct Fetched {
    left: Option<Vec<f32>>,
    right: Option<Vec<f32>>,
}

impl Fetched {
    fn take(&mut self, part: Part) -> Option<Vec<f32>> {
        match part {
            Part::Left => self.left.take(),
            Part::Right => self.right.take(),
        }
    }
}

impl Factoring {
    /// One side in f32, row after row. The other one is kept until it is asked for, and no longer.
    pub(super) fn side(&self, part: Part) -> Result<Vec<f32>, Diagnostic> {
        // Whoever asks for the other side meanwhile waits here.
        let mut fetched = self.sides.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(side) = fetched.take(part) {
            return Ok(side);
        }
        let Factors { left, right, .. } = self.decompose()?;
        *fetched = Fetched { left: Some(left), right: Some(right) };
        Ok(fetched.take(part).expect("both sides are there"))
    }

    fn decompose(&self) -> Result<Factors, Diagnostic> {
        let row_len = self.input.row_len();
        let rows = Bands::of(&self.matrix, row_len).rows(&self.matrix, self.input.rows());
        let mut bytes = Vec::new();
        self.input.read_rows(rows.clone(), &mut bytes)?;
        let view = MatrixView { offset: self.matrix.offset - rows.start * row_len, ..self.matrix };
        let values = matrix_values(self.input.dtype(), &bytes, &view);
        drop(bytes);
        svd::factor(&values, view.out, view.inputs, self.rank).map_err(|error| self.cannot(&error))
    }

    fn cannot(&self, error: &TensorError) -> Diagnostic {
        let name = format!("`{}`", self.input.source_name());
        let wrong = match error {
            TensorError::NotFinite(count) => not_finite(&name, *count),
            _ => Diagnostic::new(&codes::WEIGHTS_NOT_FINITE, format!("{name} cannot be factored: {error}")),
        };
        self.input.in_file(wrong)
    }
}
