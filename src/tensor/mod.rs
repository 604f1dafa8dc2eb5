//! Numbers without models: element types, masks, ranks, decompositions.

pub mod convert;
pub mod cut;
mod dtype;
mod error;
pub mod floor;
mod lanes;
pub mod mask;
pub mod pattern;
mod view;

pub use cut::Cut;
pub use dtype::DType;
pub use error::TensorError;
pub use view::MatrixView;
