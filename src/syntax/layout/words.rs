//! The reserved words: those that begin statements, and those that begin clauses.

use crate::syntax::ast::ClauseKind;

const STATEMENT_WORDS: [&str; 10] =
    ["recipe", "use", "param", "let", "model", "data", "measure", "expect", "sweep", "save"];

/// The words that begin statements other than steps.
pub fn statement_words() -> [&'static str; 10] {
    STATEMENT_WORDS
}

pub fn is_statement_word(word: &str) -> bool {
    STATEMENT_WORDS.contains(&word)
}

/// Whether a line that begins with this word continues the statement above. `except` continues a selector.
pub fn is_clause_word(word: &str) -> bool {
    word == "except" || ClauseKind::ALL.iter().any(|kind| kind.keyword() == word)
}

pub(in crate::syntax) fn is_ident_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The name or number at `at`; empty where another character stands there.
pub(super) fn word_at(text: &str, at: usize) -> &str {
    let rest = &text.as_bytes()[at..];
    let len = rest.iter().position(|&byte| !is_ident_byte(byte)).unwrap_or(rest.len());
    &text[at..at + len]
}

/// The next character of the line that is not a space.
pub(super) fn after_word(text: &str, at: usize) -> Option<u8> {
    text.as_bytes()[at..].iter().copied().find(|byte| !matches!(byte, b' ' | b'\t' | b'\r'))
}
