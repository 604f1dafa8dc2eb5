//! Text to tree, and tree to canonical text. Every text parses: what is no statement becomes `Broken` and a diagnostic.

pub mod ast;
mod layout;
mod parse;

pub use parse::{parse, parse_expr};
