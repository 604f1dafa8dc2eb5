//! An output directory: whole or not at all, synced before it has its name, never over an input.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::digest::{Digest, sha256_files};
use super::disk::{self, cannot_write};
use super::index::INDEX;
use super::layout::{Layout, TensorSpec};
use super::partial::{self, Partial, sync_dir, tidy};
use super::tensor_files::TensorFiles;
use super::{cannot_read, text};
use crate::diagnostic::{Diagnostic, codes};

/// What to do with a target that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    Refuse,
    /// Swap it for the new one; only what tamis itself wrote is replaced.
    Replace,
}

/// Files whose presence shows that tamis wrote a directory.
const OWN: [&str; 3] = ["provenance.json", "tamis.lock", "training.json"];

/// A file under its name in the directory.
type Written = (PathBuf, Arc<File>);

/// A directory in the making. Dropped before [`OutputDir::finish`], it leaves nothing.
///
/// ```no_run
/// # use tamis::checkpoint::{Existing, OutputDir, TensorSpec};
/// # fn main() -> Result<(), tamis::diagnostic::Diagnostic> {
/// # let (plan, bytes): (Vec<TensorSpec>, Vec<u8>) = Default::default();
/// let output = OutputDir::create("out".as_ref(), Existing::Refuse, &["model".into()])?;
/// let tensors = output.tensors(&plan, None)?;
/// tensors.write_at(0, 0, &bytes)?; // from any thread
/// output.put("config.json", b"{}")?;
/// output.finish()?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct OutputDir {
    partial: Partial,
    /// As it was given, to show.
    target: PathBuf,
    existing: Existing,
    files: Mutex<Vec<Written>>,
    tensors: Mutex<Vec<Arc<TensorFiles>>>,
}

/// Takes back what this process has in the making at `target`: a program that is told to stop calls it.
pub fn discard(target: &Path) {
    if let Ok(place) = resolve(target) {
        partial::discard(&place);
    }
}

impl OutputDir {
    /// Begins a directory that is to be at `target`. `inputs` are the files and directories that the run reads.
    pub fn create(target: &Path, existing: Existing, inputs: &[PathBuf]) -> Result<Self, Diagnostic> {
        let place = resolve(target).map_err(|error| cannot_write(target, &error))?;
        apart(target, &place, inputs)?;
        tidy(&place);
        replaceable(target, &place, existing)?;
        Ok(Self {
            partial: Partial::create(&place).map_err(|error| cannot_write(target, &error))?,
            target: target.to_owned(),
            existing,
            files: Mutex::default(),
            tensors: Mutex::default(),
        })
    }

    /// Where the files are until the directory is finished: for reading them back.
    pub fn path(&self) -> &Path {
        self.partial.path()
    }

    /// Refuses where the disk has not that much room.
    pub fn reserve(&self, bytes: u64) -> Result<(), Diagnostic> {
        disk::reserve(self.path(), &self.target, bytes)
    }

    /// Writes a small file; `name` may lie in a subdirectory.
    pub fn put(&self, name: &str, content: &[u8]) -> Result<(), Diagnostic> {
        let file = self.new_file(Path::new(name))?;
        (&*file).write_all(content).map_err(|error| self.cannot_write(Path::new(name), &error))
    }

    /// Copies a file, or what a link leads to, under a relative name.
    pub fn copy_file(&self, from: &Path, name: &Path) -> Result<(), Diagnostic> {
        let mut source = text::open(from)?;
        let file = self.new_file(name)?;
        let mut buffer = vec![0; 1 << 20];
        loop {
            match source.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => {
                    (&*file).write_all(&buffer[..count]).map_err(|error| self.cannot_write(name, &error))?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(cannot_read(from, &error)),
            }
        }
    }

    /// Lays out tensors in shards (by default at most 5 GB each), writes the headers and the index, and reserves the room.
    /// Every byte of every tensor has to be written before [`OutputDir::finish`].
    pub fn tensors(
        &self,
        plan: &[TensorSpec],
        shard_size: Option<u64>,
    ) -> Result<Arc<TensorFiles>, Diagnostic> {
        let layout = Layout::new(plan, shard_size);
        self.reserve(layout.bytes())?;
        if let Some(index) = &layout.index {
            self.put(INDEX, index)?;
        }
        let mut files = Vec::new();
        for planned in &layout.files {
            let name = Path::new(&planned.name);
            let file = self.new_file(name)?;
            let sized = disk::allocate(&file, planned.bytes, &planned.head);
            sized.map_err(|error| self.cannot_write(name, &error))?;
            files.push((self.target.join(name), file));
        }
        let tensors = Arc::new(TensorFiles::new(layout, files));
        lock(&self.tensors).push(tensors.clone());
        Ok(tensors)
    }

