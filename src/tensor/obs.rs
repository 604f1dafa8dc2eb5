//! Optimal brain surgery by columns: weights are zeroed one input after the other, and what each zero does to the output is
//! made up for by the inputs to its right (SparseGPT, arXiv:2301.00774, algorithm 1).
//!
//! With `H = X^T X` and `U` the upper Cholesky factor of its inverse, zeroing weight `q` of a row changes the weights to its
//! right by `-w_q / U_qq U_q,:`, at a cost of `w_q^2 / (2 U_qq^2)`.

use faer::linalg::triangular_inverse::invert_lower_triangular;
use faer::{Mat, Par};
use rayon::prelude::*;

use super::cut::{at_least, select};
use super::pattern::Pattern;
use super::solve::cholesky;

/// Columns whose zeros are chosen together, and whose corrections reach the columns behind them at once.
const BLOCK: usize = 128;

/// Which weights become zero.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Zeroing {
    /// All but `n` of every `m` inputs of a row.
    Pattern(Pattern),
    /// That share of every block of columns, over all rows.
    Share(f64),
}

/// The upper factor of the inverse of a damped Gram matrix.
#[derive(Debug)]
pub struct Inverse {
    /// `[inputs, inputs]`, row after row, zero below the diagonal.
    upper: Vec<f32>,
    inputs: usize,
    /// Inputs that were never anything but zero.
    dead: Vec<bool>,
    /// What was added to the diagonal, as a share of its mean.
    pub damping: f64,
}

impl Inverse {
    /// Of `products [inputs, inputs]`, the sum of `x x^T`. The damping is multiplied by ten until the factorization goes through.
    ///
    /// `None` where it never does: products that are not finite.
    pub fn new(products: &[f64], inputs: usize, damping: f64) -> Option<Self> {
        let diagonal = |at: usize| products[at * inputs + at];
        let dead: Vec<bool> = (0..inputs).map(|at| diagonal(at) == 0.0).collect();
        let mean =
            (0..inputs).map(|at| if dead[at] { 1.0 } else { diagonal(at) }).sum::<f64>() / inputs as f64;
        let mut share = damping;
        for _ in 0..8 {
            let damped = |row: usize, column: usize| {
                let own = if row == column { f64::from(u8::from(dead[row])) + share * mean } else { 0.0 };
                products[row * inputs + column] + own
            };
            if let Some(upper) = upper_of_inverse(damped, inputs) {
                return Some(Self { upper, inputs, dead, damping: share });
            }
            share = (share * 10.0).max(1e-8);
        }
        None
    }

    fn diagonal(&self, at: usize) -> f32 {
        self.upper[at * self.inputs + at]
    }

    /// Zeroes weights of a matrix `[out, inputs]` and changes the others to make up for it. What was lost, as half the squared
    /// change of the output over the data, summed over rows.
    pub fn prune(&self, weights: &mut [f32], zeroing: Zeroing) -> f64 {
        let inputs = self.inputs;
        for row in weights.chunks_exact_mut(inputs) {
            row.iter_mut().zip(&self.dead).filter(|(_, dead)| **dead).for_each(|(weight, _)| *weight = 0.0);
        }
        let out = weights.len() / inputs.max(1);
        let mut lost = 0.0;
        let block = match zeroing {
            // Whole groups, so that none is divided.
            Zeroing::Pattern(pattern) => (BLOCK / pattern.of()).max(1) * pattern.of(),
            Zeroing::Share(_) => BLOCK,
        };
        for start in (0..inputs).step_by(block) {
            let end = (start + block).min(inputs);
            let width = end - start;
            let drop = match zeroing {
                Zeroing::Share(share) => Some(self.lowest(weights, start..end, share)),
                Zeroing::Pattern(_) => None,
            };
            let mut errors = vec![0.0f32; out * width];
            let rows = weights.par_chunks_mut(inputs).zip(errors.par_chunks_mut(width)).enumerate();
            let losses: Vec<f64> = rows
                .map(|(row, (weights, errors))| {
                    let drop = drop.as_ref().map(|drop| &drop[row * width..(row + 1) * width]);
                    self.row(weights, start..end, drop, zeroing, errors)
                })
                .collect();
            lost += losses.iter().sum::<f64>();
            weights.par_chunks_mut(inputs).zip(errors.par_chunks(width)).for_each(|(weights, errors)| {
                for (at, &error) in errors.iter().enumerate().filter(|(_, error)| **error != 0.0) {
                    let upper = &self.upper[(start + at) * inputs + end..(start + at + 1) * inputs];
                    weights[end..].iter_mut().zip(upper).for_each(|(weight, upper)| *weight -= error * upper);
                }
            });
        }
        lost
    }

