//! `text(...)`: sentences or running text, tokenized by the model's own tokenizer.

use crate::field_spec;
use crate::pass::{Count, DataKind, ReaderSpec};

pub static SPEC: ReaderSpec = ReaderSpec {
    name: "text",
    doc: " Text from JSON lines, CSV or plain files, tokenized by the model's `tokenizer.json`.",
    kind: DataKind::Text,
    arguments: &[
        field_spec!(path, String, ["The file."],),
        field_spec!(field, Option<String>, ["The field of a line that holds the text."],),
        field_spec!(label, Option<String>, ["The field that holds the label."],),
        field_spec!(samples, Option<Count>, ["How many samples are taken."],),
        field_spec!(
            tokens,
            Option<Count>,
            ["Tokens of a sample at most; of a language model's windows exactly."],
        ),
        field_spec!(split, Option<String>, ["The part of the data set."],),
        field_spec!(seed, u64, ["What shuffling starts from."], "0"),
        field_spec!(shuffle, bool, ["Whether samples are drawn in random order."], "false"),
    ],
};
