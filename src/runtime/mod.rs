//! The runtime: a graph interpreted in candle. No second model zoo: what families built is what runs.
//!
//! Computation is in f32 whatever the stored type. Samples lie one after the other without padding (`rows`), so that no
//! operation has to know of it. A model runs a layer at a time (`model`), so that one larger than memory can be watched at
//! work; `watch` has the hooks and the gates.

mod experts;
mod grid;
mod inserted;
mod interpret;
pub mod kernel;
mod loss;
mod model;
pub mod op;
mod reduce;
mod rows;
mod soft;
mod watch;
mod weights;

pub use experts::{Routed, expert_output};
pub use interpret::{Value, Values};
pub use loss::{argmax, divergence, log_sum_exp};
pub use model::{Edit, EditingWatch, Model, Segment, Walk};
pub use rows::{Batch, Inputs, Kind, Rows, batches};
pub use soft::{Masks, masked_logits};
pub use watch::{Blind, Gates, Watch, readers};
pub use weights::{Leaf, Loaded, Matrix, Rest, SiteWeights};

use crate::diagnostic::{Diagnostic, codes};

/// Why a model cannot be run.
#[derive(Debug)]
pub enum Failure {
    /// What is told to the user already: weights or samples that cannot be read.
    Told(Box<Diagnostic>),
    /// A token that the model has no row for.
    UnknownToken { id: u32, vocabulary: usize },
    /// A sample of more tokens than there are positions.
    TooLong { tokens: usize, positions: usize },
    /// A text without a place for its picture, or with several.
    NoPlace { sample: usize, placeholder: u32 },
    /// An operation that only costs are known of.
    NotRun(&'static str),
    /// An operation that fails: an error of ours.
    Compute(candle_core::Error),
}

impl From<candle_core::Error> for Failure {
    fn from(error: candle_core::Error) -> Self {
        Self::Compute(error)
    }
}

impl Failure {
    /// As the user is told of it.
    ///
    /// # Panics
    /// Where an operation failed, which is an error of ours.
    pub fn told(self) -> Diagnostic {
        match self {
            Self::Told(diagnostic) => *diagnostic,
            Self::UnknownToken { id, vocabulary } => {
                let message = format!("token {id} is not among the model's {vocabulary}");
                Diagnostic::new(&codes::SAMPLE_MISFIT, message)
                    .help("a step took words out of the vocabulary, and the text still has them")
            }
            Self::TooLong { tokens, positions } => {
                let message = format!("a sample has {tokens} tokens, the model {positions} positions");
                Diagnostic::new(&codes::SAMPLE_MISFIT, message).help(format!("write `tokens: {positions}`"))
            }
            Self::NoPlace { sample, placeholder } => {
                let message = format!("text {sample} has not one place for its picture");
                Diagnostic::new(&codes::SAMPLE_MISFIT, message).help(format!(
                    "token {placeholder} stands for the picture: once, or several times in a row"
                ))
            }
            Self::NotRun(why) => {
                Diagnostic::new(&codes::CANNOT_RUN, format!("tamis does not run this model: {why}"))
            }
            Self::Compute(error) => panic!("operations of a checked graph fit together: {error}"),
        }
    }
}
