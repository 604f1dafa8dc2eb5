//! What a grouping is: which experts of a layer are alike, so that they can become one.

use std::fmt::Debug;

use super::reader::Data;
use crate::diagnostic::Diagnostic;

/// What of the experts of a layer has to be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// Which tokens a router sends where.
    Routing,
    /// What each expert makes of all tokens, on average.
    Outputs,
    /// Their weights alone.
    Weights,
}

/// What was seen of the experts of one layer.
pub struct Seen<'a> {
    /// The tree path of the axis that counts them.
    pub place: &'a str,
    pub experts: usize,
    /// How often each was chosen; `None` where the model was not run.
    pub counts: Option<&'a [f64]>,
    /// Sums over tokens of products of router logits, `[experts, experts]`; of [`Sight::Routing`].
    pub logits: &'a [f64],
    /// Mean outputs `[experts, hidden]`; of [`Sight::Outputs`].
    pub outputs: &'a [f64],
    /// Euclidean distances between weights `[experts, experts]`; of [`Sight::Weights`].
    pub distances: &'a [f64],
}

/// A way to put experts into groups.
pub trait Grouping: Debug + Send + Sync {
    /// What the model is shown, if it is shown anything.
    fn data(&self) -> Option<&Data>;

    fn sight(&self) -> Sight;

    /// For each expert the number of its group, all of `0..into` in use.
    ///
    /// # Errors
    /// Where what was seen cannot be compared.
    fn groups(&self, seen: &Seen<'_>, into: usize) -> Result<Vec<usize>, Diagnostic>;
}
