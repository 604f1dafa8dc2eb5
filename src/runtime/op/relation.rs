//! Divergence of who attends to whom: of the softmax of scaled products of two values, token by token and head by head.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::host::{Host, made, slice, tensor};
use crate::runtime::kernel::exp::exp;
use crate::runtime::kernel::product::{Into, Matrix, Threads, product};
use crate::runtime::loss::log_sum_exp;

/// Two values of one model, whose products are compared: queries and keys, or values and values. Their heads are counted
/// anew, so that models of other widths can be compared.
#[derive(Debug, Clone)]
pub struct Related {
    /// `[rows, width]` each, row after row.
    pub left: Arc<Vec<f32>>,
    pub right: Arc<Vec<f32>>,
    pub width: usize,
}

struct Relation {
    teacher: Related,
    sequences: Arc<Vec<Range<usize>>>,
    heads: usize,
    causal: bool,
    /// Of each sequence and head the student's probabilities less the teacher's, `[row, key]`: what the gradient is made of. Kept
    /// from the forward pass, as they take as long again.
    apart: Mutex<Vec<Vec<f32>>>,
}

/// For each row the mean over `heads` of `KL(teacher || student)` of the softmax of `left right^T / sqrt(width / heads)` over the rows
/// of its sequence, `[rows]`, in nats: MiniLM's attention transfer with queries and keys, its value relation with values and values
/// (Wang et al., arXiv:2002.10957, equations 2 to 7; arXiv:2012.15828 for heads that are counted anew). The teacher is a constant.
///
/// # Errors
/// Where widths are no multiples of the heads, or there are other rows on the teacher's side.
pub fn relation(
    left: &Tensor,
    right: &Tensor,
    teacher: Related,
    sequences: &Arc<Vec<Range<usize>>>,
    heads: usize,
    causal: bool,
) -> Result<Tensor> {
    let op = Relation { teacher, sequences: Arc::clone(sequences), heads, causal, apart: Mutex::default() };
    left.contiguous()?.apply_op2(&right.contiguous()?, op)
}

/// A sequence's rows, and a head.
type Place<'a> = (&'a Range<usize>, usize);

impl Relation {
    /// Checks shapes; the student's width.
    fn width(&self, rows: usize, dims: [usize; 2]) -> Result<usize> {
        let fits = dims[0] == dims[1]
            && dims[0].is_multiple_of(self.heads)
            && self.teacher.width.is_multiple_of(self.heads)
            && [&self.teacher.left, &self.teacher.right]
                .iter()
                .all(|it| it.len() == rows * self.teacher.width);
        match fits {
            true => Ok(dims[0]),
            false => Err(candle_core::Error::Msg("relations are of the same rows and of whole heads".into())),
        }
    }

    fn places(&self) -> Vec<Place<'_>> {
        let heads = |range| (0..self.heads).map(move |head| (range, head));
        self.sequences.iter().flat_map(heads).collect()
    }

    /// What of a value a head has, in the rows of a sequence.
    fn part<'v>(&self, values: &'v [f32], width: usize, (range, head): Place<'_>) -> Matrix<'v> {
        let size = width / self.heads;
        Matrix::rows(&values[range.start * width + head * size..], range.len(), size, width)
    }

    /// Scores, `[row, key]`; behind what a row sees nothing is written.
    fn scores(&self, left: &[f32], right: &[f32], width: usize, place: Place<'_>) -> Vec<f32> {
        let (count, scale) = (place.0.len(), 1.0 / ((width / self.heads) as f32).sqrt());
        let mut scores = vec![0.0; count * count];
        let (left, right) = (self.part(left, width, place), self.part(right, width, place));
        product((&mut scores, count), Into::Replace, scale, left, right.transposed(), Threads::One);
        scores
    }

    /// The divergence of each row, and the student's probabilities less the teacher's.
    fn compare(&self, left: &[f32], right: &[f32], width: usize, place: Place<'_>) -> (Vec<f64>, Vec<f32>) {
        let teacher = &self.teacher;
        let theirs = self.scores(&teacher.left, &teacher.right, teacher.width, place);
        let mut ours = self.scores(left, right, width, place);
        let count = place.0.len().max(1);
        let mut losses = Vec::with_capacity(count);
        for (row, (ours, theirs)) in ours.chunks_exact_mut(count).zip(theirs.chunks_exact(count)).enumerate()
        {
            let seen = if self.causal { row + 1 } else { count };
            let (own, their) = (log_sum_exp(&ours[..seen]), log_sum_exp(&theirs[..seen]));
            // sum p (log p - log q), with scores in the place of logarithms.
            let mut loss = own - their;
            for (ours, theirs) in ours[..seen].iter_mut().zip(theirs) {
                let share = exp(theirs - their as f32);
                loss += f64::from(share) * f64::from(theirs - *ours);
                *ours = exp(*ours - own as f32) - share;
            }
            ours[seen..].fill(0.0);
            losses.push(loss.max(0.0));
        }
        (losses, ours)
    }
}

