//! What to say about text that the grammar took by a way to be wrong.

use pest::iterators::Pair;

use super::{Builder, Rule, poisoned};
use crate::diagnostic::{Code, Diagnostic, codes};
use crate::source::Span;
use crate::syntax::layout::{POISON, is_clause_word, is_ident_byte};

impl<'a> Builder<'a> {
    /// Reports what stands where something else is wanted, unless that follows from what is missing before it.
    pub(super) fn missing(&mut self, pair: &Pair<Rule>, wanted: &str) {
        if let Some(diagnostic) = self.expected(self.start(pair), wanted) {
            self.diagnostics.push(diagnostic);
        }
    }

    /// The diagnostic of [`Builder::missing`], for those who have more to say.
    pub(super) fn expected(&mut self, at: usize, wanted: &str) -> Option<Diagnostic> {
        let found = self.token_at(at);
        self.mistakes += 1;
        if self.missing_at.replace(found.start) == Some(found.start) || self.is_poison(found) {
            return None;
        }
        let text = self.laid_text(found);
        Some(if found.is_empty() {
            Diagnostic::at(&codes::SYNTAX, found, format!("expected {wanted}, but the line ends"))
        } else if wanted.ends_with("name") && (is_clause_word(text) || matches!(text, "true" | "false")) {
            let message = format!("`{text}` is a word of the language, not a name");
            Diagnostic::at(&codes::RESERVED_WORD, found, message).says(format!("expected {wanted}"))
        } else {
            let message = format!("expected {wanted}, found {}", quoted(text));
            Diagnostic::at(&codes::SYNTAX, found, message)
        })
    }

    /// Reports text behind the end of what it follows.
    pub(super) fn superfluous(&mut self, pair: &Pair<Rule>, wanted: &str) {
        let diagnostic = self.expected(self.start(pair), wanted);
        if let Some(diagnostic) = diagnostic.filter(|_| !poisoned(pair)) {
            self.diagnostics.push(diagnostic);
        }
    }

    pub(super) fn report(&mut self, code: &'static Code, place: Span, message: String) {
        self.mistakes += 1;
        self.diagnostics.push(Diagnostic::at(code, place, message));
    }

    /// Reports a word that is nearly another one.
    pub(super) fn report_meant(&mut self, code: &'static Code, place: Span, message: String, meant: &str) {
        self.mistakes += 1;
        let help = format!("did you mean `{meant}`?");
        self.diagnostics.push(Diagnostic::at(code, place, message).help(help).fix(place, meant));
    }

    pub(super) fn laid_text(&self, span: Span) -> &'a str {
        &self.laid[span.start..span.end]
    }

    pub(super) fn is_poison(&self, span: Span) -> bool {
        self.laid.as_bytes().get(span.start) == Some(&POISON)
    }

    /// The word, number, text or sign at `at` or behind the blanks there. Empty where the line ends, right behind the last token.
    pub(super) fn token_at(&self, at: usize) -> Span {
        let rest = self.laid[at..].trim_start_matches([' ', '\t', '\r']);
        let start = self.laid.len() - rest.len();
        let len = token_len(rest);
        if len == 0 {
            let end = self.laid[..start].trim_end_matches([' ', '\t', '\r', '\n']).len();
            return self.whole_characters(end, end).after();
        }
        self.whole_characters(start, start + len)
    }
}

/// The length of the first token of `text`; 0 at the end of a line.
fn token_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let run = |of: fn(u8) -> bool| bytes.iter().position(|&byte| !of(byte)).unwrap_or(bytes.len());
    match bytes.first() {
        None | Some(b'\n') => 0,
        Some(b'"') => text[1..].find(['"', '\n']).map_or(1, |end| end + 2),
        Some(b'0'..=b'9') => run(|byte| is_ident_byte(byte) || byte == b'%'),
        Some(&byte) if is_ident_byte(byte) => run(is_ident_byte),
        Some(b'<' | b'>' | b'=' | b'!') => run(|byte| matches!(byte, b'<' | b'>' | b'=' | b'!')),
        Some(_) => text.chars().next().map_or(0, char::len_utf8),
    }
}

/// Source text in a message.
fn quoted(text: &str) -> String {
    if text.starts_with('"') { "a text".to_owned() } else { format!("`{text}`") }
}
