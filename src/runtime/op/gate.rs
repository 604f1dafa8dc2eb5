//! Gates: a factor for each element of an axis, so that a gradient says what the element is worth.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::host::{Host, made, slice, tensor};
use crate::runtime::kernel::ROWS;

/// Where an axis lies in the features of a value, and which row of gates is for which row of the value.
#[derive(Debug, Clone)]
pub struct Gate {
    /// Elements of the axis.
    pub extent: usize,
    /// Features of one element that lie side by side.
    pub inner: usize,
    /// The row of gates for each row.
    pub gates_of_row: Arc<Vec<usize>>,
}

impl Gate {
    fn element(&self, feature: usize) -> usize {
        feature / self.inner % self.extent
    }
}

/// `y[r, f] = x[r, f] gates[gates_of_row[r], element(f)]`, with `gates [samples, extent]`.
///
/// # Errors
/// Where the tensors are not of f32.
pub fn gate(x: &Tensor, gates: &Tensor, gate: Gate) -> Result<Tensor> {
    x.contiguous()?.apply_op2(gates, gate)
}

impl CustomOp2 for Gate {
    fn name(&self) -> &'static str {
        "gate"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        gates: &CpuStorage,
        gates_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, gates) = (slice(x, x_layout)?, slice(gates, gates_layout)?);
        let width = x_layout.shape().dims2()?.1;
        let mut y = vec![0.0; x.len()];
        let rows = y.par_chunks_mut(width).zip(x.par_chunks(width)).zip(self.gates_of_row.par_iter());
        rows.with_min_len(ROWS).for_each(|((y, x), &at)| {
            let gates = &gates[at * self.extent..][..self.extent];
            for (feature, (y, x)) in y.iter_mut().zip(x).enumerate() {
                *y = x * gates[self.element(feature)];
            }
        });
        made(y, x_layout.shape())
    }

    fn bwd(
        &self,
        x: &Tensor,
        gates: &Tensor,
        _: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        let (values, factors, gradient) = (Host::of(x)?, Host::of(gates)?, Host::of(&dy)?);
        let (x_values, factors, dy) = (values.values(), factors.values(), gradient.values());
        let width = x.dims2()?.1;
        let mut dx = vec![0.0; x_values.len()];
        let mut sums = vec![0.0f64; factors.len()];
        let rows = dx.chunks_mut(width).zip(x_values.chunks(width)).zip(dy.chunks(width));
        for (((dx, x), dy), &at) in rows.zip(self.gates_of_row.iter()) {
            let gates = &factors[at * self.extent..][..self.extent];
            let sums = &mut sums[at * self.extent..][..self.extent];
            for (feature, ((dx, x), dy)) in dx.iter_mut().zip(x).zip(dy).enumerate() {
                let element = self.element(feature);
                *dx = dy * gates[element];
                sums[element] += f64::from(x * dy);
            }
        }
        let sums = sums.into_iter().map(|sum| sum as f32).collect();
        Ok((Some(tensor(dx, x.shape())?), Some(tensor(sums, gates.shape())?)))
    }
}
