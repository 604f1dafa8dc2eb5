//! A directory that becomes its target in one step: it is filled under another name beside the target and then renamed.
//!
//! Its maker holds a lock on it for as long as it lives. What a killed process leaves is not locked, and is removed by the
//! next run that writes to the same target: see [`tidy`].

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

/// The directory in the making; removed when dropped before [`Partial::publish`].
#[derive(Debug)]
pub struct Partial {
    path: PathBuf,
    target: PathBuf,
    /// Parents of the target that had to be made, the outermost first.
    made: Vec<PathBuf>,
    published: bool,
    /// Unlocks when closed, also by a kill.
    _lock: Option<File>,
}

impl Partial {
    /// Makes the directory beside an absolute target path.
    pub fn create(target: &Path) -> io::Result<Self> {
        let parent = target.parent().unwrap_or(target);
        let mut made: Vec<PathBuf> =
            parent.ancestors().take_while(|dir| !dir.exists()).map(Path::to_owned).collect();
        made.reverse();
        match fs::create_dir_all(parent).and_then(|()| claim(target)) {
            Ok((path, lock)) => {
                Ok(Self { path, target: target.to_owned(), made, published: false, _lock: lock })
            }
            Err(error) => {
                remove_empty(&made);
                Err(error)
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Becomes the target, which must not exist. The content is on disk already.
    pub fn publish(mut self) -> io::Result<()> {
        rename_to_new(&self.path, &self.target)?;
        self.finish()
    }

    /// Takes the place of the target, whose old content is removed once the new one is durably there.
    pub fn publish_over(mut self) -> io::Result<()> {
        let aside = sibling(&self.target, ASIDE, &std::process::id().to_string());
        let old = match renameat_with(CWD, &self.path, CWD, &self.target, RenameFlags::EXCHANGE) {
            Ok(()) => self.path.clone(),
            Err(_) => {
                swap_in_steps(&self.path, &self.target, &aside)?;
                aside
            }
        };
        self.finish()?;
        // What cannot be removed now is tidied by the next run.
        let _ = fs::remove_dir_all(old);
        Ok(())
    }

    /// What was moved out of it stays, in parents that were made for it; the directory itself goes.
    pub fn keep_parents(mut self) {
        self.made.clear();
    }

    /// Writes the new name to disk.
    fn finish(&mut self) -> io::Result<()> {
        self.published = true;
        let named = self.made.iter().chain([&self.target]);
        named.filter_map(|path| path.parent()).try_for_each(sync_dir)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if self.published {
            return;
        }
        let _ = fs::remove_dir_all(&self.path);
        remove_empty(&self.made);
    }
}

/// Takes back nested directories, the innermost first. Stops where something else has moved in.
fn remove_empty(dirs: &[PathBuf]) {
    for dir in dirs.iter().rev() {
        let _ = fs::remove_dir(dir);
    }
}

/// Makes what a directory lists durable.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

const PARTIAL: &str = "tamis-partial";
const ASIDE: &str = "tamis-replaced";

/// `.NAME.KIND-TAG` beside the target.
fn sibling(target: &Path, kind: &str, tag: &str) -> PathBuf {
    let mut name = prefix(target, kind);
    name.push(tag);
    target.with_file_name(name)
}

fn prefix(target: &Path, kind: &str) -> std::ffi::OsString {
    let mut prefix = std::ffi::OsString::from(".");
    prefix.push(target.file_name().unwrap_or_default());
    prefix.push(format!(".{kind}-"));
    prefix
}

/// A new locked directory. Where locks are not supported there is none, and nothing is ever tidied.
fn claim(target: &Path) -> io::Result<(PathBuf, Option<File>)> {
    const ATTEMPTS: usize = 1000;
    let id = std::process::id();
    for attempt in 0..ATTEMPTS {
        let tag = if attempt == 0 { id.to_string() } else { format!("{id}-{attempt}") };
        let path = sibling(target, PARTIAL, &tag);
        match fs::create_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            made => made?,
        }
        let dir = File::open(&path)?;
        match dir.try_lock() {
            Ok(()) if same(&path, &dir) => return Ok((path, Some(dir))),
            Err(TryLockError::Error(_)) => return Ok((path, None)),
            // Another process took the new directory for an abandoned one.
            Ok(()) | Err(TryLockError::WouldBlock) => {}
        }
    }
    Err(io::Error::other("no name is free for a temporary directory"))
}

fn same(path: &Path, open: &File) -> bool {
    let identity = |found: io::Result<fs::Metadata>| found.map(|found| (found.dev(), found.ino())).ok();
    let (there, held) = (identity(fs::symlink_metadata(path)), identity(open.metadata()));
    there.is_some() && there == held
}

/// Removes directories that dead processes left for this target. A target that one of them moved aside and could not
/// replace goes back to its place.
pub fn tidy(target: &Path) {
    for (path, _lock) in abandoned(target, ASIDE) {
        if fs::symlink_metadata(target).is_ok() {
            let _ = fs::remove_dir_all(&path);
        } else {
            let _ = rename_to_new(&path, target);
        }
    }
    for (path, _lock) in abandoned(target, PARTIAL) {
        let _ = fs::remove_dir_all(&path);
    }
}

/// Removes what this process has in the making for a target, for when it is told to stop.
pub fn discard(target: &Path) {
    let own = sibling(target, PARTIAL, &std::process::id().to_string());
    let (Some(dir), Some(name)) = (own.parent(), own.file_name()) else { return };
    let is_own = |entry: &fs::DirEntry| {
        let found = entry.file_name();
        let tag = found.as_encoded_bytes().strip_prefix(name.as_encoded_bytes());
        tag.is_some_and(|rest| rest.is_empty() || rest[0] == b'-')
    };
    for entry in fs::read_dir(dir).into_iter().flatten().flatten().filter(is_own) {
        let _ = fs::remove_dir_all(entry.path());
    }
}

/// Directories beside the target that have a name of that kind and no living owner; they are ours while the lock is held.
fn abandoned(target: &Path, kind: &str) -> Vec<(PathBuf, File)> {
    let prefix = prefix(target, kind);
    let named = |entry: &fs::DirEntry| {
        entry.file_name().as_encoded_bytes().starts_with(prefix.as_encoded_bytes())
            && entry.file_type().is_ok_and(|kind| kind.is_dir())
    };
    let locked = |entry: fs::DirEntry| {
        let dir = File::open(entry.path()).ok()?;
        dir.try_lock().is_ok().then(|| (entry.path(), dir))
    };
    let entries =
        target.parent().and_then(|parent| fs::read_dir(parent).ok()).into_iter().flatten().flatten();
    entries.filter(named).filter_map(locked).collect()
}

/// Renames where nothing is replaced, not even what appeared a moment ago.
fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(rustix::io::Errno::EXIST) => Err(io::ErrorKind::AlreadyExists.into()),
        Ok(()) => Ok(()),
        // Not every file system knows the flag. A plain rename fails on directories that hold anything.
        Err(_) => fs::rename(from, to),
    }
}

