//! Text to tree, and tree to canonical text. Every text parses: what is no statement becomes `Broken` and a diagnostic.

pub mod ast;
mod format;
mod layout;
mod parse;
mod print;

pub use format::{format, format_parsed};
pub use parse::{parse, parse_expr};
