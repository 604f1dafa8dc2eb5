//! Linear systems with a symmetric, positive matrix, and products in f64. All on one thread, so that no bit depends on how many
//! there are: callers do several side by side.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor::{cholesky_in_place, cholesky_in_place_scratch};
use faer::linalg::matmul::matmul;
use faer::linalg::triangular_solve::{solve_lower_triangular_in_place, solve_upper_triangular_in_place};
use faer::{Accum, Mat, MatRef, Par};

/// `left right`; faer's own operator would use all threads.
pub fn product(left: MatRef<'_, f64>, right: MatRef<'_, f64>) -> Mat<f64> {
    let mut product = Mat::zeros(left.nrows(), right.ncols());
    matmul(product.as_mut(), Accum::Replace, left, right, 1.0, Par::Seq);
    product
}

/// The lower Cholesky factor, zero above the diagonal; `None` where the matrix is not positive, or not finite.
pub fn cholesky(mut matrix: Mat<f64>) -> Option<Mat<f64>> {
    let size = matrix.nrows();
    let scratch = cholesky_in_place_scratch::<f64>(size, Par::Seq, Default::default());
    let mut memory = MemBuffer::new(scratch);
    cholesky_in_place(
        matrix.as_mut(),
        Default::default(),
        Par::Seq,
        MemStack::new(&mut memory),
        Default::default(),
    )
    .ok()?;
    for column in 0..size {
        (0..column).for_each(|row| matrix[(row, column)] = 0.0);
    }
    (0..size).all(|at| matrix[(at, at)].is_finite() && matrix[(at, at)] > 0.0).then_some(matrix)
}

/// `X` of `matrix X = right`; `None` as for [`cholesky`].
pub fn solve(matrix: Mat<f64>, mut right: Mat<f64>) -> Option<Mat<f64>> {
    let lower = cholesky(matrix)?;
    solve_lower_triangular_in_place(lower.as_ref(), right.as_mut(), Par::Seq);
    solve_upper_triangular_in_place(lower.transpose(), right.as_mut(), Par::Seq);
    Some(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_equations_by_hand() {
        // 4 x + 2 y = 10, 2 x + 3 y = 9.
        let matrix = Mat::from_fn(2, 2, |row, column| [[4.0, 2.0], [2.0, 3.0]][row][column]);
        let right = Mat::from_fn(2, 1, |row, _| [10.0, 9.0][row]);
        let found = solve(matrix, right).unwrap();
        assert!((found[(0, 0)] - 1.5).abs() < 1e-12 && (found[(1, 0)] - 2.0).abs() < 1e-12);
        assert!(solve(Mat::zeros(2, 2), Mat::zeros(2, 1)).is_none());
    }
}
