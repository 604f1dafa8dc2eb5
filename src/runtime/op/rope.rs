//! Rotary positions.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::host::{Host, made, slice, tensor};
use crate::runtime::kernel::rope::{Turns, turn};

struct Turned {
    turns: Arc<Turns>,
    positions: Arc<Vec<usize>>,
}

/// Every head of `x [rows, heads x head_dim]` turned by the angle of its row's position.
///
/// # Errors
/// Where the tensor is not of f32.
pub fn rope(x: &Tensor, turns: &Arc<Turns>, positions: &Arc<Vec<usize>>) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Turned { turns: Arc::clone(turns), positions: Arc::clone(positions) })
}

impl CustomOp1 for Turned {
    fn name(&self) -> &'static str {
        "rope"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = slice(x, layout)?;
        let mut y = vec![0.0; x.len()];
        turn(&self.turns, false, &self.positions, x, &mut y);
        made(y, layout.shape())
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let dy = dy.contiguous()?;
        let gradient = Host::of(&dy)?;
        let mut dx = vec![0.0; gradient.values().len()];
        turn(&self.turns, true, &self.positions, gradient.values(), &mut dx);
        tensor(dx, x.shape()).map(Some)
    }
}
