//! Text to tree, and tree to canonical text. Every text parses: what is no statement becomes `Broken` and a diagnostic.

pub mod ast;
mod format;
mod layout;
mod parse;
mod print;

pub use format::{format, format_parsed};
pub use layout::{is_clause_word, is_statement_word, statement_words};
pub use parse::{parse, parse_expr};

/// Whether a text can be the name of a param, a let and the like.
pub fn is_name(text: &str) -> bool {
    let begins = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    let reserved = is_clause_word(text) || matches!(text, "true" | "false");
    begins && text.bytes().all(layout::is_ident_byte) && !reserved
}
