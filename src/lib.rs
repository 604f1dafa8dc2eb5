//! tamis compiles recipes for neural-network compression: check, plan, run.

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod check;
pub mod checkpoint;
pub mod diagnostic;
pub mod graph;
pub mod pass;
pub mod passes;
pub mod provenance;
pub mod reference;
pub mod source;
pub mod syntax;
pub mod tensor;
pub mod weights;