    /// The weights of a block of columns that cost least, over all rows; of equals the first.
    fn lowest(&self, weights: &[f32], columns: std::ops::Range<usize>, share: f64) -> Vec<bool> {
        let cost = |row: &[f32]| -> Vec<f32> {
            columns.clone().map(|at| (row[at] / self.diagonal(at)).powi(2)).collect()
        };
        let costs: Vec<f32> = weights.chunks_exact(self.inputs).flat_map(cost).collect();
        let count = at_least(costs.len(), share);
        let cut = select(&costs, count, &mut Vec::new()).expect("no more go than there are");
        let mut keep = vec![false; costs.len()];
        cut.keep(0, &costs, &mut keep);
        keep.into_iter().map(|keep| !keep).collect()
    }

    /// One row of a block: its errors, and what was lost.
    fn row(
        &self,
        weights: &mut [f32],
        columns: std::ops::Range<usize>,
        drop: Option<&[bool]>,
        zeroing: Zeroing,
        errors: &mut [f32],
    ) -> f64 {
        let (start, end) = (columns.start, columns.end);
        let mut chosen = vec![false; end - start];
        if let Some(drop) = drop {
            chosen.copy_from_slice(drop);
        }
        let mut lost = 0.0;
        for at in start..end {
            if let Zeroing::Pattern(pattern) = zeroing
                && at.is_multiple_of(pattern.of())
            {
                self.group(weights, at, pattern, &mut chosen[at - start..]);
            }
            if !chosen[at - start] {
                continue;
            }
            let diagonal = self.diagonal(at);
            let error = weights[at] / diagonal;
            lost += f64::from(error).powi(2) / 2.0;
            errors[at - start] = error;
            let upper = &self.upper[at * self.inputs + at..at * self.inputs + end];
            weights[at..end].iter_mut().zip(upper).for_each(|(weight, upper)| *weight -= error * upper);
            weights[at] = 0.0;
        }
        lost
    }

    /// Of a group of inputs those that cost least go.
    fn group(&self, weights: &[f32], at: usize, pattern: Pattern, chosen: &mut [bool]) {
        let group = at..(at + pattern.of()).min(self.inputs);
        let mut costs: Vec<(f32, usize)> =
            group.map(|column| ((weights[column] / self.diagonal(column)).powi(2), column)).collect();
        costs.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let gone = costs.len().saturating_sub(pattern.keep());
        costs[..gone].iter().for_each(|(_, column)| chosen[column - at] = true);
    }
}

