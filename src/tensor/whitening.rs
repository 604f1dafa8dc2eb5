//! Whitening: what a weight is multiplied with before it is taken apart, so that what is cut off matters least for the inputs
//! that there were.
//!
//! `W S = U Sigma V^T` is cut after its largest values, and `S^-1` goes into the right factor. With `S S^T = sum x x^T` the
//! squared error of the output over the data is the sum of the squares of the values that were dropped (SVD-LLM,
//! arXiv:2403.07378); a diagonal S weighs single inputs (ASVD, arXiv:2312.05821).

use faer::linalg::triangular_solve::solve_upper_triangular_in_place;
use faer::{Mat, MatMut, Par};

use super::solve::{cholesky, product};

/// An invertible matrix `S [inputs, inputs]`.
#[derive(Debug, Clone)]
pub enum Whitening {
    Diagonal(Vec<f64>),
    /// A lower triangle.
    Lower(Mat<f64>),
}

impl Whitening {
    /// The lower Cholesky factor of `products [inputs, inputs]`, the sum of `x x^T`. Where it has none, a growing share of the
    /// mean of the diagonal is added to the diagonal: inputs that were always zero, or fewer rows than inputs.
    ///
    /// `None` where the products are not finite.
    pub fn of_products(products: &[f64], inputs: usize) -> Option<Self> {
        const FIRST: f64 = 1e-9;
        let mean = (0..inputs).map(|at| products[at * inputs + at]).sum::<f64>() / inputs.max(1) as f64;
        let mean = if mean == 0.0 { 1.0 } else { mean };
        let mut more = 0.0;
        while more < 1.0 {
            let own = |row: usize, column: usize| if row == column { more * mean } else { 0.0 };
            let damped = Mat::from_fn(inputs, inputs, |row, column| {
                products[row * inputs + column] + own(row, column)
            });
            if let Some(lower) = cholesky(damped) {
                return Some(Self::Lower(lower));
            }
            more = (more * 10.0).max(FIRST);
        }
        None
    }

    /// `W S` of a row-major `W [out, inputs]`.
    pub fn applied(&self, matrix: &[f32], inputs: usize) -> Vec<f64> {
        match self {
            Self::Diagonal(scales) => {
                let scales = scales.iter().cycle();
                matrix.iter().zip(scales).map(|(weight, scale)| f64::from(*weight) * scale).collect()
            }
            Self::Lower(lower) => {
                let out = matrix.len() / inputs.max(1);
                let weights =
                    Mat::from_fn(out, inputs, |row, column| f64::from(matrix[row * inputs + column]));
                let product = product(weights.as_ref(), lower.as_ref());
                (0..out * inputs).map(|at| product[(at / inputs, at % inputs)]).collect()
            }
        }
    }

    /// Multiplies rows `[rank, inputs]` with `S^-1`, from the right.
    pub fn undo(&self, rows: &mut [f64], inputs: usize) {
        match self {
            Self::Diagonal(scales) => {
                rows.iter_mut().zip(scales.iter().cycle()).for_each(|(value, scale)| *value /= scale);
            }
            Self::Lower(lower) => {
                // x S = v is S^T x^T = v^T.
                let count = rows.len() / inputs.max(1);
                let columns = MatMut::from_column_major_slice_mut(rows, inputs, count);
                solve_upper_triangular_in_place(lower.transpose(), columns, Par::Seq);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The products of the rows (1, 2) and (0, 3): [[1, 2], [2, 13]], whose factor is [[1, 0], [2, 3]].
    #[test]
    fn products_have_a_lower_factor() {
        let whitening = Whitening::of_products(&[1.0, 2.0, 2.0, 13.0], 2).unwrap();
        assert_eq!(whitening.applied(&[1.0, 1.0], 2), [3.0, 3.0]);
        let mut rows = vec![3.0, 3.0, 5.0, 6.0];
        whitening.undo(&mut rows, 2);
        assert_eq!(rows, [1.0, 1.0, 1.0, 2.0]);
    }

    #[test]
    fn inputs_that_were_never_there_are_lived_with() {
        let whitening = Whitening::of_products(&[4.0, 0.0, 0.0, 0.0], 2).unwrap();
        let Whitening::Lower(lower) = &whitening else { panic!("products make a triangle") };
        assert!((lower[(0, 0)] - 2.0).abs() < 1e-6 && lower[(1, 1)] > 0.0);
        assert!(Whitening::of_products(&[f64::NAN, 0.0, 0.0, 1.0], 2).is_none());
        assert!(Whitening::of_products(&[0.0; 4], 2).is_some());
    }
}
