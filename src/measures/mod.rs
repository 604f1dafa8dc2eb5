//! The measures: a file each, and the list.

mod accuracy;
mod agreement;
mod bytes;
mod cosine;
mod flops;
mod kl;
mod latency;
mod loss;
mod macs;
mod params;
mod peak_memory;
mod perplexity;
mod probe;
mod zeros;

use crate::pass::MeasureSpec;

/// Every measure there is, in the order of the manual.
pub static MEASURES: &[&MeasureSpec] = &[
    &params::SPEC,
    &macs::SPEC,
    &flops::SPEC,
    &bytes::SPEC,
    &zeros::SPEC,
    &accuracy::SPEC,
    &loss::SPEC,
    &perplexity::SPEC,
    &cosine::SPEC,
    &agreement::SPEC,
    &kl::SPEC,
    &probe::SPEC,
    &latency::SPEC,
    &peak_memory::SPEC,
];