impl CustomOp2 for Relation {
    fn name(&self) -> &'static str {
        "relation"
    }

    fn cpu_fwd(
        &self,
        left: &CpuStorage,
        left_layout: &Layout,
        right: &CpuStorage,
        right_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = left_layout.shape().dims2()?;
        let width = self.width(rows, [width, right_layout.shape().dims2()?.1])?;
        let (left, right) = (slice(left, left_layout)?, slice(right, right_layout)?);
        let places = self.places();
        let compare = |&place: &Place<'_>| self.compare(left, right, width, place);
        let found: Vec<(Vec<f64>, Vec<f32>)> = places.par_iter().map(compare).collect();
        let mut losses = vec![0.0; rows];
        let mut apart = Vec::with_capacity(found.len());
        for (&(range, _), (of_rows, difference)) in places.iter().zip(found) {
            let sums = losses[range.clone()].iter_mut().zip(of_rows);
            sums.for_each(|(sum, loss): (&mut f64, f64)| *sum += loss / self.heads as f64);
            apart.push(difference);
        }
        *self.apart.lock().unwrap_or_else(PoisonError::into_inner) = apart;
        made(losses.into_iter().map(|loss| loss as f32).collect(), rows)
    }

    fn bwd(
        &self,
        left: &Tensor,
        right: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        let (a, b, gradient) = (Host::of(left)?, Host::of(right)?, Host::of(&dy)?);
        let (a, b, dy) = (a.values(), b.values(), gradient.values());
        let width = left.dims2()?.1;
        let size = width / self.heads;
        let scale = 1.0 / (size as f32).sqrt() / self.heads as f32;
        let apart = self.apart.lock().unwrap_or_else(PoisonError::into_inner);
        let places = self.places();
        // Of each sequence and head the gradients of its part of both values.
        let gradients = |(&place, apart): (&Place<'_>, &Vec<f32>)| {
            let count = place.0.len();
            let mut slopes = apart.clone();
            let rows = slopes.chunks_exact_mut(count.max(1)).zip(&dy[place.0.clone()]);
            rows.for_each(|(row, dy)| row.iter_mut().for_each(|slope| *slope *= dy));
            let slopes = Matrix::rows(&slopes, count, count, count);
            let (mut of_left, mut of_right) = (vec![0.0; count * size], vec![0.0; count * size]);
            let (left, right) = (self.part(a, width, place), self.part(b, width, place));
            product((&mut of_left, size), Into::Replace, scale, slopes, right, Threads::One);
            product((&mut of_right, size), Into::Replace, scale, slopes.transposed(), left, Threads::One);
            (of_left, of_right)
        };
        let found: Vec<(Vec<f32>, Vec<f32>)> =
            places.par_iter().zip(apart.par_iter()).map(gradients).collect();
        let (mut of_left, mut of_right) = (vec![0.0; a.len()], vec![0.0; b.len()]);
        for (&(range, head), (lefts, rights)) in places.iter().zip(&found) {
            for (to, from) in [(&mut of_left, lefts), (&mut of_right, rights)] {
                for (row, from) in range.clone().zip(from.chunks_exact(size.max(1))) {
                    let to: &mut [f32] = &mut to[row * width + head * size..][..size];
                    to.copy_from_slice(from);
                }
            }
        }
        Ok((Some(tensor(of_left, left.shape())?), Some(tensor(of_right, right.shape())?)))
    }
}
