//! Operations of candle's that are our own: fused, spread over all threads, each with its backward.
//!
//! candle's own norms, softmax and rotary positions lose gradients without a word, and its activations are an order of
//! magnitude slower than the machine. Each file here is one operation; gradients are checked against finite differences and
//! against PyTorch's.

mod activation;
mod attention;
mod combine;
mod cross_entropy;
mod divergence;
mod flow;
mod gate;
mod host;
mod linear;
mod norm;
mod relation;
mod rope;
#[cfg(test)]
mod tests;

pub use activation::activation;
pub use attention::attention;
pub use combine::{Combination, combine};
pub use cross_entropy::cross_entropy;
pub use divergence::divergence;
pub use flow::flow;
pub use gate::{Gate, gate};
pub use host::{Host, tensor};
pub use linear::linear;
pub use norm::norm;
pub use relation::{Related, relation};
pub use rope::rope;
