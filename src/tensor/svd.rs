//! Low rank: truncated singular value decompositions of linear weights.
//!
//! W = U S V^T is cut after r singular values and shared out as (U sqrt(S)) (sqrt(S) V^T), so that y = left (right x).
//! The squared error of the cut is the sum of the squares of the values that were dropped.

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::svd::{ComputeSvdVectors, svd, svd_scratch};
use faer::{Mat, MatRef, Par};

use super::TensorError;
use super::error::expect_length;
use super::solve::{product, solve};
use super::whitening::Whitening;

/// The decomposition of a matrix [out, inputs], in f64.
///
/// It runs on one thread, so that no bit depends on how many there are: decompose several matrices side by side.
pub struct Svd {
    left: Mat<f64>,
    sigma: Vec<f64>,
    right: Mat<f64>,
}

/// Two matrices, row-major, whose product stands for one.
#[derive(Debug, Clone, PartialEq)]
pub struct Factors {
    pub rank: usize,
    /// [out, rank]
    pub left: Vec<f32>,
    /// [rank, inputs]
    pub right: Vec<f32>,
}

impl Factors {
    /// The left factor with which the product comes nearest to a matrix over other inputs, whose products `sum x x^T` these are:
    /// `L = W C R^T (R C R^T)^-1`. As it was where these inputs do not say it.
    pub fn refit(&mut self, matrix: &[f32], products: &[f64]) {
        let rank = self.rank;
        let (out, inputs) = (self.left.len() / rank, self.right.len() / rank);
        let right = Mat::from_fn(rank, inputs, |r, i| f64::from(self.right[r * inputs + i]));
        let products = Mat::from_fn(inputs, inputs, |row, column| products[row * inputs + column]);
        let seen = product(products.as_ref(), right.transpose());
        let weights = Mat::from_fn(out, inputs, |o, i| f64::from(matrix[o * inputs + i]));
        let wanted = product(weights.as_ref(), seen.as_ref());
        let Some(fitted) = solve(product(right.as_ref(), seen.as_ref()), wanted.transpose().to_owned())
        else {
            return;
        };
        self.left = (0..out * rank).map(|at| fitted[(at % rank, at / rank)] as f32).collect();
    }
}

impl Svd {
    /// Decomposes a row-major matrix of f32 or f64.
    pub fn new<T: Copy + Into<f64>>(matrix: &[T], out: usize, inputs: usize) -> Result<Self, TensorError> {
        let matrix = finite(matrix, out, inputs)?;
        let rank = out.min(inputs);
        let (mut left, mut right) = (Mat::zeros(out, rank), Mat::zeros(inputs, rank));
        let sigma = decompose(&matrix, out, inputs, Some((&mut left, &mut right)))?;
        Ok(Self { left, sigma, right })
    }

    /// All singular values, largest first.
    pub fn sigma(&self) -> &[f64] {
        &self.sigma
    }

    /// The best approximation of this rank, with the root of each singular value on either side.
    ///
    /// Signs are fixed: the largest entry of each column of `left`, the first of equals, is positive.
    pub fn factors(&self, rank: usize) -> Result<Factors, TensorError> {
        self.unwhitened(rank, |_| {})
    }

    /// The same of a whitened matrix, with `undo` done to the right factor, `[rank, inputs]`.
    fn unwhitened(&self, rank: usize, undo: impl FnOnce(&mut [f64])) -> Result<Factors, TensorError> {
        let most = self.sigma.len();
        if !(1..=most).contains(&rank) {
            return Err(TensorError::Rank { rank, most });
        }
        let scale: Vec<f64> = (0..rank).map(|r| self.sign(r) * self.sigma[r].sqrt()).collect();
        let left = (0..self.left.nrows()).flat_map(|o| scale.iter().enumerate().map(move |(r, s)| (o, r, s)));
        let right =
            scale.iter().enumerate().flat_map(|(r, s)| (0..self.right.nrows()).map(move |i| (r, i, s)));
        let mut right: Vec<f64> = right.map(|(r, i, scale)| self.right[(i, r)] * scale).collect();
        undo(&mut right);
        Ok(Factors {
            rank,
            left: left.map(|(o, r, scale)| (self.left[(o, r)] * scale) as f32).collect(),
            right: right.into_iter().map(|value| value as f32).collect(),
        })
    }

    fn sign(&self, r: usize) -> f64 {
        let column = (0..self.left.nrows()).map(|o| self.left[(o, r)]);
        let largest = column.fold(0.0_f64, |most, entry| if entry.abs() > most.abs() { entry } else { most });
        if largest < 0.0 { -1.0 } else { 1.0 }
    }
}

