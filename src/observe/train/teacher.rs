//! The model that is learned from: it answers, and stays as it is.

use crate::diagnostic::Diagnostic;
use crate::runtime::{Batch, Failure, Gates, Loaded, Model, Watch};
use crate::weights::Version;

/// A model with all of its weights, none of them a variable.
pub struct Teacher<'a> {
    model: Model<'a>,
    weights: Loaded,
}

impl<'a> Teacher<'a> {
    /// # Errors
    /// Where weights cannot be read.
    pub fn new(version: &'a Version) -> Result<Self, Diagnostic> {
        let model = Model::new(version);
        let weights = model.load().map_err(Failure::told)?;
        Ok(Self { model, weights })
    }

    pub fn graph(&self) -> &crate::graph::Graph {
        &self.model.version.graph
    }

    /// # Errors
    /// Where a sample does not fit the model.
    pub fn answer(&self, batch: &Batch, watch: &mut dyn Watch) -> Result<(), Failure> {
        self.model.forward(&self.weights, batch, &Gates::default(), watch)
    }
}
