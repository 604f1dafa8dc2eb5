//! Attention of sequences that lie one after the other.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::host::{Host, made, slice, tensor};
use crate::runtime::kernel::attention as kernel;
use crate::runtime::kernel::attention::{Heads, Operands};

struct Attended {
    heads: Heads,
    sequences: Arc<Vec<Range<usize>>>,
    bias: Option<Arc<Vec<f32>>>,
}

/// `query [rows, query heads x head_dim]`, `key [rows, kv_heads x head_dim]`, `value [rows, kv_heads x value_dim]` to
/// `[rows, query heads x value_dim]`; a row sees rows of its own sequence only. `bias [rows]` is added to all scores of a key, and is
/// a constant.
///
/// # Errors
/// Where the tensors are not of f32.
pub fn attention(
    heads: Heads,
    sequences: &Arc<Vec<Range<usize>>>,
    bias: Option<Arc<Vec<f32>>>,
    query: &Tensor,
    key: &Tensor,
    value: &Tensor,
) -> Result<Tensor> {
    let op = Attended { heads, sequences: Arc::clone(sequences), bias };
    query.contiguous()?.apply_op3(&key.contiguous()?, &value.contiguous()?, op)
}

impl CustomOp3 for Attended {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        query: &CpuStorage,
        query_layout: &Layout,
        key: &CpuStorage,
        key_layout: &Layout,
        value: &CpuStorage,
        value_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let operands = Operands {
            query: slice(query, query_layout)?,
            key: slice(key, key_layout)?,
            value: slice(value, value_layout)?,
            bias: self.bias.as_deref().map(Vec::as_slice),
        };
        let rows = query_layout.shape().dims()[0];
        let width = self.heads.kv_heads * self.heads.group * self.heads.value_dim;
        let mut out = vec![0.0; rows * width];
        kernel::forward(self.heads, &self.sequences, operands, &mut out);
        made(out, (rows, width))
    }

    fn bwd(
        &self,
        query: &Tensor,
        key: &Tensor,
        value: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        let (q, k, v, dy) = (Host::of(query)?, Host::of(key)?, Host::of(value)?, Host::of(&gradient)?);
        let operands = Operands {
            query: q.values(),
            key: k.values(),
            value: v.values(),
            bias: self.bias.as_deref().map(Vec::as_slice),
        };
        let found = kernel::backward(self.heads, &self.sequences, operands, dy.values());
        Ok((
            Some(tensor(found.query, query.shape())?),
            Some(tensor(found.key, key.shape())?),
            Some(tensor(found.value, value.shape())?),
        ))
    }
}
