//! `image(...)`: pictures, prepared as the model's own preprocessor config says.

use crate::field_spec;
use crate::pass::{Count, DataKind, ReaderSpec};

pub static SPEC: ReaderSpec = ReaderSpec {
    name: "image",
    doc: " Pictures from IDX files or folders, prepared as the model's `preprocessor_config.json` says.",
    kind: DataKind::Image,
    arguments: &[
        field_spec!(path, String, ["The directory."],),
        field_spec!(split, Option<String>, ["The part of the data set."],),
        field_spec!(samples, Option<Count>, ["How many samples are taken."],),
        field_spec!(seed, u64, ["What shuffling starts from."], "0"),
        field_spec!(shuffle, bool, ["Whether samples are drawn in random order."], "false"),
    ],
};