/// Cuts a row-major matrix [out, inputs] down to a rank.
pub fn factor(matrix: &[f32], out: usize, inputs: usize, rank: usize) -> Result<Factors, TensorError> {
    Svd::new(matrix, out, inputs)?.factors(rank)
}

/// The same for inputs that are not white: the error is least where they are largest.
pub fn factor_whitened(
    matrix: &[f32],
    out: usize,
    inputs: usize,
    rank: usize,
    whitening: &Whitening,
) -> Result<Factors, TensorError> {
    expect_length("elements", out.checked_mul(inputs).ok_or(TensorError::Overflow)?, matrix.len())?;
    let svd = Svd::new(&whitening.applied(matrix, inputs), out, inputs)?;
    svd.unwhitened(rank, |right| whitening.undo(right, inputs))
}

/// The singular values alone, largest first.
pub fn singular_values<T: Copy + Into<f64>>(
    matrix: &[T],
    out: usize,
    inputs: usize,
) -> Result<Vec<f64>, TensorError> {
    decompose(&finite(matrix, out, inputs)?, out, inputs, None)
}

/// The smallest rank, at least 1, whose singular values hold this share of the sum of squares.
pub fn rank_for_energy(sigma: &[f64], share: f64) -> usize {
    let squares = || sigma.iter().map(|value| value * value);
    let wanted = share * squares().sum::<f64>();
    let mut held = 0.0;
    let below = squares().take_while(|square| {
        held += square;
        held < wanted
    });
    (below.count() + 1).min(sigma.len()).max(1)
}

/// The largest rank, at least 1, at which both factors together have at most this share of the parameters.
pub fn rank_for_share(out: usize, inputs: usize, share: f64) -> usize {
    ((out as f64 * inputs as f64 * share / (out as f64 + inputs as f64)) as usize).max(1)
}

/// Where two factors have as many parameters as the matrix. Only a lower rank saves.
pub fn break_even_rank(out: usize, inputs: usize) -> f64 {
    out as f64 * inputs as f64 / (out as f64 + inputs as f64)
}

fn finite<T: Copy + Into<f64>>(matrix: &[T], out: usize, inputs: usize) -> Result<Vec<f64>, TensorError> {
    if out == 0 || inputs == 0 {
        return Err(TensorError::Empty);
    }
    expect_length("elements", out.checked_mul(inputs).ok_or(TensorError::Overflow)?, matrix.len())?;
    let matrix: Vec<f64> = matrix.iter().map(|value| (*value).into()).collect();
    match matrix.iter().filter(|value| !value.is_finite()).count() {
        0 => Ok(matrix),
        count => Err(TensorError::NotFinite(count)),
    }
}

