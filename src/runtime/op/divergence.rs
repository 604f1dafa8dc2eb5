//! Divergence from a teacher's predictions, row by row.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::host::{Host, made, slice, tensor};
use crate::runtime::kernel::exp::exp;
use crate::runtime::kernel::{ROWS, lanes};
use crate::runtime::loss::divergence as of_rows;

struct Divergence {
    /// The teacher's logits, row after row.
    teacher: Arc<Vec<f32>>,
    temperature: f64,
}

/// `KL(softmax(teacher / T) || softmax(logits / T))` of each row, `[rows]`, in nats. The teacher is a constant.
///
/// The gradient is `(softmax(logits / T) - softmax(teacher / T)) / T` (Hinton et al., arXiv:1503.02531, equation 2).
///
/// # Errors
/// Where there are not as many logits on both sides.
pub fn divergence(logits: &Tensor, teacher: Arc<Vec<f32>>, temperature: f64) -> Result<Tensor> {
    logits.contiguous()?.apply_op1(Divergence { teacher, temperature })
}

impl CustomOp1 for Divergence {
    fn name(&self) -> &'static str {
        "divergence"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = layout.shape().dims2()?;
        let logits = slice(logits, layout)?;
        if logits.len() != self.teacher.len() {
            return Err(candle_core::Error::Msg("both sides have logits of the same shape".into()));
        }
        let pairs = logits.par_chunks(width.max(1)).zip(self.teacher.par_chunks(width.max(1)));
        let losses = pairs.map(|(row, teacher)| of_rows(teacher, row, self.temperature) as f32).collect();
        made(losses, rows)
    }

    fn bwd(&self, logits: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let dy = dy.contiguous()?;
        let (values, gradient) = (Host::of(logits)?, Host::of(&dy)?);
        let width = logits.dims2()?.1.max(1);
        let mut dx = vec![0.0; values.values().len()];
        let rows = dx.par_chunks_mut(width).zip(values.values().par_chunks(width));
        let rows = rows.zip(self.teacher.par_chunks(width)).zip(gradient.values().par_iter());
        rows.with_min_len(ROWS / 8).for_each(|(((dx, row), teacher), dy)| {
            let scaled = 1.0 / self.temperature as f32;
            let (ours, theirs) = (log_sum(row, scaled), log_sum(teacher, scaled));
            let scale = dy * scaled;
            for ((dx, row), teacher) in dx.iter_mut().zip(row).zip(teacher) {
                *dx = scale * (exp(row * scaled - ours) - exp(teacher * scaled - theirs));
            }
        });
        tensor(dx, logits.shape()).map(Some)
    }
}

/// The logarithm of the sum of exponentials of a row times a factor.
fn log_sum(row: &[f32], scaled: f32) -> f32 {
    let top = row.iter().copied().fold(f32::MIN, f32::max) * scaled;
    let sum: f64 =
        row.chunks(1024).map(|chunk| f64::from(lanes(chunk, chunk, |x, _| exp(x * scaled - top)))).sum();
    top + sum.ln() as f32
}
