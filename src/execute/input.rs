//! The model that a run starts from: opened, compared with what was checked, digested and counted where somebody asks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use super::cache::Cache;
use crate::checkpoint::{
    Checkpoint, Digest, FileId, GRAPH_FILE, Look, Passing, Stored, beside, locate, sha256_files,
};
use crate::diagnostic::{Diagnostic, codes};
use crate::pass::Progress;
use crate::plan::Plan;
use crate::provenance::InputFile;
use crate::tensor::convert;
use crate::weights::Version;

pub struct Input {
    pub checkpoint: Arc<Checkpoint>,
    pub version: Arc<Version>,
    /// The files beside the weights that are carried over, by name in the directory.
    pub carried: Vec<PathBuf>,
    /// With digests: computed when first asked for, and remembered between runs.
    files: Option<Vec<InputFile>>,
    zeros: Option<Zeros>,
}

/// The zeros of tensors, by name.
pub type Zeros = BTreeMap<String, u64>;

impl Input {
    /// # Errors
    /// Where the model cannot be read, or is not the one that was checked.
    pub fn open(plan: &Plan) -> Result<Self, Diagnostic> {
        let dir = match plan.model.path.to_str() {
            Some(name) => locate(name, Path::new(""))?,
            None => plan.model.path.clone(),
        };
        let checkpoint = Arc::new(Checkpoint::open(&dir)?);
        for (_, param) in plan.model.graph.params.iter() {
            let name = param.name.resolve();
            let is_same = |stored: &Stored| {
                stored.dtype == param.dtype && stored.shape == plan.model.graph.shape(param)
            };
            if !checkpoint.tensors.get(&name).is_some_and(is_same) {
                let message = format!("`{name}` is not what it was when the recipe was checked");
                return Err(Diagnostic::new(&codes::MODEL_CHANGED, message).path(&plan.model.path));
            }
        }
        let carried = beside(&checkpoint.config, &checkpoint.dir)?;
        let version = Arc::new(Version::open((*plan.model.graph).clone(), &checkpoint));
        Ok(Self { checkpoint, version, carried, files: None, zeros: None })
    }

