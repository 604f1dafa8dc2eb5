//! `tokens(...)`: token ids as they are.

use crate::field_spec;
use crate::pass::{Count, DataKind, ReaderSpec};

pub static SPEC: ReaderSpec = ReaderSpec {
    name: "tokens",
    doc: " Token ids from JSON lines, a list a line.",
    kind: DataKind::Tokens,
    arguments: &[
        field_spec!(path, String, ["The file."],),
        field_spec!(samples, Option<Count>, ["How many samples are taken."],),
        field_spec!(seed, u64, ["What shuffling starts from."], "0"),
        field_spec!(shuffle, bool, ["Whether samples are drawn in random order."], "false"),
    ],
};
