//! Small checkpoints for this module's tests.

use std::fs;
use std::sync::Arc;

use crate::checkpoint::Checkpoint;
use crate::tensor::{DType, convert};
use crate::weights::Expr;

/// A tensor by name, type, shape and values.
pub type Tensor<'a> = (&'a str, DType, &'a [usize], &'a [f32]);

/// A checkpoint of some tensors. Its directory is gone again: open files are enough.
pub fn checkpoint(tensors: &[Tensor<'_>]) -> Arc<Checkpoint> {
    let (mut header, mut data) = (Vec::new(), Vec::new());
    for (name, dtype, shape, values) in tensors {
        let start = data.len();
        data.extend(bytes(*dtype, values));
        let dtype = dtype.header_name();
        let end = data.len();
        header.push(format!(
            r#""{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{start},{end}]}}"#
        ));
    }
    let header = format!("{{{}}}", header.join(","));
    let file = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("config.json"), "{}").unwrap();
    fs::write(dir.path().join("model.safetensors"), file).unwrap();
    Arc::new(Checkpoint::open(dir.path()).unwrap())
}

pub fn bytes(dtype: DType, values: &[f32]) -> Vec<u8> {
    let mut bytes = vec![0; values.len() * dtype.size()];
    convert::write(dtype, values, &mut bytes).unwrap();
    bytes
}

/// A tensor of a checkpoint of its own.
pub fn stored(dtype: DType, shape: &[usize], values: &[f32]) -> Arc<Expr> {
    let checkpoint = checkpoint(&[("weight", dtype, shape, values)]);
    let stored = checkpoint.tensors["weight"].clone();
    Arc::new(Expr::Stored { checkpoint, stored })
}

/// Numbers without an order, of which some are equal.
pub fn numbers(len: usize, seed: u32) -> Vec<f32> {
    let hash = |i: usize| (i as u32 + 1).wrapping_mul(2_654_435_761).wrapping_mul(seed | 1) >> 18;
    (0..len).map(|i| (hash(i) % 201) as f32 - 100.0).collect()
}
