//! Directories for findings that are too large to be held, where nothing is kept between runs.

use std::path::{Path, PathBuf};

/// Makes names of directories beside an output; they are gone when the run is.
#[derive(Debug, Default)]
pub struct Rooms(Vec<PathBuf>);

impl Rooms {
    /// A directory that is not there yet, on the disk of the output.
    pub fn another(&mut self, output: &Path) -> PathBuf {
        let mut name = output.file_name().unwrap_or_default().to_owned();
        name.push(format!(".found-{}-{}", std::process::id(), self.0.len()));
        self.0.push(output.with_file_name(name));
        self.0[self.0.len() - 1].clone()
    }
}

impl Drop for Rooms {
    fn drop(&mut self) {
        for room in &self.0 {
            // One that no work used was never made.
            let _ = std::fs::remove_dir_all(room);
        }
    }
}
