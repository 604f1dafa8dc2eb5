//! Numbers without models: element types, masks, ranks, decompositions.

pub mod convert;
mod dtype;
mod error;
mod view;

pub use dtype::DType;
pub use error::TensorError;
pub use view::MatrixView;