    /// SHA-256 of each file so far, by name. Those that are `known` are not read again.
    pub fn digests(
        &self,
        known: &BTreeMap<PathBuf, Digest>,
    ) -> Result<BTreeMap<PathBuf, Digest>, Diagnostic> {
        let names: Vec<PathBuf> = lock(&self.files).iter().map(|(name, _)| name.clone()).collect();
        let (old, new): (Vec<PathBuf>, Vec<PathBuf>) =
            names.into_iter().partition(|name| known.contains_key(name));
        let paths: Vec<PathBuf> = new.iter().map(|name| self.path().join(name)).collect();
        let digests = sha256_files(&paths)?;
        Ok(new
            .into_iter()
            .zip(digests)
            .chain(old.into_iter().map(|name| (name.clone(), known[&name])))
            .collect())
    }

    /// Does something while the disk writes what there is so far.
    pub fn while_syncing<T>(&self, work: impl FnOnce() -> T) -> Result<T, Diagnostic> {
        let files = lock(&self.files).clone();
        std::thread::scope(|scope| {
            let sync = scope.spawn(|| self.sync(&files));
            let done = work();
            sync.join().expect("a sync does not panic").map(|()| done)
        })
    }

    /// Syncs all files, then gives the directory its name.
    ///
    /// # Panics
    /// Where a tensor was promised and not written.
    pub fn finish(self) -> Result<(), Diagnostic> {
        for tensors in lock(&self.tensors).iter() {
            tensors.assert_complete();
        }
        let files = std::mem::take(&mut *lock(&self.files));
        self.sync(&files)?;
        let mut dirs: Vec<&Path> = files.iter().flat_map(|(name, _)| name.ancestors().skip(1)).collect();
        dirs.push(Path::new(""));
        dirs.sort_unstable();
        dirs.dedup();
        for dir in dirs {
            sync_dir(&self.path().join(dir)).map_err(|error| self.cannot_write(dir, &error))?;
        }
        // What is there may have changed since the run began.
        replaceable(&self.target, self.partial.target(), self.existing)?;
        let Self { partial, target, .. } = self;
        let published = if partial.target().exists() { partial.publish_over() } else { partial.publish() };
        published.map_err(|error| cannot_write(&target, &error))
    }

    fn sync(&self, files: &[Written]) -> Result<(), Diagnostic> {
        files
            .iter()
            .try_for_each(|(name, file)| file.sync_all().map_err(|error| self.cannot_write(name, &error)))
    }

    fn new_file(&self, name: &Path) -> Result<Arc<File>, Diagnostic> {
        let fail = |error| self.cannot_write(name, &error);
        let inside = name.components().all(|part| matches!(part, Component::Normal(_)));
        assert!(inside && name.file_name().is_some(), "`{}` is no name inside an output", name.display());
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap_or(self.path())).map_err(fail)?;
        let file = File::options().write(true).create_new(true).open(&path).map_err(fail)?;
        let file = Arc::new(file);
        lock(&self.files).push((name.to_owned(), file.clone()));
        Ok(file)
    }

    /// Names the file as it would have been called.
    fn cannot_write(&self, name: &Path, error: &io::Error) -> Diagnostic {
        cannot_write(&self.target.join(name), error)
    }
}

/// A thread that panicked while it held the lock left a whole list behind.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An absolute path without links above its last part; nothing of it has to exist.
pub(super) fn resolve(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    let mut resolved = PathBuf::new();
    let mut parts = path.components().peekable();
    while let Some(part) = parts.next() {
        match part {
            Component::ParentDir => drop(resolved.pop()),
            part => resolved.push(part),
        }
        if parts.peek().is_some()
            && let Ok(real) = resolved.canonicalize()
        {
            resolved = real;
        }
    }
    Ok(resolved)
}

