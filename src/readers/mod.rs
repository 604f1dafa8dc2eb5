//! Data readers: a file each, and the list.

mod image;
mod text;
mod tokens;

use crate::pass::ReaderSpec;

/// Every reader there is.
pub static READERS: &[&ReaderSpec] = &[&text::SPEC, &tokens::SPEC, &image::SPEC];
