//! `tamis lsp`: the language server on standard input and output.

use std::path::Path;
use std::process::ExitCode;

use crate::lsp::{self, Ending};

/// Serve editors: the language server protocol on standard input and output
#[derive(Debug, clap::Args)]
pub struct Lsp {
    /// Speak over standard input and output, which is all that there is; editors say it
    #[arg(long)]
    stdio: bool,
}

impl Lsp {
    pub fn run(&self) -> ExitCode {
        let (connection, writer) = lsp::stdio();
        let ending = lsp::serve(&connection, &mut begin_paths_at);
        drop(connection);
        writer.finish();
        ExitCode::from(u8::from(ending == Ending::Abandoned))
    }
}

/// Paths of models and data begin at the folder that the editor has open, as they do at a shell's.
#[expect(
    clippy::disallowed_methods,
    reason = "readers take paths as they are written, and nothing else runs yet"
)]
fn begin_paths_at(folder: &Path) {
    // A folder that is not there leaves paths where they began.
    let _ = std::env::set_current_dir(folder);
}
