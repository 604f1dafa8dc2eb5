//! Data sets as a model takes them, compared with what transformers makes of the same files.
//!
//! The golden values are written by `tests/golden/data.py`.

mod draws;
mod pictures;
mod support;
mod text;
