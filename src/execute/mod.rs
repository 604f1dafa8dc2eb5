//! Plans are carried out: findings from the cache or from weights, rewrites on lazy versions, outputs whole or not at all.
//!
//! Tasks are done one after the other, each with all threads. Nothing of a model is in memory but the blocks that are worked
//! on, and results die at their last use.

mod cache;
mod compare;
mod config;
mod data;
mod finish;
mod input;
mod outputs;
mod record;
mod rooms;
mod run;
mod scratch;
mod stream;
mod summary;
#[cfg(test)]
mod tests;
mod timings;
mod verify;
mod write;

use std::path::PathBuf;

pub use crate::pass::{Progress, Silent};
pub use cache::{Cache, default_cache};
pub use run::run;
pub use timings::TIMINGS;

use crate::checkpoint::{Existing, Family};
use crate::diagnostic::Diagnostic;
use crate::provenance::Provenance;

/// Makes further files of an output from what was done.
pub type Pages<'a> = dyn Fn(&Provenance) -> Vec<(String, Vec<u8>)> + Sync + 'a;

/// What a run is given beside its plan.
pub struct Options<'a> {
    /// To read the model and, at the end, what was written.
    pub families: &'a [&'a Family],
    pub recipe: RecipeText,
    /// What to do where an output is there already.
    pub existing: Existing,
    /// Where findings are kept; nothing is kept without.
    pub cache: Option<PathBuf>,
    /// Further files of an output, by name: the report and the card for people.
    pub pages: &'a Pages<'a>,
}

/// The recipe as it was read.
#[derive(Debug, Clone, Default)]
pub struct RecipeText {
    pub text: String,
    /// Its `##` comment.
    pub doc: Option<String>,
    /// Files that it uses: the path as the recipe writes it, and the text.
    pub used: Vec<(String, String)>,
}

/// What a run leaves.
#[derive(Debug)]
pub struct Outcome {
    pub saved: Vec<Saved>,
    /// What the user should know of what was found out, each once.
    pub remarks: Vec<Diagnostic>,
    /// Expectations that did not hold; all is written nevertheless.
    pub unmet: Vec<Diagnostic>,
}

/// One output.
#[derive(Debug)]
pub struct Saved {
    /// As it was given.
    pub dir: PathBuf,
    pub provenance: Provenance,
}
