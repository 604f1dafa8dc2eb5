//! Layer norm and RMS norm over the last dimension.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::host::{Host, made, slice, tensor};
use crate::runtime::kernel::norm as kernel;

struct Normed(kernel::Norm);

/// A layer norm with `weight` and `bias`, or an RMS norm with `weight` alone; all of them `[width]`, `x` `[rows, width]`.
///
/// # Errors
/// Where shapes do not agree.
pub fn norm(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, eps: f64) -> Result<Tensor> {
    let norm = kernel::Norm { centred: bias.is_some(), eps: eps as f32 };
    // An RMS norm's bias is not looked at.
    x.contiguous()?.apply_op3(weight, bias.unwrap_or(weight), Normed(norm))
}

impl CustomOp3 for Normed {
    fn name(&self) -> &'static str {
        "norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, weight) = (slice(x, layout)?, slice(weight, weight_layout)?);
        let bias = if self.0.centred { Some(slice(bias, bias_layout)?) } else { None };
        let mut y = vec![0.0; x.len()];
        kernel::forward(self.0, x, weight, bias, &mut y);
        made(y, layout.shape())
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
        let (values, weights, gradient) = (Host::of(x)?, Host::of(weight)?, Host::of(&dy)?);
        let found = kernel::backward(self.0, values.values(), weights.values(), gradient.values());
        let of_bias = match self.0.centred {
            true => Some(tensor(found.bias, bias.shape())?),
            false => None,
        };
        Ok((Some(tensor(found.x, x.shape())?), Some(tensor(found.weight, weight.shape())?), of_bias))
    }
}
