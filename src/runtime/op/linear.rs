//! `x W^T + b` in one pass over the result.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::host::{Host, made, slice, tensor};
use crate::runtime::kernel::ROWS;
use crate::runtime::kernel::product::{Into, Matrix, Threads, product};

struct Linear {
    biased: bool,
}

/// `x [rows, in]`, `weight [out, in]`, `bias [out]` to `[rows, out]`.
///
/// # Errors
/// Where shapes do not agree.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    // Without a bias the weight stands in for it and is not looked at.
    let op = Linear { biased: bias.is_some() };
    x.contiguous()?.apply_op3(weight, bias.unwrap_or(weight), op)
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, inputs) = x_layout.shape().dims2()?;
        let out = weight_layout.shape().dims()[0];
        let (x, weight) = (slice(x, x_layout)?, slice(weight, weight_layout)?);
        let mut y = Vec::new();
        let into = if self.biased {
            let bias = slice(bias, bias_layout)?;
            y.resize(rows * out, 0.0);
            y.par_chunks_mut(ROWS * out.max(1)).for_each(|rows| {
                rows.chunks_exact_mut(out).for_each(|row| row.copy_from_slice(bias));
            });
            Into::Add
        } else {
            y.resize(rows * out, 0.0);
            Into::Replace
        };
        let (x, weight) = (Matrix::rows(x, rows, inputs, inputs), Matrix::rows(weight, out, inputs, inputs));
        product((&mut y, out), into, 1.0, x, weight.transposed(), Threads::All);
        made(y, (rows, out))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        let (rows, inputs) = x.dims2()?;
        let out = weight.dims()[0];
        let (values, weights, gradient) = (Host::of(x)?, Host::of(weight)?, Host::of(&dy)?);
        let of_out = Matrix::rows(gradient.values(), rows, out, out);
        // Nothing in front of the first variable is asked for.
        let of_x = match x.track_op() {
            false => None,
            true => {
                let mut dx = vec![0.0; rows * inputs];
                let matrix = Matrix::rows(weights.values(), out, inputs, inputs);
                product((&mut dx, inputs), Into::Replace, 1.0, of_out, matrix, Threads::All);
                Some(tensor(dx, x.shape())?)
            }
        };
        // Gradients of weights that do not change are not computed: most of the time they are constants.
        let of_weight = match weight.track_op() {
            false => None,
            true => {
                let mut dw = vec![0.0; out * inputs];
                let x = Matrix::rows(values.values(), rows, inputs, inputs);
                product((&mut dw, inputs), Into::Replace, 1.0, of_out.transposed(), x, Threads::All);
                Some(tensor(dw, weight.shape())?)
            }
        };
        let of_bias = match self.biased && bias.track_op() {
            false => None,
            true => {
                let mut sums = vec![0.0; out];
                for row in gradient.values().chunks_exact(out) {
                    sums.iter_mut().zip(row).for_each(|(sum, dy)| *sum += dy);
                }
                Some(tensor(sums, bias.shape())?)
            }
        };
        Ok((of_x, of_weight, of_bias))
    }
}
