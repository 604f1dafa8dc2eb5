//! Data readers: a file each, and the list. What they share stands in `classes`, `draw`, `lines` and `source`.

mod classes;
mod draw;
mod image;
mod lines;
mod source;
mod text;
mod tokens;

use crate::pass::ReaderSpec;

/// Every reader there is.
pub static READERS: &[&ReaderSpec] = &[&text::SPEC, &tokens::SPEC, &image::SPEC];
