//! `tamis fmt`: recipes in canonical layout.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde_json::json;
use tamis::diagnostic::{Diagnostic, Diagnostics, codes};
use tamis::source::{Source, SourceId};
use tamis::syntax;

use super::answer::{Answer, Format, Session};

/// Write recipes in canonical layout; `-` is standard input
#[derive(Debug, clap::Args)]
pub struct Fmt {
    /// Recipe files, or `-`
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Change nothing; name the files that are not formatted, and exit with 1 if there are any
    #[arg(long)]
    check: bool,
    /// The form of the answer
    #[arg(long, default_value = "human", value_parser = Format::any_of(["human", "json"]))]
    pub format: Format,
}

/// What became of one file.
struct Formatted {
    path: PathBuf,
    text: String,
    changed: bool,
}

impl Fmt {
    pub fn run(&self, session: &mut Session) -> Result<Answer, Diagnostics> {
        let mut done = Vec::new();
        for path in &self.files {
            match self.format_file(path, session) {
                Ok(formatted) => done.push(formatted),
                Err(found) => session.diagnostics.extend(found),
            }
        }
        session.wrong = self.check && done.iter().any(|file| file.changed);
        Ok(self.answer(&done))
    }

    fn format_file(&self, path: &Path, session: &mut Session) -> Result<Formatted, Diagnostics> {
        let source = read(path, session)?;
        let text = session.sources.get(source).text().to_owned();
        let mut diagnostics = Diagnostics::new();
        let recipe = syntax::parse(source, &text, &mut diagnostics);
        diagnostics.stop_on_error()?;
        let formatted = syntax::format_parsed(&text, &recipe);
        let changed = formatted != text;
        if changed && !self.check && !is_stdin(path) {
            replace(path, &formatted).map_err(|error| not_written(path, &error))?;
        }
        Ok(Formatted { path: path.to_owned(), text: formatted, changed })
    }

    fn answer(&self, done: &[Formatted]) -> Answer {
        if self.format == Format::Json {
            let file = |file: &Formatted| json!({ "path": file.path.display().to_string(), "changed": file.changed });
            return Answer::fields(json!({ "files": done.iter().map(file).collect::<Vec<_>>() }));
        }
        let line = |file: &Formatted| match (is_stdin(&file.path), self.check, file.changed) {
            (true, false, _) => file.text.clone(),
            (_, _, false) => String::new(),
            (_, true, true) => format!("{} is not formatted\n", file.path.display()),
            (_, false, true) => format!("{} formatted\n", file.path.display()),
        };
        Answer::Text(done.iter().map(line).collect())
    }
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

fn read(path: &Path, session: &mut Session) -> Result<SourceId, Diagnostic> {
    if !is_stdin(path) {
        return session.files.recipe(path, &mut session.sources);
    }
    let mut text = String::new();
    let fail =
        |error| Diagnostic::new(&codes::RECIPE_UNREADABLE, format!("cannot read standard input: {error}"));
    io::stdin().lock().read_to_string(&mut text).map_err(fail)?;
    Ok(session.sources.add(Source::new("<stdin>", text)))
}

/// Writes beside the file and renames, so that the recipe is whole at every moment; a link stays a link.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = path.canonicalize()?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let beside = path.with_file_name(name);
    let written = fs::File::create_new(&beside).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.set_permissions(fs::metadata(&path)?.permissions())?;
        file.sync_all()?;
        fs::rename(&beside, &path)
    });
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

fn not_written(path: &Path, error: &io::Error) -> Diagnostic {
    let message = format!("cannot write `{}`: {error}", path.display());
    Diagnostic::new(&codes::WRITE_FAILED, message).path(path)
}
