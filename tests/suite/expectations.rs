//! Diagnostics that a recipe of a fixture expects, as comments in it.
//!
//! ```text
//! let x 3     # error[syntax]: "expected `=`" at "3"
//! # error[unclosed]
//! save "out
//! ```
//! A comment behind a statement is about its line, one on a line of its own about the next line that is none. The text
//! behind the colon is a part of the message or of what is said under the place; the text behind `at` is what the
//! diagnostic points at.

use tamis::diagnostic::{Diagnostic, Diagnostics, Severity};
use tamis::source::Source;

#[derive(Debug)]
struct Expectation {
    line: usize,
    severity: &'static str,
    code: String,
    message: Option<String>,
    place: Option<String>,
}

/// What is wrong with the diagnostics of a text: `(line, message)`, lines from 1.
pub fn compare(text: &str, diagnostics: &Diagnostics) -> Vec<(usize, String)> {
    let source = Source::new("fixture", text);
    let mut expected = expectations(text);
    let mut wrong = Vec::new();
    for diagnostic in diagnostics.iter() {
        let line = diagnostic.place.as_ref().map_or(1, |place| source.place(place.span.start).line);
        match expected
            .iter()
            .position(|expectation| expectation.line == line && expectation.is_met(diagnostic, text))
        {
            Some(met) => drop(expected.remove(met)),
            None => wrong.push((line, format!("not expected: {}", shown(diagnostic, text)))),
        }
    }
    wrong.extend(expected.into_iter().map(|missing| (missing.line, format!("not found: {missing:?}"))));
    wrong
}

impl Expectation {
    fn is_met(&self, diagnostic: &Diagnostic, text: &str) -> bool {
        let said = diagnostic.place.as_ref().map_or("", |place| &place.text);
        let part = self.message.as_deref().unwrap_or_default();
        let at = self.place.as_deref();
        self.code == diagnostic.code.name
            && self.severity == severity(diagnostic.severity)
            && (diagnostic.message.contains(part) || said.contains(part))
            && at.is_none_or(|at| at == pointed_at(diagnostic, text))
    }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

fn pointed_at<'a>(diagnostic: &Diagnostic, text: &'a str) -> &'a str {
    diagnostic.place.as_ref().map_or("", |place| &text[place.span.start..place.span.end])
}

fn shown(diagnostic: &Diagnostic, text: &str) -> String {
    let severity = severity(diagnostic.severity);
    let at = pointed_at(diagnostic, text);
    format!("{severity}[{}]: \"{}\" at \"{at}\"", diagnostic.code.name, diagnostic.message)
}

fn expectations(text: &str) -> Vec<Expectation> {
    let mut expectations = Vec::new();
    // Those of comment lines, which wait for a line that is none.
    let mut waiting = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let found: Vec<Expectation> =
            line.split("# ").skip(1).filter_map(|comment| expectation(comment, number)).collect();
        if line.trim_start().starts_with('#') && !found.is_empty() {
            waiting.extend(found);
            continue;
        }
        expectations.extend(waiting.drain(..).map(|waiting| Expectation { line: number, ..waiting }));
        expectations.extend(found);
    }
    expectations
}

fn expectation(comment: &str, line: usize) -> Option<Expectation> {
    let severity = ["error", "warning", "note"].into_iter().find(|severity| comment.starts_with(severity))?;
    let (code, rest) = comment[severity.len()..].strip_prefix('[')?.split_once(']')?;
    let (message, place) = match rest.rsplit_once(" at \"") {
        Some((message, place)) => (message, Some(place.trim_end())),
        None => (rest, None),
    };
    let message = message.trim().strip_prefix(": \"").and_then(|message| message.strip_suffix('"'));
    let place = place.and_then(|place| place.strip_suffix('"'));
    let (message, place) = (message.map(str::to_owned), place.map(str::to_owned));
    Some(Expectation { line, severity, code: code.to_owned(), message, place })
}

#[test]
fn an_expectation_has_a_line_a_code_and_maybe_more() {
    let found = expectations("a  # error[x]: \"b \\\"c\\\"\" at \"d\"\n# warning[y]\n\nb # comment\n");
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].line, found[0].code.as_str(), found[0].place.as_deref()), (1, "x", Some("d")));
    assert_eq!((found[1].line, found[1].severity, found[1].message.as_deref()), (3, "warning", None));
}
