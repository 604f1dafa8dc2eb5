//! Tensors that work makes, in a directory of their own: they may be as large as the model.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::checkpoint::{Existing, OutputDir, TensorFiles, TensorSpec};
use crate::diagnostic::Diagnostic;
use crate::pass::Finding;
use crate::tensor::{DType, convert};

/// A directory that is being filled. What it will hold is said first.
pub struct Room {
    dir: PathBuf,
    output: OutputDir,
    files: Arc<TensorFiles>,
    tensors: BTreeMap<String, (usize, DType)>,
}

impl Room {
    /// # Errors
    /// Where the directory cannot be made, or the disk has no room.
    pub fn new(dir: &Path, tensors: Vec<TensorSpec>) -> Result<Self, Diagnostic> {
        let output = OutputDir::create(dir, Existing::Replace, &[])?;
        let files = output.tensors(&tensors, None)?;
        let slot = |(at, spec): (usize, TensorSpec)| (spec.name, (at, spec.dtype));
        let tensors = tensors.into_iter().enumerate().map(slot).collect();
        Ok(Self { dir: dir.to_owned(), output, files, tensors })
    }

    /// Writes a tensor, and rounds the values to what was written.
    ///
    /// # Errors
    /// Where it cannot be written.
    ///
    /// # Panics
    /// Where no tensor of this name and size was announced.
    pub fn write(&self, name: &str, values: &mut [f32]) -> Result<(), Diagnostic> {
        let (slot, dtype) = self.tensors[name];
        let mut bytes = vec![0; values.len() * dtype.size()];
        convert::write(dtype, values, &mut bytes).expect("weights are floats");
        self.files.write_at(slot, 0, &bytes)?;
        convert::read_f32(dtype, &bytes, values).expect("weights are floats");
        Ok(())
    }

    /// Writes a part of a tensor, from an element on.
    ///
    /// # Errors
    /// Where it cannot be written.
    ///
    /// # Panics
    /// Where no tensor of this name was announced.
    pub fn write_part(&self, name: &str, first: usize, values: &[f32]) -> Result<(), Diagnostic> {
        let (slot, dtype) = self.tensors[name];
        let mut bytes = vec![0; values.len() * dtype.size()];
        convert::write(dtype, values, &mut bytes).expect("weights are floats");
        self.files.write_at(slot, (first * dtype.size()) as u64, &bytes)
    }

    /// All is written.
    ///
    /// # Errors
    /// Where the directory cannot be put in its place.
    pub fn finish(self, lost: BTreeMap<String, f64>) -> Result<Finding, Diagnostic> {
        self.output.put("config.json", b"{}")?;
        drop(self.files);
        self.output.finish()?;
        Ok(Finding::Tensors { dir: self.dir, lost })
    }
}
