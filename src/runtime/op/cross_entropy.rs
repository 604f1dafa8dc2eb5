//! Cross entropy, row by row: the negative log probability of a class.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::host::{Host, made, slice, tensor};
use crate::runtime::kernel::ROWS;
use crate::runtime::loss::log_sum_exp;

struct CrossEntropy {
    /// The class of each row; rows without one cost nothing.
    classes: Arc<Vec<Option<usize>>>,
    smoothing: f32,
}

/// `logits [rows, classes]` to the loss of each row, `[rows]`, in nats; 0 where a row has no class.
///
/// With `smoothing` e the aim is not the class alone: it has the probability `1 - e + e / C`, each other one `e / C` (Szegedy et al.,
/// arXiv:1512.00567, section 7).
///
/// # Errors
/// Where there are not as many classes as rows.
pub fn cross_entropy(logits: &Tensor, classes: Arc<Vec<Option<usize>>>, smoothing: f32) -> Result<Tensor> {
    logits.contiguous()?.apply_op1(CrossEntropy { classes, smoothing })
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross entropy"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, width) = layout.shape().dims2()?;
        let logits = slice(logits, layout)?;
        let of_row = |(row, class): (&[f32], &Option<usize>)| match class {
            Some(class) if self.smoothing == 0.0 => (log_sum_exp(row) - f64::from(row[*class])) as f32,
            Some(class) => {
                let smoothing = f64::from(self.smoothing);
                let mean = row.iter().map(|it| f64::from(*it)).sum::<f64>() / width as f64;
                (log_sum_exp(row) - (1.0 - smoothing) * f64::from(row[*class]) - smoothing * mean) as f32
            }
            None => 0.0,
        };
        let losses = logits.par_chunks(width).zip(self.classes.par_iter()).map(of_row).collect();
        made(losses, rows)
    }

    fn bwd(&self, logits: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let dy = dy.contiguous()?;
        let (values, gradient) = (Host::of(logits)?, Host::of(&dy)?);
        let width = logits.dims2()?.1;
        let mut dx = vec![0.0; values.values().len()];
        let rows = dx.par_chunks_mut(width).zip(values.values().par_chunks(width));
        let rows = rows.zip(self.classes.par_iter()).zip(gradient.values().par_iter());
        rows.with_min_len(ROWS / 8).for_each(|(((dx, row), class), dy)| {
            let Some(class) = class else { return };
            let all = log_sum_exp(row) as f32;
            let each = self.smoothing / width as f32;
            dx.iter_mut().zip(row).for_each(|(dx, x)| *dx = dy * ((x - all).exp() - each));
            dx[*class] -= dy * (1.0 - self.smoothing);
        });
        tensor(dx, logits.shape()).map(Some)
    }
}
