//! What two factors leave of a matrix: the rows of it that weigh most.

use super::svd::Factors;

/// Some rows of a difference.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// Their numbers, ascending.
    pub at: Vec<usize>,
    /// Their values, row after row.
    pub values: Vec<f32>,
}

/// The `count` rows of `matrix [out, inputs]` less `left right` whose mean magnitude is largest; of equal ones the first.
pub fn heaviest_rows(matrix: &[f32], factors: &Factors, inputs: usize, count: usize) -> Rows {
    let (inputs, rank) = (inputs.max(1), factors.rank);
    let rows = matrix.chunks_exact(inputs).zip(factors.left.chunks_exact(rank.max(1)));
    let rest = |(row, left): (&[f32], &[f32])| -> Vec<f64> {
        let mut rest: Vec<f64> = row.iter().map(|&weight| f64::from(weight)).collect();
        for (&left, right) in left.iter().zip(factors.right.chunks_exact(inputs)) {
            rest.iter_mut().zip(right).for_each(|(rest, &right)| *rest -= f64::from(left) * f64::from(right));
        }
        rest
    };
    let rest: Vec<Vec<f64>> = rows.map(rest).collect();
    let weights: Vec<f64> = rest.iter().map(|row| row.iter().map(|it| it.abs()).sum()).collect();
    let mut at: Vec<usize> = (0..rest.len()).collect();
    at.sort_by(|&a, &b| weights[b].total_cmp(&weights[a]));
    at.truncate(count);
    at.sort_unstable();
    let values = at.iter().flat_map(|&row| &rest[row]).map(|&it| it as f32).collect();
    Rows { at, values }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::svd::factor;

    /// Of diag(3, 1, 2) the factors of rank 1 have the first row; of the others the last weighs most.
    #[test]
    fn what_is_left_of_a_worked_case() {
        let matrix = [3.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 2.0];
        let factors = factor(&matrix, 3, 3, 1).unwrap();
        let rows = heaviest_rows(&matrix, &factors, 3, 1);
        assert_eq!(rows.at, [2]);
        assert!(rows.values.iter().zip([0.0, 0.0, 2.0]).all(|(a, b)| (a - b).abs() < 1e-6), "{rows:?}");
    }

    /// All rows together with the product are the matrix; behind all factors nothing is left.
    #[test]
    fn all_rows_make_up_for_all_that_factors_lose() {
        let stream = crate::tensor::random::Stream::new(3, "w");
        let matrix: Vec<f32> = (0..5 * 7).map(|at| stream.uniform(at) - 0.5).collect();
        let factors = factor(&matrix, 5, 7, 2).unwrap();
        let rows = heaviest_rows(&matrix, &factors, 7, 5);
        for (at, weight) in matrix.iter().enumerate() {
            let (row, column) = (at / 7, at % 7);
            let product: f32 =
                (0..2).map(|r| factors.left[row * 2 + r] * factors.right[r * 7 + column]).sum();
            assert!((product + rows.values[at] - weight).abs() < 1e-6);
        }
        let whole = factor(&matrix, 5, 7, 5).unwrap();
        let rest = heaviest_rows(&matrix, &whole, 7, 5).values;
        assert!(rest.iter().all(|it| it.abs() < 1e-6), "{rest:?}");
    }
}
