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

pub use dtype::DType;
pub use error::TensorError;
pub use view::MatrixView;

/// Placeholder until ranks are here.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Cut {
    pub key: u32,
}
