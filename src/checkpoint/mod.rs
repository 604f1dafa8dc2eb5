//! Models on disk: configs and safetensors headers are read at once, weights only where asked, outputs whole or not at all.
//!
//! Files are read by position and never mapped: a file that shrinks while it is mapped kills the process, and mapped pages
//! count as resident memory.

mod beside;
mod config;
mod digest;
mod disagree;
mod disk;
mod family;
#[cfg(test)]
mod fixture;
mod graph_file;
mod header;
mod hub;
mod index;
mod layout;
mod listing;
mod output;
mod output_files;
mod partial;
mod sha256;
mod tensor_files;
mod text;
mod through;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

pub use beside::beside;
pub use config::Config;
pub use digest::{Digest, DigestMemo, Look, sha256_files};
pub use disk::free_space;
pub use family::{Family, is_model_type, read_graph};
pub use graph_file::{GRAPH_FILE, graph_json};
pub use hub::locate;
pub use layout::{FileLayout, Layout, SHARD_SIZE, Slot, TensorSpec};
pub use output::{Existing, OutputDir, discard};
pub use output_files::OutputFiles;
pub use tensor_files::TensorFiles;
pub use through::Passing;

use crate::diagnostic::{Diagnostic, codes};
use crate::tensor::DType;

/// A Hugging Face style directory: its config, and where each tensor's bytes are.
#[derive(Debug)]
pub struct Checkpoint {
    /// The directory; for a lone config, the one that holds it.
    pub dir: PathBuf,
    pub config: Config,
    /// Every tensor of every file, by name.
    pub tensors: BTreeMap<String, Stored>,
    files: Vec<WeightFile>,
}

/// Identifies a [`WeightFile`] of one checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(u32);

/// One safetensors file. It stays open, so that what is read is what was checked, even if the name is given to another file.
#[derive(Debug)]
pub struct WeightFile {
    pub path: PathBuf,
    pub bytes: u64,
    file: File,
}

/// A tensor as the header describes it; nothing of it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub file: FileId,
    pub dtype: DType,
    pub shape: Vec<usize>,
    /// Position of the first byte in the file.
    pub offset: u64,
    pub bytes: u64,
}

impl Checkpoint {
    /// Reads the config and the headers of a directory.
    pub fn open(dir: &Path) -> Result<Self, Diagnostic> {
        if !dir.is_dir() {
            let what = if dir.exists() { "is not a directory" } else { "does not exist" };
            return Err(
                Diagnostic::new(&codes::MODEL_MISSING, format!("`{}` {what}", dir.display())).path(dir)
            );
        }
        let mut checkpoint = Self::from_config(&dir.join("config.json"))?;
        for shard in index::weight_files(dir)? {
            checkpoint.add(&shard)?;
        }
        Ok(checkpoint)
    }

    /// A config alone: shapes have to come from the family.
    pub fn from_config(path: &Path) -> Result<Self, Diagnostic> {
        if !path.exists() {
            let message = format!("there is no `{}`", path.display());
            return Err(Diagnostic::new(&codes::CONFIG_MISSING, message).path(path));
        }
        let dir = path.parent().unwrap_or(Path::new("")).to_owned();
        Ok(Self { dir, config: Config::read(path)?, tensors: BTreeMap::new(), files: Vec::new() })
    }

    /// Whether there are weights; a checkpoint made [from a config](Self::from_config) has none.
    pub fn has_weights(&self) -> bool {
        !self.files.is_empty()
    }

    pub fn files(&self) -> &[WeightFile] {
        &self.files
    }

    pub fn file(&self, id: FileId) -> &WeightFile {
        &self.files[id.0 as usize]
    }

    /// Reads bytes of a tensor, from `offset` within it. Any number of threads may read at once.
    ///
    /// # Panics
    /// Where the range is not inside the tensor.
    pub fn read_at(&self, stored: &Stored, offset: u64, bytes: &mut [u8]) -> Result<(), Diagnostic> {
        let inside = offset.checked_add(bytes.len() as u64).is_some_and(|end| end <= stored.bytes);
        assert!(inside, "{} bytes at {offset} of a tensor of {}", bytes.len(), stored.bytes);
        let WeightFile { path, file, .. } = self.file(stored.file);
        file.read_exact_at(bytes, stored.offset + offset).map_err(|error| cannot_read(path, &error))
    }

    /// Reads a whole tensor.
    pub fn read(&self, stored: &Stored) -> Result<Vec<u8>, Diagnostic> {
        let mut bytes =
            vec![0; usize::try_from(stored.bytes).expect("a checked tensor fits the address space")];
        self.read_at(stored, 0, &mut bytes)?;
        Ok(bytes)
    }

    fn add(&mut self, shard: &index::Shard) -> Result<(), Diagnostic> {
        let path = &shard.path;
        let file = text::open(path)?;
        let bytes = file.metadata().map_err(|error| cannot_read(path, &error))?.len();
        let id = FileId(u32::try_from(self.files.len()).expect("fewer than 2^32 files"));
        for entry in header::read(&file, bytes, path)? {
            let stored = Stored {
                file: id,
                dtype: entry.dtype,
                shape: entry.shape,
                offset: entry.start,
                bytes: entry.bytes,
            };
            if let Some(other) = self.tensors.insert(entry.name.clone(), stored) {
                let name = text::shown(&entry.name);
                let other = text::named(&self.file(other.file).path);
                let message = format!("`{name}` is in {} and in {other}", text::named(path));
                return Err(Diagnostic::new(&codes::DUPLICATE_TENSOR, message).path(path));
            }
        }
        self.files.push(WeightFile { path: path.clone(), bytes, file });
        self.holds(id, shard)
    }

    /// The file holds what the index says it does.
    fn holds(&self, file: FileId, shard: &index::Shard) -> Result<(), Diagnostic> {
        let there = |name: &String| self.tensors.get(name).is_some_and(|stored| stored.file == file);
        match shard.listed.iter().find(|&name| !there(name)) {
            None => Ok(()),
            Some(name) => {
                let message = format!(
                    "the index says that `{}` is in {}, but it is not",
                    text::shown(name),
                    text::named(&shard.path)
                );
                Err(Diagnostic::new(&codes::TENSOR_NOT_IN_SHARD, message).path(&shard.path))
            }
        }
    }
}

/// The diagnostic of a failed read: no file, no permission, a bad disk, a file that shrank.
pub(crate) fn cannot_read(path: &Path, error: &io::Error) -> Diagnostic {
    let why = match error.kind() {
        io::ErrorKind::UnexpectedEof => "it is shorter than when it was opened".to_owned(),
        _ => error.to_string(),
    };
    Diagnostic::new(&codes::READ_FAILED, format!("cannot read `{}`: {why}", path.display())).path(path)
}
