//! Activations, elementwise.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::host::{Host, made, slice, tensor};
use crate::graph::Activation;
use crate::runtime::kernel::activation as kernel;

struct Activated(Activation);

/// `f(x)`, of the shape of `x`.
///
/// # Errors
/// Where the tensor is not of f32.
pub fn activation(of: Activation, x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Activated(of))
}

impl CustomOp1 for Activated {
    fn name(&self) -> &'static str {
        "activation"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice(x, layout)?;
        let mut y = vec![0.0; x.len()];
        kernel::forward(self.0, x, &mut y);
        made(y, layout.shape())
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let dy = dy.contiguous()?;
        let (values, gradient) = (Host::of(x)?, Host::of(&dy)?);
        let mut dx = vec![0.0; values.values().len()];
        kernel::backward(self.0, values.values(), gradient.values(), &mut dx);
        tensor(dx, x.shape()).map(Some)
    }
}
