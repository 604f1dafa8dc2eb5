//! The model that a run starts from: opened, compared with what was checked, digested where somebody asks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::cache::Cache;
use super::stream;
use crate::checkpoint::{Checkpoint, Digest, GRAPH_FILE, beside, locate};
use crate::diagnostic::{Diagnostic, codes};
use crate::pass::Progress;
use crate::plan::Plan;
use crate::provenance::InputFile;
use crate::weights::{Expr, Version};

pub struct Input {
    pub checkpoint: Arc<Checkpoint>,
    pub version: Arc<Version>,
    /// The files beside the weights that are carried over, by name in the directory.
    pub carried: Vec<PathBuf>,
    files: Option<Vec<InputFile>>,
}

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
            let is_same = |stored: &crate::checkpoint::Stored| {
                stored.dtype == param.dtype && stored.shape == plan.model.graph.shape(param)
            };
            if !checkpoint.tensors.get(&name).is_some_and(is_same) {
                let message = format!("`{name}` is not what it was when the recipe was checked");
                return Err(Diagnostic::new(&codes::MODEL_CHANGED, message).path(&plan.model.path));
            }
        }
        let carried = beside(&checkpoint.config, &checkpoint.dir)?;
        let version = Arc::new(Version::open((*plan.model.graph).clone(), &checkpoint));
        Ok(Self { checkpoint, version, carried, files: None })
    }

    /// Everything that is read of the model, with digests: computed when first asked for, and remembered between runs.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub fn files(&mut self, cache: &Cache, progress: &dyn Progress) -> Result<&[InputFile], Diagnostic> {
        if self.files.is_none() {
            progress.start("digest the model", None);
            let paths = self.paths();
            let mut memo = cache.digests();
            let digests = memo.sha256_files(&paths)?;
            memo.save();
            progress.finish();
            let mut files = Vec::new();
            for (path, sha256) in paths.iter().zip(digests) {
                let name = path.strip_prefix(&self.checkpoint.dir).unwrap_or(path).display().to_string();
                let bytes = std::fs::metadata(path)
                    .map_err(|error| Diagnostic::new(&codes::READ_FAILED, error.to_string()).path(path))?
                    .len();
                files.push(InputFile { name, bytes, sha256: sha256.to_string() });
            }
            files.sort_by(|left, right| left.name.cmp(&right.name));
            self.files = Some(files);
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

    /// The zeros of each tensor, by name.
    ///
    /// # Errors
    /// Where a tensor cannot be read.
    pub fn zeros(
        &mut self,
        cache: &Cache,
        progress: &dyn Progress,
    ) -> Result<BTreeMap<String, u64>, Diagnostic> {
        let key = match cache.is_there() {
            true => Some(Cache::key(&Digest::blake3(b"zeros"), &self.key(cache, progress)?)),
            false => None,
        };
        if let Some(zeros) = key.and_then(|key| cache.get(&key)) {
            return Ok(zeros);
        }
        let graph = &self.version.graph;
        let exprs: Vec<Arc<Expr>> = graph.params.ids().map(|id| Arc::clone(self.version.expr(id))).collect();
        progress.start("count zeros of the model", Some(stream::bytes(&exprs)));
        let counted = stream::count_zeros(&exprs, progress)?;
        progress.finish();
        let names = graph.params.iter().map(|(_, param)| param.name.resolve());
        let zeros: BTreeMap<String, u64> = names.zip(counted).collect();
        if let Some(key) = key {
            cache.put(&key, &zeros);
        }
        Ok(zeros)
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
