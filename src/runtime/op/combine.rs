//! Rows that are sums of others, each times a weight.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::host::{Host, made, slice, tensor};

/// For each row of a result the rows that it is made of, each with its weight.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Combination {
    /// Where the parts of each row begin, and where the last ones end.
    starts: Vec<usize>,
    parts: Vec<(usize, f32)>,
}

impl Combination {
    pub fn new<P: IntoIterator<Item = (usize, f32)>>(rows: impl IntoIterator<Item = P>) -> Self {
        let mut made = Self { starts: vec![0], parts: Vec::new() };
        for row in rows {
            made.parts.extend(row);
            made.starts.push(made.parts.len());
        }
        made
    }

    fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    fn of_row(&self, row: usize) -> &[(usize, f32)] {
        &self.parts[self.starts[row]..self.starts[row + 1]]
    }
}

struct Combined(Arc<Combination>);

/// `x [rows, width]` to as many rows as the combination has. Weights are constants: gradients flow to `x` alone.
///
/// # Errors
/// Where the tensor is not of f32.
pub fn combine(x: &Tensor, combination: Arc<Combination>) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Combined(combination))
}

impl CustomOp1 for Combined {
    fn name(&self) -> &'static str {
        "combine"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (values, width) = (slice(x, layout)?, layout.shape().dims()[1]);
        let mut out = vec![0.0; self.0.rows() * width];
        out.par_chunks_exact_mut(width.max(1)).enumerate().for_each(|(row, out)| {
            for &(from, weight) in self.0.of_row(row) {
                add(out, &values[from * width..][..width], weight);
            }
        });
        made(out, (self.0.rows(), width))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let gradient = gradient.contiguous()?;
        let (host, width) = (Host::of(&gradient)?, x.dims()[1]);
        let mut found = vec![0.0; x.elem_count()];
        // One after the other: several rows may add to one.
        for row in 0..self.0.rows() {
            for &(from, weight) in self.0.of_row(row) {
                add(&mut found[from * width..][..width], &host.values()[row * width..][..width], weight);
            }
        }
        Ok(Some(tensor(found, x.shape())?))
    }
}

/// `to += weight * from`; a weight of 1 leaves a row of zeros as `from`, bit by bit.
fn add(to: &mut [f32], from: &[f32], weight: f32) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += weight * from);
}