    /// Everything that is read of the model, with digests.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub fn files(&mut self, cache: &Cache, progress: &dyn Progress) -> Result<&[InputFile], Diagnostic> {
        if self.files.is_none() {
            progress.start("digest the model", Some(self.bytes()));
            self.digest(cache, progress)?;
            progress.finish();
        }
        Ok(self.files.as_deref().expect("it was put there just now"))
    }

    /// One digest of config and weights, whatever the directory is called.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub fn key(&mut self, cache: &Cache, progress: &dyn Progress) -> Result<Digest, Diagnostic> {
        let carried: Vec<String> = self.carried.iter().map(|name| name.display().to_string()).collect();
        let files = self.files(cache, progress)?;
        let model = files.iter().filter(|file| !carried.contains(&file.name));
        let lines: String = model.map(|file| format!("{} {}\n", file.sha256, file.name)).collect();
        Ok(Digest::blake3(lines.as_bytes()))
    }

    /// All that is told of the model: its files with digests, and the zeros of each tensor.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub fn examine(
        &mut self,
        cache: &Cache,
        progress: &dyn Progress,
    ) -> Result<(Vec<InputFile>, Zeros), Diagnostic> {
        if self.files.is_none() {
            self.digest(cache, progress)?;
        }
        let key = match cache.is_there() {
            true => Some(Cache::key(&Digest::blake3(b"zeros"), &self.key(cache, progress)?)),
            false => None,
        };
        let known = self.zeros.take().or_else(|| key.and_then(|key| cache.get(&key)));
        let zeros = match known {
            Some(zeros) => zeros,
            None => self.read_through(progress)?.1,
        };
        if let Some(key) = key {
            cache.put(&key, &zeros);
        }
        self.zeros = Some(zeros.clone());
        Ok((self.files.clone().expect("it was put there just now"), zeros))
    }

    /// Bytes of the weights.
    pub fn bytes(&self) -> u64 {
        self.checkpoint.files().iter().map(|file| file.bytes).sum()
    }

    /// Digests files that are not remembered. Where weights are among them, their zeros are counted on the way.
    fn digest(&mut self, cache: &Cache, progress: &dyn Progress) -> Result<(), Diagnostic> {
        let paths = self.paths();
        let mut memo = cache.digests();
        let looks: Vec<Look> = paths.iter().map(|path| memo.look(path)).collect();
        let mut digests: BTreeMap<&PathBuf, Digest> =
            paths.iter().zip(&looks).filter_map(|(path, look)| Some((path, look.known?))).collect();
        if self.checkpoint.files().iter().any(|file| !digests.contains_key(&file.path)) {
            let (read, zeros) = self.read_through(progress)?;
            digests.extend(paths.iter().filter_map(|path| Some((path, *read.get(path)?))));
            self.zeros = Some(zeros);
        }
        let rest: Vec<&PathBuf> = paths.iter().filter(|path| !digests.contains_key(path)).collect();
        let rest_paths: Vec<PathBuf> = rest.iter().map(|&path| path.clone()).collect();
        digests.extend(rest.into_iter().zip(sha256_files(&rest_paths)?));
        let mut files = Vec::new();
        for (path, look) in paths.iter().zip(&looks) {
            let sha256 = digests[path];
            if look.known.is_none() {
                memo.learn(look, sha256);
            }
            let name = path.strip_prefix(&self.checkpoint.dir).unwrap_or(path).display().to_string();
            let bytes = std::fs::metadata(path)
                .map_err(|error| Diagnostic::new(&codes::READ_FAILED, error.to_string()).path(path))?
                .len();
            files.push(InputFile { name, bytes, sha256: sha256.to_string() });
        }
        memo.save();
        files.sort_by(|left, right| left.name.cmp(&right.name));
        self.files = Some(files);
        Ok(())
    }

    /// Reads every weight file once: the digest of each, by path, and the zeros of each tensor.
    fn read_through(
        &self,
        progress: &dyn Progress,
    ) -> Result<(BTreeMap<PathBuf, Digest>, Zeros), Diagnostic> {
        let read = |ids: &Vec<FileId>| {
            let mut zeros = Zeros::new();
            let size = |_: &str, stored: &Stored| stored.dtype.size() as u64;
            let digests = self.checkpoint.read_through(ids, size, |passing: Passing<'_>| {
                progress.advance(passing.bytes.len() as u64);
                // Other types are of buffers, whose zeros nobody asks for.
                let count = convert::count_zeros(passing.stored.dtype, passing.bytes).unwrap_or(0);
                *zeros.entry(passing.name.to_owned()).or_default() += count as u64;
            })?;
            let paths = ids.iter().map(|&id| self.checkpoint.file(id).path.clone());
            Ok((paths.zip(digests).collect::<Vec<_>>(), zeros))
        };
        let files: Vec<Result<_, Diagnostic>> = self.checkpoint.shares().par_iter().map(read).collect();
        let (mut digests, mut zeros) = (BTreeMap::new(), Zeros::new());
        // Collected first, so that of several errors always the same one is told.
        for file in files {
            let (of_files, counted) = file?;
            digests.extend(of_files);
            zeros.extend(counted);
        }
        Ok((digests, zeros))
    }

    /// Weights, config, index, and what is carried over.
    fn paths(&self) -> Vec<PathBuf> {
        let dir = &self.checkpoint.dir;
        let named = ["model.safetensors.index.json", GRAPH_FILE].map(|name| dir.join(name));
        let mut paths: Vec<PathBuf> = self.checkpoint.files().iter().map(|file| file.path.clone()).collect();
        paths.push(self.checkpoint.config.path.clone());
        paths.extend(named.into_iter().filter(|path| path.is_file()));
        paths.extend(self.carried.iter().map(|name| dir.join(name)));
        paths.sort_unstable();
        paths.dedup();
        paths
    }
}
