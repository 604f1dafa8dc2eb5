//! The files of the repository, by path from its root, in order.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub struct File {
    /// From the root, with `/` on every system.
    pub path: String,
    pub text: String,
}

impl File {
    pub fn lines(&self) -> usize {
        self.text.lines().count()
    }
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files under some directories with one of these endings. A directory that is not there has none.
pub fn files(directories: &[&str], endings: &[&str]) -> Vec<File> {
    let mut paths = Vec::new();
    for directory in directories {
        walk(&root().join(directory), &mut paths);
    }
    let wanted = |path: &PathBuf| endings.iter().any(|ending| path.to_string_lossy().ends_with(ending));
    read_all(paths.into_iter().filter(wanted).collect())
}

/// Every text that git keeps or would keep; what a run leaves in the directory is ignored by it.
pub fn everything() -> Vec<File> {
    let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let listed = Command::new("git").args(arguments).current_dir(root()).output();
    let mut paths = Vec::new();
    match listed.ok().filter(|ran| ran.status.success()) {
        Some(ran) => {
            let names = String::from_utf8_lossy(&ran.stdout).into_owned();
            paths.extend(names.split_terminator('\0').map(|name| root().join(name)));
        }
        None => walk(root(), &mut paths),
    }
    read_all(paths)
}

/// Everything that is Rust.
pub fn rust_files() -> Vec<File> {
    files(&["src", "tests", "benches", "examples"], &[".rs"])
}

/// Fails with all faults, a line each.
pub fn none(faults: &[String]) {
    assert!(faults.is_empty(), "{} to mend:\n{}", faults.len(), faults.join("\n"));
}

/// Those that are texts.
fn read_all(mut paths: Vec<PathBuf>) -> Vec<File> {
    paths.sort();
    paths.into_iter().filter_map(|path| read(&path)).collect()
}

/// What a build, a run or git leaves is not ours.
fn walk(directory: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let foreign = ["target", "out", ".git", ".venv", "__pycache__"];
        if path.is_dir() && !foreign.iter().any(|foreign| name == *foreign) {
            walk(&path, paths);
        } else if path.is_file() && name != ".git" {
            paths.push(path);
        }
    }
}

/// `None` for what is no text.
fn read(path: &Path) -> Option<File> {
    let text = fs::read_to_string(path).ok()?;
    let path = path.strip_prefix(root()).expect("the walk starts at the root");
    Some(File { path: path.to_string_lossy().replace('\\', "/"), text })
}
