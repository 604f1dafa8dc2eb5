//! What is wrong, where, and the way out: one type for the terminal, JSON, SARIF and the editor.

pub mod codes;
mod explain;
pub mod numbers;
mod render;

use std::fmt;
use std::path::PathBuf;

pub use explain::{explain, index, manual, nearest_code};
pub use render::{Style, github, human, json, sarif};

use crate::source::Span;

/// How bad it is. Only errors stop a phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Note,
    Warning,
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        })
    }
}

/// Whose fault it is; decides the exit code of the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The recipe is wrong, or an expectation failed: exit 1.
    Recipe,
    /// The command line is wrong: exit 2.
    Usage,
    /// An input could not be read: exit 3.
    Input,
    /// An output could not be written: exit 4.
    Output,
}

impl Fault {
    /// What the program returns where this ends it.
    pub fn exit_code(self) -> u8 {
        match self {
            Fault::Recipe => 1,
            Fault::Usage => 2,
            Fault::Input => 3,
            Fault::Output => 4,
        }
    }
}

/// A kind of diagnostic. Stable: scripts and editors match on `name`.
#[derive(Debug, PartialEq)]
pub struct Code {
    pub name: &'static str,
    pub severity: Severity,
    pub fault: Fault,
    /// The long form for `tamis explain`, in markdown.
    pub explanation: &'static str,
}

/// One message about one thing.
///
/// The message stands alone: lower case, no full stop, backquotes around source text.
#[derive(Debug, Clone, PartialEq)]
pub struct Diagnostic {
    pub code: &'static Code,
    pub severity: Severity,
    pub message: String,
    /// The smallest wrong thing, with what to say under it. Absent where no text is at fault.
    pub place: Option<Label>,
    /// A file or directory at fault.
    pub path: Option<PathBuf>,
    /// Further places: the cause, the earlier definition.
    pub labels: Vec<Label>,
    pub help: Option<String>,
    pub fix: Option<Fix>,
}

/// A span and what to say about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Label {
    pub span: Span,
    pub text: String,
}

/// A text edit that mends the problem.
#[derive(Debug, Clone, PartialEq)]
pub struct Fix {
    pub span: Span,
    pub replacement: String,
}

impl Diagnostic {
    pub fn new(code: &'static Code, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: code.severity,
            message: message.into(),
            place: None,
            path: None,
            labels: Vec::new(),
            help: None,
            fix: None,
        }
    }

    /// A diagnostic that points at text.
    pub fn at(code: &'static Code, span: Span, message: impl Into<String>) -> Self {
        let place = Some(Label { span, text: String::new() });
        Self { place, ..Self::new(code, message) }
    }

    /// Points at text, where it points nowhere yet.
    pub fn or_at(mut self, span: Span) -> Self {
        self.place.get_or_insert(Label { span, text: String::new() });
        self
    }

    /// What to say under the main place.
    pub fn says(mut self, text: impl Into<String>) -> Self {
        if let Some(place) = &mut self.place {
            place.text = text.into();
        }
        self
    }

    /// A second place: the cause.
    pub fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// An edit that mends it; an editor offers it as a quick fix.
    pub fn fix(mut self, span: Span, replacement: impl Into<String>) -> Self {
        self.fix = Some(Fix { span, replacement: replacement.into() });
        self
    }

    /// The file or directory at fault.
    pub fn path(mut self, path: impl Into<PathBuf>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Suggests the candidate nearest to what was written, as help and as a fix; otherwise lists what there is.
    pub fn suggest<'a>(
        self,
        written: &str,
        span: Span,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let candidates: Vec<&str> = candidates.into_iter().collect();
        match nearest(written, candidates.iter().copied()) {
            Some(name) => self.help(format!("did you mean `{name}`?")).fix(span, name),
            None if candidates.is_empty() => self,
            None => self.help(format!("there is {}", list(&candidates))),
        }
    }
}

/// Diagnostics in the order they were found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|d| d.severity == Severity::Error)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.0.iter()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Diagnostic> {
        self.0.iter_mut()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn extend(&mut self, others: impl IntoIterator<Item = Diagnostic>) {
        self.0.extend(others);
    }

    /// Ends a phase: `Err` with all diagnostics where one is an error.
    pub fn stop_on_error(self) -> Result<Self, Self> {
        if self.has_errors() { Err(self) } else { Ok(self) }
    }

    /// Orders by place in the text, so that later phases do not print before earlier lines.
    pub fn sort(&mut self) {
        self.0.sort_by_key(|d| d.place.as_ref().map(|label| label.span));
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}

/// The candidate most like `written`, if one is near enough to be a slip of the finger.
pub fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (written.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(written, candidate), candidate))
        .filter(|&(distance, candidate)| {
            distance <= allowed
                || (written.len() >= 3 && candidate.starts_with(written))
                || (candidate.len() >= 3 && written.starts_with(candidate))
        })
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// "`a`, `b` and `c`", cut after twelve.
pub fn list(names: &[&str]) -> String {
    const SHOWN: usize = 12;
    let quoted: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    match quoted.as_slice() {
        [] => "nothing".into(),
        [one] => one.clone(),
        _ if names.len() > SHOWN => {
            format!("{} and {} more", quoted.join(", "), names.len() - SHOWN)
        }
        [init @ .., last] => format!("{} and {last}", init.join(", ")),
    }
}
