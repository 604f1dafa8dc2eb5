//! `tamis verify`: whether an output is still what its provenance says, and whether its recipe makes it again.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use serde_json::json;
use tamis::checkpoint::sha256_files;
use tamis::diagnostic::numbers::things;
use tamis::diagnostic::{Diagnostic, Diagnostics, codes};
use tamis::execute::TIMINGS;
use tamis::provenance::{Lock, LockedData, LockedFile, Statement};

use super::answer::{Answer, Format, Session};
use super::rerun::{Again, rerun};

pub const STATEMENT: &str = "provenance.json";
const LOCK: &str = "tamis.lock";

/// Compare an output with its provenance
#[derive(Debug, clap::Args)]
pub struct Verify {
    /// An output of `tamis run`
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Run the recipe again, into a directory that is removed afterwards, and compare bit for bit
    #[arg(long)]
    rerun: bool,
    /// Where the input model is now, where it is not where it was
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// The form of the answer
    #[arg(long, default_value = "human", value_parser = Format::any_of(["human", "json"]))]
    pub format: Format,
}

/// An output's word about itself.
pub struct Claim {
    pub dir: PathBuf,
    pub statement: Statement,
    pub lock: Lock,
    /// Where the input model is.
    pub model: PathBuf,
}

impl Verify {
    pub fn run(&self, session: &mut Session) -> Result<Answer, Diagnostics> {
        let again = self.rerun.then(|| Again::beside(&self.dir));
        let claim = self.claim()?;
        let files = claim.statement.subject.len();
        session.diagnostics.extend(claim.compare()?);
        let input = claim.compare_input(session)?;
        claim.compare_data(session)?;
        let mut text = format!("{}: {}", self.dir.display(), things(files, "file"));
        if !session.diagnostics.has_errors() {
            text.push_str(" as the provenance says");
        }
        if input == Input::Same {
            text.push_str(&format!("; made from {}, which is unchanged", claim.model.display()));
        }
        if let Some(again) = &again {
            let differing = rerun(&claim, session, again)?;
            if differing.is_empty() {
                text.push_str("; made again with the same bytes");
            }
            session.diagnostics.extend(differing);
        }
        let same = !session.diagnostics.has_errors();
        Ok(match self.format {
            Format::Json => {
                let input = input.word();
                Answer::fields(json!({ "same": same, "files": files, "input": input, "rerun": self.rerun }))
            }
            _ => Answer::Text(text + "\n"),
        })
    }

    fn claim(&self) -> Result<Claim, Diagnostic> {
        let read = |name: &str| {
            let path = self.dir.join(name);
            fs::read_to_string(&path).map_err(|error| unclear(&path, &format!("cannot be read: {error}")))
        };
        let refuse = |name: &str, why: String| unclear(&self.dir.join(name), &why);
        let statement: Statement = serde_json::from_str(&read(STATEMENT)?)
            .map_err(|error| refuse(STATEMENT, format!("is no statement of tamis: {error}")))?;
        let lock = Lock::from_yaml(&read(LOCK)?).map_err(|why| refuse(LOCK, format!("is no lock: {why}")))?;
        let outside =
            |name: &str| !Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        if let Some(file) = statement.subject.iter().find(|file| outside(&file.name)) {
            return Err(refuse(STATEMENT, format!("speaks of `{}`, out of its directory", file.name)));
        }
        let model = self.model.clone().unwrap_or_else(|| PathBuf::from(&lock.model.path));
        Ok(Claim { dir: self.dir.clone(), statement, lock, model })
    }
}

fn unclear(path: &Path, why: &str) -> Diagnostic {
    Diagnostic::new(&codes::PROVENANCE_INVALID, format!("`{}` {why}", path.display())).path(path)
}

/// What has become of the input model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Input {
    Same,
    Changed,
    Gone,
}

impl Input {
    fn word(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Changed => "changed",
            Self::Gone => "gone",
        }
    }
}

/// Files that name the place of the model. They differ where it is elsewhere now.
const NAMING_THE_MODEL: [&str; 4] = ["README.md", "report.html", "report.json", LOCK];

impl Claim {
    /// Whether the model is still at the place that the lock names.
    pub fn in_place(&self) -> bool {
        self.model == Path::new(&self.lock.model.path)
    }

    /// What a second run has to make again.
    pub fn reproducible(&self) -> impl Iterator<Item = (&str, &str)> {
        self.subjects().filter(|(name, _)| self.in_place() || !NAMING_THE_MODEL.contains(name))
    }