/// No input is written to, and none is where it would be replaced.
fn apart(target: &Path, place: &Path, inputs: &[PathBuf]) -> Result<(), Diagnostic> {
    for input in inputs {
        let Ok(real) = input.canonicalize() else { continue };
        let how = if place == real || place.canonicalize().is_ok_and(|place| place == real) {
            "is"
        } else if place.starts_with(&real) {
            "lies inside"
        } else if real.starts_with(place) {
            "contains"
        } else {
            continue;
        };
        let message = format!("the output `{}` {how} the input `{}`", target.display(), input.display());
        return Err(Diagnostic::new(&codes::OUTPUT_IS_INPUT, message).path(target));
    }
    Ok(())
}

fn replaceable(target: &Path, place: &Path, existing: Existing) -> Result<(), Diagnostic> {
    let Ok(found) = fs::symlink_metadata(place) else { return Ok(()) };
    let refuse = |why: &str| {
        Diagnostic::new(&codes::OUTPUT_EXISTS, format!("`{}` {why}", target.display())).path(target)
    };
    let here = std::env::current_dir().is_ok_and(|here| here.starts_with(place));
    let own = || OWN.iter().any(|name| place.join(name).is_file());
    let empty = || fs::read_dir(place).is_ok_and(|mut entries| entries.next().is_none());
    match existing {
        Existing::Refuse => Err(refuse("exists already")),
        Existing::Replace if !found.is_dir() => Err(refuse("exists and is not a directory")),
        Existing::Replace if here => Err(refuse("is the directory that tamis was started in")),
        Existing::Replace if own() || empty() => Ok(()),
        Existing::Replace => Err(refuse("exists, and tamis did not write it")
            .help("only what tamis wrote is replaced; choose another name, or remove it yourself")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Checkpoint;
    use crate::diagnostic::Fault;
    use crate::tensor::DType;

    fn spec(name: &str, dtype: DType, shape: &[usize]) -> TensorSpec {
        TensorSpec { name: name.into(), dtype, shape: shape.into() }
    }

    fn refused(target: &Path, existing: Existing, inputs: &[PathBuf]) -> Diagnostic {
        let error = OutputDir::create(target, existing, inputs).unwrap_err();
        assert_eq!(error.code.fault, Fault::Output);
        assert_eq!(error.path.as_deref(), Some(target));
        error
    }

    #[test]
    fn what_is_written_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("deep/out");
        for shard_size in [None, Some(8)] {
            let output = OutputDir::create(&target, Existing::Replace, &[]).unwrap();
            let plan =
                [spec("b", DType::F32, &[2]), spec("a", DType::Bf16, &[2, 2]), spec("none", DType::U8, &[0])];
            let tensors = output.tensors(&plan, shard_size).unwrap();
            rayon::scope(|scope| {
                scope.spawn(|_| tensors.write_at(0, 4, &[5, 6, 7, 8]).unwrap());
                scope.spawn(|_| tensors.write_at(0, 0, &[1, 2, 3, 4]).unwrap());
                scope.spawn(|_| tensors.write_at(1, 0, &[9; 8]).unwrap());
            });
            output.put("config.json", b"{}").unwrap();
            output.put("provenance.json", b"{}").unwrap();
            output.put("1_Pooling/config.json", b"{}").unwrap();
            assert!(Checkpoint::open(output.path()).is_ok());
            let digests = output.digests(&BTreeMap::new()).unwrap();
            assert_eq!(digests[Path::new("1_Pooling/config.json")], Digest::sha256(b"{}"));
            output.finish().unwrap();
            let checkpoint = Checkpoint::open(&target).unwrap();
            assert_eq!(checkpoint.files().len(), if shard_size.is_some() { 2 } else { 1 });
            assert_eq!(checkpoint.read(&checkpoint.tensors["b"]).unwrap(), [1, 2, 3, 4, 5, 6, 7, 8]);
            assert_eq!(checkpoint.read(&checkpoint.tensors["a"]).unwrap(), [9; 8]);
            assert!(target.join("1_Pooling/config.json").is_file());
        }
        assert_eq!(fs::read_dir(target.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn nothing_remains_of_a_directory_that_is_not_finished() {
        let dir = tempfile::tempdir().unwrap();
        let output = OutputDir::create(&dir.path().join("deep/out"), Existing::Refuse, &[]).unwrap();
        output.put("x", b"1").unwrap();
        drop(output);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_forgotten_tensor_is_a_bug_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let output = OutputDir::create(&dir.path().join("out"), Existing::Refuse, &[]).unwrap();
        let tensors = output.tensors(&[spec("a", DType::U8, &[2])], None).unwrap();
        tensors.write_at(0, 0, &[1]).unwrap();
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| output.finish())).is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn copies_carry_content_and_not_permissions() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("vocab.txt");
        fs::write(&from, "a b").unwrap();
        let mut permissions = fs::metadata(&from).unwrap().permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&from, permissions).unwrap();
        let output = OutputDir::create(&dir.path().join("out"), Existing::Refuse, &[]).unwrap();
        output.copy_file(&from, Path::new("x/vocab.txt")).unwrap();
        let error = output.copy_file(&dir.path().join("absent"), Path::new("y")).unwrap_err();
        assert_eq!(error.code, &codes::READ_FAILED);
        output.finish().unwrap();
        let copy = dir.path().join("out/x/vocab.txt");
        assert_eq!(fs::read_to_string(&copy).unwrap(), "a b");
        assert!(!fs::metadata(copy).unwrap().permissions().readonly());
    }

    #[test]
    fn what_exists_is_refused_or_replaced_only_if_it_is_ours() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("out");
        fs::create_dir(&target).unwrap();
        assert_eq!(refused(&target, Existing::Refuse, &[]).code, &codes::OUTPUT_EXISTS);
        assert!(OutputDir::create(&target, Existing::Replace, &[]).is_ok());
        fs::write(target.join("thesis.tex"), "").unwrap();
        assert!(refused(&target, Existing::Replace, &[]).message.ends_with("tamis did not write it"));
        assert!(target.join("thesis.tex").exists());
        let file = target.join("thesis.tex");
        assert!(refused(&file, Existing::Replace, &[]).message.ends_with("is not a directory"));
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert_eq!(refused(&link, Existing::Refuse, &[]).code, &codes::OUTPUT_EXISTS);
        assert_eq!(refused(&link, Existing::Replace, &[]).code, &codes::OUTPUT_EXISTS);
        assert_eq!(refused(Path::new("."), Existing::Replace, &[]).code, &codes::OUTPUT_EXISTS);
        assert_eq!(refused(Path::new("/"), Existing::Replace, &[]).code, &codes::OUTPUT_EXISTS);
    }

    #[test]
    fn an_input_is_never_written_to() {
        let dir = tempfile::tempdir().unwrap();
        let model = dir.path().join("model");
        let inputs = [model.clone()];
        fs::create_dir_all(model.join("sub")).unwrap();
        std::os::unix::fs::symlink(&model, dir.path().join("link")).unwrap();
        for (target, how) in [
            ("model", "is"),
            ("link", "is"),
            ("model/out", "lies inside"),
            ("link/deep/out", "lies inside"),
            ("absent/../model/out", "lies inside"),
            ("", "contains"),
        ] {
            let error = refused(&dir.path().join(target), Existing::Replace, &inputs);
            assert_eq!(error.code, &codes::OUTPUT_IS_INPUT, "{target}: {}", error.message);
            assert!(error.message.contains(&format!("` {how} the input `")), "{target}: {}", error.message);
        }
        assert!(OutputDir::create(&dir.path().join("model-2"), Existing::Refuse, &inputs).is_ok());
        assert_eq!(fs::read_dir(&model).unwrap().count(), 1);
    }

    #[test]
    fn a_place_that_can_not_be_written_to_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        let error = refused(&dir.path().join("file/out"), Existing::Refuse, &[]);
        assert_eq!(error.code, &codes::OUTPUT_NOT_WRITABLE, "{}", error.message);
    }

    #[test]
    fn room_is_checked_before_the_first_byte() {
        let dir = tempfile::tempdir().unwrap();
        let output = OutputDir::create(&dir.path().join("out"), Existing::Refuse, &[]).unwrap();
        let error = output.tensors(&[spec("a", DType::U8, &[1 << 60])], None).unwrap_err();
        assert_eq!(error.code, &codes::DISK_FULL);
        assert_eq!(fs::read_dir(output.path()).unwrap().count(), 0);
    }
}
