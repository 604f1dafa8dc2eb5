//! A file as an output, with what belongs beside it: whole or not at all, synced before it has its name.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::disk::{self, cannot_write};
use super::output::{Existing, resolve};
use super::partial::{Partial, sync_dir, tidy};
use crate::diagnostic::{Diagnostic, codes};

/// Files in the making, named after one of them. Dropped before [`OutputFiles::finish`], they leave nothing.
///
/// They lie in a directory beside the target until they are finished, where [`super::discard`] and the next run find them.
#[derive(Debug)]
pub struct OutputFiles {
    partial: Partial,
    /// As it was given, to show.
    target: PathBuf,
    existing: Existing,
}

impl OutputFiles {
    /// Begins a file that is to be at `target`, and others whose names go on after its own: `.data`. None of `inputs` is written
    /// to; the directory that holds them may be.
    ///
    /// # Errors
    /// Where something is there already, or the place cannot be written to.
    pub fn create(
        target: &Path,
        existing: Existing,
        suffixes: &[&str],
        inputs: &[PathBuf],
    ) -> Result<Self, Diagnostic> {
        let place = resolve(target).map_err(|error| cannot_write(target, &error))?;
        for suffix in [""].iter().chain(suffixes) {
            free(&with(target, suffix), &with(&place, suffix), existing, inputs)?;
        }
        tidy(&place);
        let partial = Partial::create(&place).map_err(|error| cannot_write(target, &error))?;
        Ok(Self { partial, target: target.to_owned(), existing })
    }

    /// Refuses where the disk has not that much room.
    pub fn reserve(&self, bytes: u64) -> Result<(), Diagnostic> {
        disk::reserve(self.partial.path(), &self.target, bytes)
    }

    /// The file itself, or with a suffix one beside it.
    pub fn file(&self, suffix: &str) -> Result<File, Diagnostic> {
        let path = self.partial.path().join(self.beside(suffix));
        let file = File::options().write(true).create_new(true).open(path);
        file.map_err(|error| self.cannot_write(suffix, &error))
    }

    /// The name of a file beside it.
    pub fn beside(&self, suffix: &str) -> String {
        with(&self.target, suffix).file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Gives all files their names, those beside it first. The files are synced. Their paths, as the target was given.
    ///
    /// # Errors
    /// Where a name was taken meanwhile; what was moved until then stays.
    pub fn finish(self) -> Result<Vec<PathBuf>, Diagnostic> {
        let fail = |error: &io::Error| cannot_write(&self.target, error);
        let own = self.beside("");
        let mut names: Vec<OsString> = Vec::new();
        for entry in fs::read_dir(self.partial.path()).map_err(|error| fail(&error))? {
            names.push(entry.map_err(|error| fail(&error))?.file_name());
        }
        // The file that the others belong to comes last: who sees it sees them.
        names.sort_by_key(|name| (name.to_str() == Some(&own), name.clone()));
        let parent = self.partial.target().parent().unwrap_or(self.partial.target()).to_owned();
        let mut written = Vec::new();
        for name in names {
            let (from, to) = (self.partial.path().join(&name), parent.join(&name));
            free(&self.target.with_file_name(&name), &to, self.existing, &[])?;
            fs::rename(from, to).map_err(|error| fail(&error))?;
            written.push(self.target.with_file_name(&name));
        }
        sync_dir(&parent).map_err(|error| fail(&error))?;
        self.partial.keep_parents();
        Ok(written)
    }

    /// Names the file as it would have been called.
    pub fn cannot_write(&self, suffix: &str, error: &io::Error) -> Diagnostic {
        cannot_write(&with(&self.target, suffix), error)
    }
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

/// Nothing is at a place, or a file that may be replaced; never an input.
fn free(shown: &Path, place: &Path, existing: Existing, inputs: &[PathBuf]) -> Result<(), Diagnostic> {
    let refuse = |why: &str| {
        Diagnostic::new(&codes::OUTPUT_EXISTS, format!("`{}` {why}", shown.display())).path(shown)
    };
    let Ok(found) = fs::symlink_metadata(place) else { return Ok(()) };
    let is_input = |input: &PathBuf| {
        input.canonicalize().is_ok_and(|input| place.canonicalize().is_ok_and(|place| place == input))
    };
    if let Some(input) = inputs.iter().find(|input| is_input(input)) {
        let message = format!("the output `{}` is the input `{}`", shown.display(), input.display());
        return Err(Diagnostic::new(&codes::OUTPUT_IS_INPUT, message).path(shown));
    }
    match existing {
        Existing::Replace if found.is_file() => Ok(()),
        Existing::Replace => Err(refuse("exists and is not a file")),
        Existing::Refuse => Err(refuse("exists already").help("`--replace` takes its place")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn files_are_there_together_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("deep/model.onnx");
        let output = OutputFiles::create(&target, Existing::Refuse, &[".data"], &[]).unwrap();
        output.file(".data").unwrap().write_all(b"1").unwrap();
        drop(output);
        assert!(names(dir.path()).is_empty());
        let output = OutputFiles::create(&target, Existing::Refuse, &[".data"], &[]).unwrap();
        output.file("").unwrap().write_all(b"2").unwrap();
        output.file(".data").unwrap().write_all(b"1").unwrap();
        let written = output.finish().unwrap();
        assert_eq!(written, [with(&target, ".data"), target.clone()]);
        assert_eq!(names(target.parent().unwrap()), ["model.onnx", "model.onnx.data"]);
    }

    #[test]
    fn a_file_is_replaced_where_that_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("model.onnx");
        fs::write(&target, "old").unwrap();
        let refused = |existing, inputs: &[PathBuf]| {
            OutputFiles::create(&target, existing, &[], inputs).unwrap_err().code
        };
        assert_eq!(refused(Existing::Refuse, &[]), &codes::OUTPUT_EXISTS);
        assert_eq!(refused(Existing::Replace, std::slice::from_ref(&target)), &codes::OUTPUT_IS_INPUT);
        let output = OutputFiles::create(&target, Existing::Replace, &[], &[]).unwrap();
        output.file("").unwrap().write_all(b"new").unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "old");
        output.finish().unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "new");
        assert_eq!(names(dir.path()), ["model.onnx"]);
    }
}
