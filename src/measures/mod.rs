//! The measures: a file each, and the list.

mod bytes;
mod flops;
mod macs;
mod params;
mod zeros;

use crate::pass::MeasureSpec;

/// Every measure there is, in the order of the manual.
pub static MEASURES: &[&MeasureSpec] =
    &[&params::SPEC, &macs::SPEC, &flops::SPEC, &bytes::SPEC, &zeros::SPEC];
