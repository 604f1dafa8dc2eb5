//! Divergence of who attends to whom: of the softmax of scaled products of two values, token by token and head by head.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::host::{Host, made, slice, tensor};

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
    let op = Relation { teacher, sequences: Arc::clone(sequences), heads, causal };
    left.contiguous()?.apply_op2(&right.contiguous()?, op)
}

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

    /// Visits each sequence and head with the probabilities of both sides, `[row, key]`, teacher first.
    fn each<T: Send>(
        &self,
        left: &[f32],
        right: &[f32],
        width: usize,
        f: impl Fn(&Range<usize>, usize, &[f64], &[f64]) -> T + Sync,
    ) -> Vec<T> {
        let parts = self.sequences.iter().flat_map(|range| (0..self.heads).map(move |head| (range, head)));
        let parts: Vec<(&Range<usize>, usize)> = parts.collect();
        let of_part = |&(range, head): &(&Range<usize>, usize)| {
            let teacher = &self.teacher;
            let theirs = self.shares(&teacher.left, &teacher.right, teacher.width, range, head);
            let ours = self.shares(left, right, width, range, head);
            f(range, head, &theirs, &ours)
        };
        parts.par_iter().map(of_part).collect()
    }

    fn shares(
        &self,
        left: &[f32],
        right: &[f32],
        width: usize,
        range: &Range<usize>,
        head: usize,
    ) -> Vec<f64> {
        let (size, count) = (width / self.heads, range.len());
        let scale = 1.0 / (size as f64).sqrt();
        let mut shares = vec![0.0; count * count];
        let part = |values: &[f32], row: usize| -> Range<usize> {
            debug_assert!(row < values.len() / width, "a row of the value");
            row * width + head * size..row * width + (head + 1) * size
        };
        for (row, shares) in shares.chunks_exact_mut(count.max(1)).enumerate() {
            let seen = if self.causal { row + 1 } else { count };
            let query = &left[part(left, range.start + row)];
            for (key, share) in shares[..seen].iter_mut().enumerate() {
                let key = &right[part(right, range.start + key)];
                let along: f64 = query.iter().zip(key).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                *share = along * scale;
            }
            let top = shares[..seen].iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = shares[..seen].iter().map(|score| (score - top).exp()).sum();
            shares[..seen].iter_mut().for_each(|score| *score = (*score - top).exp() / sum);
        }
        shares
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
        let found = self.each(left, right, width, |range, _, theirs, ours| {
            let of_row = |(theirs, ours): (&[f64], &[f64])| -> f64 {
                // Where the teacher sees nothing there is nothing to be said; below what f64 holds the student counts as that.
                let part = |(p, q): (&f64, &f64)| {
                    if *p > 0.0 { p * (p / q.max(f64::MIN_POSITIVE)).ln() } else { 0.0 }
                };
                theirs.iter().zip(ours).map(part).sum()
            };
            let count = range.len().max(1);
            theirs.chunks_exact(count).zip(ours.chunks_exact(count)).map(of_row).collect::<Vec<f64>>()
        });
        let mut losses = vec![0.0; rows];
        for (at, of_rows) in found.into_iter().enumerate() {
            let range = self.sequences[at / self.heads].clone();
            let sums = losses[range].iter_mut().zip(of_rows);
            sums.for_each(|(sum, loss): (&mut f64, f64)| *sum += loss / self.heads as f64);
        }
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
        let scale = 1.0 / (size as f64).sqrt() / self.heads as f64;
        // Of each sequence and head the gradients of its part of both values.
        let found = self.each(a, b, width, |range, head, theirs, ours| {
            let count = range.len();
            let (mut of_left, mut of_right) = (vec![0.0f64; count * size], vec![0.0f64; count * size]);
            for row in 0..count {
                let loss = scale * f64::from(dy[range.start + row]);
                for key in 0..count {
                    let slope = loss * (ours[row * count + key] - theirs[row * count + key]);
                    if slope == 0.0 {
                        continue;
                    }
                    let query = &a[(range.start + row) * width + head * size..][..size];
                    let seen = &b[(range.start + key) * width + head * size..][..size];
                    for at in 0..size {
                        of_left[row * size + at] += slope * f64::from(seen[at]);
                        of_right[key * size + at] += slope * f64::from(query[at]);
                    }
                }
            }
            (of_left, of_right)
        });
        let (mut of_left, mut of_right) = (vec![0.0; a.len()], vec![0.0; b.len()]);
        for (at, (lefts, rights)) in found.into_iter().enumerate() {
            let (range, head) = (&self.sequences[at / self.heads], at % self.heads);
            for (to, from) in [(&mut of_left, lefts), (&mut of_right, rights)] {
                for (row, from) in range.clone().zip(from.chunks_exact(size.max(1))) {
                    let to: &mut [f32] = &mut to[row * width + head * size..][..size];
                    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from as f32);
                }
            }
        }
        Ok((Some(tensor(of_left, left.shape())?), Some(tensor(of_right, right.shape())?)))
    }
}
