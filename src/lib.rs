//! tamis compiles recipes for neural-network compression: check, plan, run.

pub mod checkpoint;
pub mod diagnostic;
pub mod families;
pub mod graph;
pub mod source;
pub mod syntax;
pub mod tensor;
