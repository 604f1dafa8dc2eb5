//! States of a training that was stopped: weights, moments, and how far it came. Whole or not at all.

use std::path::Path;

use super::Progressed;
use crate::checkpoint::{Checkpoint, Existing, OutputDir, TensorSpec};
use crate::diagnostic::{Diagnostic, codes};
use crate::tensor::{DType, convert};

/// What stands beside the tensors; it also shows that tamis wrote the directory.
const FILE: &str = "training.json";

/// A state that was found.
pub struct Saved {
    pub done: Progressed,
    checkpoint: Checkpoint,
}

impl Saved {
    /// The state in a directory; none where there is none, or one that cannot be read.
    pub fn open(dir: &Path) -> Option<Self> {
        let done = serde_json::from_slice(&std::fs::read(dir.join(FILE)).ok()?).ok()?;
        Some(Self { done, checkpoint: Checkpoint::open(dir).ok()? })
    }

    /// # Errors
    /// Where the tensor is not there, or cannot be read.
    pub fn read(&self, name: &str) -> Result<Vec<f32>, Diagnostic> {
        // A tensor of nothing is not stored.
        let Some(stored) = self.checkpoint.tensors.get(name) else { return Ok(Vec::new()) };
        let bytes = self.checkpoint.read(stored)?;
        let mut values = vec![0.0; bytes.len() / DType::F32.size()];
        let read = convert::read_f32(DType::F32, &bytes, &mut values);
        read.map_err(|error| Diagnostic::new(&codes::READ_FAILED, error.to_string()))?;
        Ok(values)
    }
}

/// Writes a state in the place of the one before.
///
/// # Errors
/// Where it cannot be written.
pub fn save(dir: &Path, done: &Progressed, tensors: &[(String, Vec<f32>)]) -> Result<(), Diagnostic> {
    let output = OutputDir::create(dir, Existing::Replace, &[])?;
    let stored: Vec<&(String, Vec<f32>)> = tensors.iter().filter(|(_, values)| !values.is_empty()).collect();
    let spec = |(name, values): &&(String, Vec<f32>)| TensorSpec {
        name: name.clone(),
        dtype: DType::F32,
        shape: vec![values.len()],
    };
    let files = output.tensors(&stored.iter().map(spec).collect::<Vec<_>>(), None)?;
    for (slot, (_, values)) in stored.into_iter().enumerate() {
        let mut bytes = vec![0; values.len() * DType::F32.size()];
        convert::write(DType::F32, values, &mut bytes).expect("f32 holds every f32");
        files.write_at(slot, 0, &bytes)?;
    }
    let text = serde_json::to_vec(done).expect("numbers and names are JSON");
    output.put(FILE, &text)?;
    output.put("config.json", b"{}")?;
    drop(files);
    output.finish()
}
