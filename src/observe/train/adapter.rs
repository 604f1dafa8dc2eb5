//! Adapters: a weight that stays, and a small update beside it that is trained and merged at the end.

use candle_core::{Device, Tensor};

use super::student::Trained;
use crate::calls;
use crate::graph::{SiteId, View};
use crate::pass::{Count, Positive};
use crate::runtime::Failure;
use crate::runtime::op::{Host, tensor};
use crate::tensor::random::Stream;
use crate::tensor::svd::factor;
use crate::tensor::{MatrixView, TensorError};

calls! {
    /// What is trained in the place of whole matrices. It is merged into them when training ends.
    pub enum Adapter("an adapter such as `lowrank(16)`") {
        /// Two factors whose product is added, times `alpha / rank` (LoRA, arXiv:2106.09685).
        LowRank = "lowrank" {
            /// The inner extent of the factors.
            rank: Count,
            /// What the product counts, times the rank.
            alpha: Positive = "16",
        },
        /// Single weights of each matrix: those that a low rank explains least.
        Sparse = "sparse" {
            /// How many of each matrix.
            count: Count,
        },
        /// Both (DSEE, arXiv:2111.00160).
        Dsee = "dsee" {
            /// The inner extent of the factors.
            rank: Count = "16",
            /// Single weights of each matrix.
            count: Count = "64",
            /// What the update counts, times the rank.
            alpha: Positive = "16",
        },
    }
}

impl Adapter {
    /// The rank of the factors, how many single weights there are, and what both count.
    fn parts(&self) -> (usize, usize, f64) {
        match *self {
            Self::LowRank { rank: Count(rank), alpha: Positive(alpha) } => (rank, 0, alpha / rank as f64),
            Self::Sparse { count: Count(count) } => (0, count, 1.0),
            Self::Dsee { rank: Count(rank), count: Count(count), alpha: Positive(alpha) } => {
                (rank, count, alpha / rank as f64)
            }
        }
    }

    /// Numbers that are trained for a matrix.
    pub fn weights(&self, out: usize, inputs: usize) -> usize {
        let (rank, count, _) = self.parts();
        rank * (out + inputs) + count.min(out * inputs)
    }
}

/// A matrix and its update, which is nothing before the first step.
pub struct Adapted {
    pub site: SiteId,
    pub view: View,
    pub matrix: MatrixView,
    /// `[out, in]`, as it was.
    frozen: Tensor,
    /// 0 where an earlier step made a weight zero.
    mask: Option<Tensor>,
    /// Places of `[out, rank]` and `[rank, in]` among the variables.
    factors: Option<[usize; 2]>,
    /// The place of single weights among the variables, and where they are in the matrix.
    spikes: Option<(usize, Tensor)>,
    scale: f64,
}

/// Names, shapes and values of variables that a matrix gets.
pub type Variables = Vec<(String, Tensor)>;

impl Adapted {
    /// The matrix at `path` with an update whose variables stand at `first` and behind it.
    ///
    /// # Errors
    /// Where the matrix cannot be taken apart, which is an error of ours.
    pub fn new(
        (site, view, matrix): (SiteId, View, MatrixView),
        adapter: &Adapter,
        path: &str,
        frozen: &Tensor,
        is_sparse: bool,
        (seed, first): (u64, usize),
    ) -> Result<(Self, Variables), Failure> {
        let (out, inputs) = frozen.dims2()?;
        let (rank, count, scale) = adapter.parts();
        let values = Host::of(frozen)?.values().to_vec();
        let mask = match is_sparse {
            true => {
                let on = values.iter().map(|value| f32::from(u8::from(*value != 0.0))).collect();
                Some(tensor(on, (out, inputs))?)
            }
            false => None,
        };
        let mut variables = Variables::new();
        let mut factors = None;
        if rank > 0 {
            let stream = Stream::new(seed, path);
            let size = 1.0 / (inputs as f64).sqrt();
            let drawn = (0..rank * inputs).map(|at| (stream.normal(at as u64) * size) as f32).collect();
            factors = Some([first, first + 1]);
            variables.push((format!("{path}, left factor"), tensor(vec![0.0; out * rank], (out, rank))?));
            variables.push((format!("{path}, right factor"), tensor(drawn, (rank, inputs))?));
        }
        let mut spikes = None;
        if count > 0 {
            let apart = support(&values, [out, inputs], rank.max(1), count);
            let at: Vec<u32> = apart.map_err(|error| candle_core::Error::Msg(error.to_string()))?;
            spikes = Some((first + variables.len(), Tensor::from_slice(&at, at.len(), &Device::Cpu)?));
            variables.push((format!("{path}, single weights"), tensor(vec![0.0; at.len()], at.len())?));
        }
        let made = Self { site, view, matrix, frozen: frozen.clone(), mask, factors, spikes, scale };
        Ok((made, variables))
    }

