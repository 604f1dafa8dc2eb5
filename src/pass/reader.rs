//! What a data reader declares of itself.

use super::spec::FieldSpec;

/// What a data set's samples are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataKind {
    Text,
    Tokens,
    Image,
}

/// A way to read samples from files: `text("train.jsonl", field: "text")`.
#[derive(Debug)]
pub struct ReaderSpec {
    pub name: &'static str,
    pub doc: &'static str,
    pub kind: DataKind,
    /// Named arguments; the path comes first and has no name.
    pub arguments: &'static [FieldSpec],
}
