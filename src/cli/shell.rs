//! `tamis completions` and `tamis man`: what shells and `man` want, from the definition of the command line.

use std::path::{Path, PathBuf};

use clap::CommandFactory;
use tamis::diagnostic::{Diagnostic, Diagnostics, codes};

use super::Arguments;
use super::answer::Answer;

/// Print the completions of a shell
#[derive(Debug, clap::Args)]
pub struct Completions {
    #[arg(value_name = "SHELL")]
    shell: clap_complete::Shell,
}

/// Write the manual pages, one a command, into a directory
#[derive(Debug, clap::Args)]
pub struct Man {
    /// A directory; it is made where it is not there
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

impl Completions {
    pub fn run(&self) -> Answer {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "tamis", &mut text);
        Answer::Text(String::from_utf8_lossy(&text).into_owned())
    }
}

impl Man {
    pub fn run(&self) -> Result<Answer, Diagnostics> {
        let failed = |path: &Path, error: std::io::Error| {
            let message = format!("cannot write `{}`: {error}", path.display());
            Diagnostic::new(&codes::WRITE_FAILED, message).path(path)
        };
        std::fs::create_dir_all(&self.directory).map_err(|error| failed(&self.directory, error))?;
        let mut names = Vec::new();
        for (name, page) in pages().map_err(|error| failed(&self.directory, error))? {
            let path = self.directory.join(&name);
            std::fs::write(&path, page).map_err(|error| failed(&path, error))?;
            names.push(format!("{}\n", path.display()));
        }
        Ok(Answer::Text(names.concat()))
    }
}

/// Pages by file name: `tamis.1`, `tamis-check.1`.
fn pages() -> std::io::Result<Vec<(String, Vec<u8>)>> {
    let root = Arguments::command();
    let mut pages = Vec::new();
    let mut add = |command: clap::Command| -> std::io::Result<()> {
        let man = clap_mangen::Man::new(command);
        let mut page = Vec::new();
        man.render(&mut page)?;
        pages.push((man.get_filename(), page));
        Ok(())
    };
    add(root.clone())?;
    for command in root.get_subcommands() {
        let name = format!("tamis-{}", command.get_name());
        let called = format!("tamis {}", command.get_name());
        add(command.clone().display_name(name).bin_name(called).version(env!("CARGO_PKG_VERSION")))?;
    }
    Ok(pages)
}
