//! tamis compiles recipes for neural-network compression: check, plan, run.

// What is printed, and where, is the binary's to decide.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod diagnostic;
pub mod graph;
pub mod source;
pub mod syntax;
pub mod tensor;