/// `U` with `H^-1 = U^T U`: with rows and columns in reverse order, `H = M M^T`, and `U` is the inverse of `M` turned back.
fn upper_of_inverse(h: impl Fn(usize, usize) -> f64, count: usize) -> Option<Vec<f32>> {
    let last = count.checked_sub(1)?;
    let factor = cholesky(Mat::from_fn(count, count, |row, column| h(last - row, last - column)))?;
    let mut inverse = Mat::<f64>::zeros(count, count);
    invert_lower_triangular(inverse.as_mut(), factor.as_ref(), Par::Seq);
    let entry = |at: usize| {
        let (row, column) = (at / count, at % count);
        if column < row { 0.0 } else { inverse[(last - row, last - column)] as f32 }
    };
    let upper: Vec<f32> = (0..count * count).map(entry).collect();
    upper.iter().all(|value| value.is_finite()).then_some(upper)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked cases of the method's card: H = [[3,2,2],[2,3,2],[2,2,3]], w = (1, -0.5, 0.25), no damping.
    #[test]
    fn corrections_reach_to_the_right_only() {
        let products = [3.0, 2.0, 2.0, 2.0, 3.0, 2.0, 2.0, 2.0, 3.0];
        let inverse = Inverse::new(&products, 3, 0.0).unwrap();
        for (at, exact) in [(0, 0.714_286f32), (1, 0.6), (2, 1.0 / 3.0)] {
            assert!((inverse.diagonal(at).powi(2) - exact).abs() < 1e-5);
        }
        let pruned = |drop: [bool; 3]| {
            let (mut weights, mut errors) = ([1.0, -0.5, 0.25], [0.0; 3]);
            let lost = inverse.row(&mut weights, 0..3, Some(&drop), Zeroing::Share(0.0), &mut errors);
            (weights, lost)
        };
        let near = |(weights, lost): ([f32; 3], f64), exact: [f32; 3], loss: f64| {
            for (weight, exact) in weights.iter().zip(exact) {
                assert!((weight - exact).abs() < 1e-5, "{weights:?}, not {exact:?}");
            }
            assert!((lost - loss).abs() < 1e-5, "{lost}, not {loss}");
        };
        near(pruned([true, false, false]), [0.0, -0.1, 0.65], 0.7);
        near(pruned([false, true, false]), [1.0, 0.0, -0.083_333], 0.208_333);
        near(pruned([false, false, true]), [1.0, -0.5, 0.0], 0.093_75);
        near(pruned([true, false, true]), [0.0, -0.1, 0.0], 1.333_75);
        near(pruned([false, true, true]), [1.0, 0.0, 0.0], 0.218_75);
    }

    /// Inputs that do not go together cannot make up for each other.
    #[test]
    fn a_diagonal_changes_no_weight_that_stays() {
        let mut products = vec![0.0; 64];
        (0..8).for_each(|at| products[at * 8 + at] = 1.0 + at as f64);
        let inverse = Inverse::new(&products, 8, 0.0).unwrap();
        let original = [3.0, -1.0, 0.5, 2.0, 1.0, 1.0, -4.0, 0.1];
        let mut weights = original;
        inverse.prune(&mut weights, Zeroing::Pattern(Pattern::new(2, 4).unwrap()));
        assert_eq!(weights, [3.0, 0.0, 0.0, 2.0, 0.0, 1.0, -4.0, 0.0]);
    }

    /// The loss that is added up is half of `dw H dw`, and less than that of zeroing without making up.
    #[test]
    fn losses_are_those_of_the_output() {
        let (inputs, rows) = (24, 5);
        let mut state = 7u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(state >> 8) / f64::from(1 << 23) - 1.0
        };
        let x: Vec<f64> = (0..60 * inputs).map(|_| next()).collect();
        let shared: Vec<f64> = (0..60).map(|_| next()).collect();
        let x: Vec<f64> = x.iter().enumerate().map(|(at, it)| it + shared[at / inputs]).collect();
        let entry = |at: usize| {
            (0..60).map(|row| x[row * inputs + at / inputs] * x[row * inputs + at % inputs]).sum()
        };
        let products: Vec<f64> = (0..inputs * inputs).map(entry).collect();
        let original: Vec<f32> = (0..rows * inputs).map(|_| next() as f32).collect();
        let inverse = Inverse::new(&products, inputs, 0.0).unwrap();
        let mut weights = original.clone();
        let lost = inverse.prune(&mut weights, Zeroing::Share(0.5));
        let of = |changed: &[f32]| -> f64 {
            let change: Vec<f64> = changed.iter().zip(&original).map(|(a, b)| f64::from(a - b)).collect();
            let row = |row: &[f64]| -> f64 {
                (0..inputs * inputs).map(|at| row[at / inputs] * products[at] * row[at % inputs]).sum::<f64>()
                    / 2.0
            };
            change.chunks(inputs).map(row).sum()
        };
        assert!((lost / of(&weights) - 1.0).abs() < 1e-3, "{lost}, by the output {}", of(&weights));
        assert_eq!(weights.iter().filter(|weight| **weight == 0.0).count(), 60);
        let only_zeroed: Vec<f32> =
            weights.iter().zip(&original).map(|(w, o)| if *w == 0.0 { 0.0 } else { *o }).collect();
        assert!(lost < of(&only_zeroed));
    }
}