    /// The matrix with its update, `[out, in]`.
    ///
    /// # Errors
    /// Where shapes do not agree: an error of ours.
    pub fn whole(&self, trained: &[Trained]) -> Result<Tensor, Failure> {
        let mut whole = self.frozen.clone();
        if let Some([left, right]) = self.factors {
            let update = trained[left].tensor.matmul(&trained[right].tensor)?;
            whole = (whole + (update * self.scale)?)?;
        }
        if let Some((values, at)) = &self.spikes {
            let flat = whole.flatten_all()?;
            let added = (&trained[*values].tensor * self.scale)?;
            whole = flat.index_add(at, &added, 0)?.reshape(self.frozen.shape())?;
        }
        Ok(match &self.mask {
            Some(mask) => (whole * mask)?,
            None => whole,
        })
    }
}

/// Where the weights are that a low rank explains least: the largest of what is left when a matrix is split, turn by turn, into a low
/// rank and a sparse part, which begins as the largest weights (GoDec; DSEE, section 3.2, takes its randomized kin). Ascending.
///
/// # Errors
/// Where the matrix holds no numbers.
fn support(
    matrix: &[f32],
    [out, inputs]: [usize; 2],
    rank: usize,
    count: usize,
) -> Result<Vec<u32>, TensorError> {
    const TURNS: usize = 10;
    let rank = rank.min(out.min(inputs));
    let mut apart = largest(matrix, count);
    // What is not apart, and the low rank's own values where it is.
    let mut rest = matrix.to_vec();
    apart.iter().for_each(|&at| rest[at as usize] = 0.0);
    for _ in 0..TURNS {
        let low = factor(&rest, out, inputs, rank)?;
        let mut left = matrix.to_vec();
        for (row, left_of) in left.chunks_exact_mut(inputs).enumerate() {
            for (r, weight) in low.left[row * rank..][..rank].iter().enumerate() {
                let right = &low.right[r * inputs..][..inputs];
                left_of.iter_mut().zip(right).for_each(|(left, right)| *left -= weight * right);
            }
        }
        let next = largest(&left, count);
        if next == apart {
            break;
        }
        apart = next;
        rest.copy_from_slice(matrix);
        apart.iter().for_each(|&at| rest[at as usize] -= left[at as usize]);
    }
    Ok(apart)
}

/// Numbers of the largest values, whatever their sign; of equals the first. Ascending.
fn largest(values: &[f32], count: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..values.len() as u32).collect();
    let size = |at: u32| values[at as usize].abs();
    order.sort_by(|&a, &b| size(b).total_cmp(&size(a)).then(a.cmp(&b)));
    order.truncate(count);
    order.sort_unstable();
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    /// BERT-base: query and value of 12 layers, rank 16 and 64 single weights each: 591,360, 0.54 % of 109.5 M.
    #[test]
    fn an_adapter_has_as_many_weights_as_the_paper_says() {
        let dsee = Adapter::Dsee { rank: Count(16), count: Count(64), alpha: Positive(16.0) };
        assert_eq!(12 * 2 * dsee.weights(768, 768), 591_360);
    }

    /// A matrix of rank 2 with three weights that stand out.
    #[test]
    fn what_stands_out_of_a_low_rank_is_found() {
        let (out, inputs) = (12, 16);
        let stream = Stream::new(1, "low rank");
        let number = |at: usize| stream.normal(at as u64) as f32;
        let mut matrix: Vec<f32> = (0..out * inputs)
            .map(|at| {
                let (row, column) = (at / inputs, at % inputs);
                number(row) * number(100 + column) + number(200 + row) * number(300 + column)
            })
            .collect();
        for at in [5, 77, 150] {
            matrix[at] += 10.0;
        }
        assert_eq!(support(&matrix, [out, inputs], 2, 3).unwrap(), [5, 77, 150]);
    }
}