/// Replaces a directory where the file system cannot exchange two. Between the steps the old one is kept under `aside`.
fn swap_in_steps(new: &Path, target: &Path, aside: &Path) -> io::Result<()> {
    // While we live, nobody takes the directory aside for abandoned.
    let old = File::open(target)?;
    let _ = old.try_lock();
    fs::rename(target, aside)?;
    fs::rename(new, target).inspect_err(|_| {
        let _ = fs::rename(aside, target);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A target in a new directory, and the names beside it.
    fn place() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("out");
        (dir, target)
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_directory_is_complete_or_absent() {
        let (dir, target) = place();
        let partial = Partial::create(&target).unwrap();
        fs::write(partial.path().join("x"), "1").unwrap();
        assert!(!target.exists());
        drop(partial);
        assert!(names(dir.path()).is_empty());
        let partial = Partial::create(&target).unwrap();
        fs::write(partial.path().join("x"), "1").unwrap();
        partial.publish().unwrap();
        assert_eq!(names(dir.path()), ["out"]);
        assert_eq!(names(&target), ["x"]);
    }

    #[test]
    fn parents_are_made_and_taken_back() {
        let (dir, _) = place();
        let target = dir.path().join("a/b/out");
        drop(Partial::create(&target).unwrap());
        assert!(names(dir.path()).is_empty());
        Partial::create(&target).unwrap().publish().unwrap();
        assert!(target.is_dir());
    }

    #[test]
    fn what_appeared_meanwhile_is_not_replaced() {
        let (_dir, target) = place();
        let partial = Partial::create(&target).unwrap();
        fs::create_dir(&target).unwrap();
        assert!(partial.publish().is_err());
        assert_eq!(names(target.parent().unwrap()), ["out"]);
    }

    #[test]
    fn the_living_are_left_alone_and_the_dead_are_removed() {
        let (dir, target) = place();
        fs::create_dir(dir.path().join(".out.tamis-partial-1")).unwrap();
        fs::create_dir(dir.path().join(".output.tamis-partial-1")).unwrap();
        let first = Partial::create(&target).unwrap();
        let second = Partial::create(&target).unwrap();
        tidy(&target);
        assert_ne!(first.path(), second.path());
        assert!(first.path().is_dir());
        assert!(!dir.path().join(".out.tamis-partial-1").exists());
        assert!(dir.path().join(".output.tamis-partial-1").exists());
    }

    #[test]
    fn a_target_is_replaced_in_one_step() {
        let (dir, target) = place();
        fs::create_dir(&target).unwrap();
        fs::write(target.join("old"), "").unwrap();
        let partial = Partial::create(&target).unwrap();
        fs::write(partial.path().join("new"), "").unwrap();
        partial.publish_over().unwrap();
        assert_eq!(names(dir.path()), ["out"]);
        assert_eq!(names(&target), ["new"]);
    }

    #[test]
    fn without_exchange_a_crash_in_between_loses_nothing() {
        let (dir, target) = place();
        fs::create_dir(&target).unwrap();
        fs::write(target.join("old"), "").unwrap();
        let aside = sibling(&target, ASIDE, "1");
        // The process ended after the first of the two renames.
        fs::rename(&target, &aside).unwrap();
        tidy(&target);
        assert_eq!(names(&target), ["old"]);
        // The process ended after both.
        let new = dir.path().join("new");
        fs::create_dir(&new).unwrap();
        swap_in_steps(&new, &target, &aside).unwrap();
        tidy(&target);
        assert_eq!(names(dir.path()), ["out"]);
        assert!(names(&target).is_empty());
        // The second rename failed.
        assert!(swap_in_steps(&dir.path().join("absent"), &target, &aside).is_err());
        assert_eq!(names(dir.path()), ["out"]);
    }
}
