//! Numbers without models: element types, masks, ranks, decompositions.

mod dtype;

pub use dtype::DType;
