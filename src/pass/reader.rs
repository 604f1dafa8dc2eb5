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

/// One sample of a data set, as a model takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub input: Input,
    /// The number of its class.
    pub label: Option<usize>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Token ids, special ones among them where the model is no language model. Never padded.
    Tokens(Vec<u32>),
    Pixels(Pixels),
}

/// A picture, prepared for the model.
#[derive(Debug, Clone, PartialEq)]
pub struct Pixels {
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    /// `[channels, height, width]`
    pub values: Vec<f32>,
}