    /// What the statement says of each file but itself, by name.
    pub fn subjects(&self) -> impl Iterator<Item = (&str, &str)> {
        self.statement
            .subject
            .iter()
            .map(|file| (file.name.as_str(), file.digest.get("sha256").map_or("", String::as_str)))
    }

    /// Files of the directory that are not as the statement says.
    fn compare(&self) -> Result<Vec<Diagnostic>, Diagnostic> {
        let mut found = differences(&self.dir, self.subjects())?;
        let listed: BTreeSet<PathBuf> = self.subjects().map(|(name, _)| name.into()).collect();
        for name in files_below(&self.dir, Path::new("")) {
            // The statement cannot list itself, and what a run took is of that run alone.
            let is_apart = [STATEMENT, TIMINGS].map(Path::new).contains(&name.as_path());
            if !is_apart && !listed.contains(&name) {
                let path = self.dir.join(&name);
                let message = format!("`{}` is not in the provenance", path.display());
                found.push(Diagnostic::new(&codes::FILE_UNLISTED, message).path(path));
            }
        }
        Ok(found)
    }

    /// Whether the model that the output was made from is still the same. That it is elsewhere is no fault.
    fn compare_input(&self, session: &mut Session) -> Result<Input, Diagnostic> {
        let Ok(dir) = session.files.locate(&self.model) else { return Ok(Input::Gone) };
        let files = self.lock.model.files.iter();
        let changed =
            differences(&dir, files.map(|LockedFile { name, sha256, .. }| (name.as_str(), sha256.as_str())))?;
        if changed.is_empty() {
            return Ok(Input::Same);
        }
        let message = format!("the input model `{}` is not what it was", self.model.display());
        let help = format!(
            "{} of it changed: the recipe would not make this output now",
            things(changed.len(), "file")
        );
        session.diagnostics.push(Diagnostic::new(&codes::INPUT_CHANGED, message).path(&dir).help(help));
        Ok(Input::Changed)
    }
}

impl Claim {
    /// Whether data that is still there is what it was. That it is elsewhere is no fault.
    fn compare_data(&self, session: &mut Session) -> Result<(), Diagnostic> {
        for LockedData { reader, files } in &self.lock.data {
            let there = files.iter().filter(|file| Path::new(&file.name).is_file());
            let there = there.map(|LockedFile { name, sha256, .. }| (name.as_str(), sha256.as_str()));
            let changed = differences(Path::new(""), there)?;
            if let Some(first) = changed.first().and_then(|diagnostic| diagnostic.path.clone()) {
                let message = format!("the data of `{reader}` is not what it was");
                let help = format!(
                    "{} of it changed: the recipe would not make this output now",
                    things(changed.len(), "file")
                );
                let changed = Diagnostic::new(&codes::INPUT_CHANGED, message).path(first).help(help);
                session.diagnostics.push(changed);
            }
        }
        Ok(())
    }
}

/// Files that are missing or have other digests.
pub fn differences<'a>(
    dir: &Path,
    files: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<Vec<Diagnostic>, Diagnostic> {
    let differs = |path: PathBuf, how: &str| {
        Diagnostic::new(&codes::DIGEST_DIFFERS, format!("`{}` {how}", path.display())).path(path)
    };
    let (there, missing): (Vec<_>, Vec<_>) = files.partition(|(name, _)| dir.join(name).exists());
    let paths: Vec<PathBuf> = there.iter().map(|(name, _)| dir.join(name)).collect();
    let digests = sha256_files(&paths)?;
    let changed =
        paths.into_iter().zip(&there).zip(digests).filter(|((_, (_, said)), is)| is.to_string() != *said);
    let changed = changed.map(|((path, _), _)| differs(path, "is not the file that was written"));
    Ok(changed.chain(missing.iter().map(|(name, _)| differs(dir.join(name), "is missing"))).collect())
}

/// Names of all files below a directory, sorted.
fn files_below(dir: &Path, below: &Path) -> Vec<PathBuf> {
    let mut names: Vec<PathBuf> = fs::read_dir(dir.join(below))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| below.join(entry.file_name()))
        .collect();
    names.sort_unstable();
    let expand = |name: PathBuf| if dir.join(&name).is_dir() { files_below(dir, &name) } else { vec![name] };
    names.into_iter().flat_map(expand).collect()
}
