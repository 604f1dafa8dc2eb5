//! The model that is learned from: it answers, and stays as it is.

use crate::diagnostic::Diagnostic;
use crate::graph::Graph;
use crate::runtime::{Batch, Failure, Gates, Loaded, Model, Watch};
use crate::weights::Version;

/// Bytes of weights, in f32, that stay in memory between answers.
const KEPT: u64 = 4 << 30;

/// A model whose weights are no variables. One with more of them than are kept has a layer's in memory at a time, and reads
/// them anew for every answer, which is the same.
pub struct Teacher<'a> {
    model: Model<'a>,
    weights: Option<Loaded>,
}

impl<'a> Teacher<'a> {
    /// # Errors
    /// Where weights cannot be read.
    pub fn new(version: &'a Version) -> Result<Self, Diagnostic> {
        let model = Model::new(version);
        let weights = match bytes(&version.graph) <= KEPT {
            true => Some(model.load().map_err(Failure::told)?),
            false => None,
        };
        Ok(Self { model, weights })
    }

    /// Bytes of weights that a teacher of this graph holds at most.
    pub fn holds(graph: &Graph) -> u64 {
        bytes(graph).min(KEPT)
    }

    pub fn graph(&self) -> &Graph {
        &self.model.version.graph
    }

    /// # Errors
    /// Where a sample does not fit the model, or weights cannot be read.
    pub fn answer(&self, batch: &Batch, watch: &mut dyn Watch) -> Result<(), Failure> {
        match &self.weights {
            Some(weights) => self.model.forward(weights, batch, &Gates::default(), watch),
            None => self.model.run(std::slice::from_ref(batch), watch),
        }
    }
}

/// Of all weights, in f32.
fn bytes(graph: &Graph) -> u64 {
    4 * graph.weights().map(|(_, param)| graph.elements(param) as u64).sum::<u64>()
}
