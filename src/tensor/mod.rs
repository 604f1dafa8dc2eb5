//! Numbers without models: element types, masks, ranks, decompositions.

pub mod assignment;
pub mod backward;
pub mod block;
pub mod convert;
pub mod cut;
pub mod descent;
mod dtype;
mod error;
pub mod floor;
pub mod gather;
pub mod lamp;
mod lanes;
pub mod linkage;
pub mod mask;
pub mod norm;
pub mod obs;
pub mod pattern;
pub mod random;
pub mod residual;
pub mod solve;
pub mod svd;
mod view;
pub mod whitening;

pub use cut::Cut;
pub use dtype::DType;
pub use error::TensorError;
pub use view::MatrixView;
