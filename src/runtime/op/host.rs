//! Between candle's tensors and slices.

use std::ops::Deref;

use candle_core::{CpuStorage, Device, Error, Layout, Result, Shape, Storage, Tensor};

/// The values of a contiguous f32 tensor, borrowed.
pub struct Host<'a> {
    storage: Box<dyn Deref<Target = Storage> + 'a>,
    start: usize,
    len: usize,
}

impl<'a> Host<'a> {
    /// # Errors
    /// Where the tensor is not contiguous, or not of f32 on the CPU: an error of the caller's.
    pub fn of(tensor: &'a Tensor) -> Result<Self> {
        let (storage, layout) = tensor.storage_and_layout();
        let Some((start, end)) = layout.contiguous_offsets() else {
            return Err(Error::Msg("a contiguous tensor is needed here".into()));
        };
        if !matches!(&*storage, Storage::Cpu(CpuStorage::F32(_))) {
            return Err(Error::Msg("an f32 tensor on the CPU is needed here".into()));
        }
        Ok(Self { storage: Box::new(storage), start, len: end - start })
    }

    pub fn values(&self) -> &[f32] {
        match &**self.storage {
            Storage::Cpu(CpuStorage::F32(values)) => &values[self.start..self.start + self.len],
            _ => unreachable!("it was looked at when it was borrowed"),
        }
    }
}

/// The values of an operand of a custom operation.
pub(super) fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let values = storage.as_slice::<f32>()?;
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&values[start..end]),
        None => Err(Error::Msg("a contiguous tensor is needed here".into())),
    }
}

/// A result of a custom operation.
pub(super) fn made(values: Vec<f32>, shape: impl Into<Shape>) -> Result<(CpuStorage, Shape)> {
    Ok((CpuStorage::F32(values), shape.into()))
}

/// Values as a tensor.
///
/// # Errors
/// Where there are not as many as the shape says.
pub fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> Result<Tensor> {
    Tensor::from_vec(values, shape.into(), &Device::Cpu)
}
