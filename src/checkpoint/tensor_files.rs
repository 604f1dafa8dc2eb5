//! The weight files of an output: every tensor has its place from the start, and any thread may write to it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::disk::cannot_write;
use super::layout::Layout;
use crate::diagnostic::Diagnostic;

#[derive(Debug)]
pub struct TensorFiles {
    layout: Layout,
    files: Vec<(PathBuf, Arc<File>)>,
    /// Bytes that each tensor still waits for.
    missing: Vec<AtomicU64>,
}

impl TensorFiles {
    /// Takes the files of the layout, sized and with their heads written, each with the path to show.
    pub(super) fn new(layout: Layout, files: Vec<(PathBuf, Arc<File>)>) -> Self {
        let missing = layout.slots.iter().map(|slot| AtomicU64::new(slot.bytes)).collect();
        Self { layout, files, missing }
    }

    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Writes bytes of the plan's tensor of that index, from `offset` within it.
    ///
    /// # Panics
    /// Where the range is not inside the tensor, or the tensor gets more bytes than it has.
    pub fn write_at(&self, tensor: usize, offset: u64, bytes: &[u8]) -> Result<(), Diagnostic> {
        let slot = self.layout.slots[tensor];
        let count = bytes.len() as u64;
        let inside = offset.checked_add(count).is_some_and(|end| end <= slot.bytes);
        assert!(inside, "{count} bytes at {offset} of a tensor of {}", slot.bytes);
        let (path, file) = &self.files[slot.file];
        file.write_all_at(bytes, slot.offset + offset).map_err(|error| cannot_write(path, &error))?;
        let before = self.missing[tensor].fetch_sub(count, Ordering::Relaxed);
        assert!(before >= count, "tensor {tensor} was written twice");
        Ok(())
    }

    /// Unwritten bytes would be zeros, and nobody would know.
    pub(super) fn assert_complete(&self) {
        for (tensor, missing) in self.missing.iter().enumerate() {
            let missing = missing.load(Ordering::Relaxed);
            assert_eq!(missing, 0, "{missing} bytes of tensor {tensor} were never written");
        }
    }
}