fn decompose(
    matrix: &[f64],
    out: usize,
    inputs: usize,
    vectors: Option<(&mut Mat<f64>, &mut Mat<f64>)>,
) -> Result<Vec<f64>, TensorError> {
    let wanted = if vectors.is_some() { ComputeSvdVectors::Thin } else { ComputeSvdVectors::No };
    let scratch = svd_scratch::<f64>(out, inputs, wanted, wanted, Par::Seq, Default::default());
    let mut memory = MemBuffer::try_new(scratch).map_err(|_| TensorError::Overflow)?;
    let mut sigma = Diag::zeros(out.min(inputs));
    let (left, right) = vectors.map(|(left, right)| (left.as_mut(), right.as_mut())).unzip();
    svd(
        MatRef::from_row_major_slice(matrix, out, inputs),
        sigma.as_mut(),
        left,
        right,
        Par::Seq,
        MemStack::new(&mut memory),
        Default::default(),
    )
    .map_err(|_| TensorError::NoConvergence { out, inputs })?;
    Ok(sigma.column_vector().iter().copied().collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tensor::random::Stream;

    fn product(factors: &Factors, inputs: usize) -> Vec<f64> {
        let rows = factors.left.chunks(factors.rank);
        let entry = |row: &[f32], i: usize| -> f64 {
            row.iter()
                .enumerate()
                .map(|(r, l)| f64::from(*l) * f64::from(factors.right[r * inputs + i]))
                .sum()
        };
        rows.flat_map(|row| (0..inputs).map(move |i| entry(row, i))).collect()
    }

    fn squared_distance(matrix: &[f32], other: &[f64]) -> f64 {
        matrix.iter().zip(other).map(|(a, b)| (f64::from(*a) - b).powi(2)).sum()
    }

    fn random(out: usize, inputs: usize) -> Vec<f32> {
        let mut matrix = vec![0.0; out * inputs];
        Stream::new(1, "svd").fill(0, &mut matrix);
        matrix.iter().map(|value| value - 0.5).collect()
    }

    #[test]
    fn a_diagonal_by_hand() {
        // diag(1, 4): the larger value is kept, its root on either side.
        let svd = Svd::new(&[1.0_f32, 0.0, 0.0, 4.0], 2, 2).unwrap();
        assert_eq!(svd.sigma(), [4.0, 1.0]);
        assert_eq!(svd.factors(1), Ok(Factors { rank: 1, left: vec![0.0, 2.0], right: vec![0.0, 2.0] }));
    }

    #[test]
    fn whitening_by_the_inputs_changes_what_is_kept() {
        // The card's case: W = diag(1, 0.8) with inputs of energy (1, 4). W S has 1.6 and 1.0: the second row stays.
        let weight = [1.0, 0.0, 0.0, 0.8];
        let whitening = Whitening::of_products(&[1.0, 0.0, 0.0, 4.0], 2).unwrap();
        let whitened = factor_whitened(&weight, 2, 2, 1, &whitening).unwrap();
        assert!(squared_distance(&[0.0, 0.0, 0.0, 0.8], &product(&whitened, 2)) < 1e-12);
        let plain = factor(&weight, 2, 2, 1).unwrap();
        assert!((squared_distance(&weight, &product(&plain, 2)) - 0.64).abs() < 1e-6);
    }

    #[test]
    fn ranks_by_energy_share_and_break_even() {
        // Squares 9, 4, 1 of 14.
        assert_eq!(
            [0.0, 9.0 / 14.0, 0.65, 0.93, 1.0].map(|share| rank_for_energy(&[3.0, 2.0, 1.0], share)),
            [1, 1, 2, 3, 3]
        );
        assert_eq!(rank_for_energy(&[0.0, 0.0], 1.0), 1);
        assert_eq!(break_even_rank(4096, 4096), 2048.0);
        assert_eq!(rank_for_share(4096, 4096, 0.8), 1638);
        assert!((break_even_rank(4096, 11008) - 2985.2).abs() < 0.05);
        assert_eq!(rank_for_share(4096, 11008, 0.8), 2388);
    }

    #[test]
    fn impossible_requests_are_refused() {
        assert_eq!(factor(&[1.0; 6], 2, 3, 3), Err(TensorError::Rank { rank: 3, most: 2 }));
        assert_eq!(factor(&[1.0; 6], 2, 3, 0), Err(TensorError::Rank { rank: 0, most: 2 }));
        assert_eq!(factor(&[], 0, usize::MAX, 1), Err(TensorError::Empty));
        assert_eq!(factor(&[1.0, f32::NAN], 1, 2, 1), Err(TensorError::NotFinite(1)));
        assert!(factor(&[1.0; 5], 2, 3, 1).is_err());
    }

    #[test]
    fn a_matrix_of_zeros_has_factors_of_zeros() {
        let factors = factor(&[0.0; 6], 2, 3, 2).unwrap();
        assert!(factors.left.iter().chain(&factors.right).all(|value| *value == 0.0));
    }

    #[test]
    fn threads_change_no_bit_and_signs_are_fixed() {
        let matrix = random(70, 40);
        let factors = factor(&matrix, 70, 40, 12).unwrap();
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(pool.install(|| factor(&matrix, 70, 40, 12)).unwrap(), factors);
        }
        for r in 0..12 {
            let column = factors.left.iter().skip(r).step_by(12);
            let largest = column.max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap();
            assert!(*largest > 0.0);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn the_error_is_the_energy_that_was_dropped(
            out in 1..14_usize, inputs in 1..14_usize, rank in any::<prop::sample::Index>()
        ) {
            let matrix = random(out, inputs);
            let svd = Svd::new(&matrix, out, inputs).unwrap();
            let rank = rank.index(out.min(inputs)) + 1;
            let factors = svd.factors(rank).unwrap();
            let dropped: f64 = svd.sigma()[rank..].iter().map(|value| value * value).sum();
            prop_assert!((squared_distance(&matrix, &product(&factors, inputs)) - dropped).abs() < 1e-5);
            let energy: f64 = matrix.iter().map(|value| f64::from(*value).powi(2)).sum();
            prop_assert!((svd.sigma().iter().map(|value| value * value).sum::<f64>() - energy).abs() < 1e-9);
            for (value, alone) in svd.sigma().iter().zip(singular_values(&matrix, out, inputs).unwrap()) {
                prop_assert!((value - alone).abs() < 1e-9);
            }
            let full = svd.factors(out.min(inputs)).unwrap();
            let whole = product(&full, inputs);
            prop_assert!(matrix.iter().zip(whole).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-6));
        }
    }
}
