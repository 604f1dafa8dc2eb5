//! `evolution`: sets of experts bred by the loss of the whole model.

use std::sync::Arc;

use crate::criterion;
use crate::observe::experts::{Breeding, EvolveSets};
use crate::pass::{Choosing, Count, Criterion, Data, Work};

criterion! {
    /// Breeds sets of experts that stay, in all layers together, by the loss of the model on labelled samples or text: random sets to
    /// begin with, then children of the better ones, each a mixture of two parents with some experts exchanged.
    ///
    /// Each set is a run of the whole model over the data: few samples are enough. The same seed breeds the same sets.
    ///
    /// ```tamis
    /// data calib = text("calib.txt", tokens: 128, samples: 64)
    /// drop experts of layers[*] by evolution(calib, iterations: 100, seed: 7) keep 2
    /// ```
    ///
    /// Efficient Expert Pruning, arXiv:2407.00945: its first phase, with the loss for the score of a task.
    Evolution = "evolution"
    {
        /// What the model is judged on.
        data: Data,
        /// Random sets to begin with.
        population: Count = "30",
        /// Children, one after the other.
        iterations: Count = "100",
        /// Another seed makes other sets.
        seed: u64 = "0",
    }
}

impl Criterion for Evolution {
    fn describe(&self) -> String {
        let Self { population, iterations, seed, .. } = self;
        let data = self.data.reader.describe();
        format!("evolution({data}, population: {}, iterations: {}, seed: {seed})", population.0, iterations.0)
    }

    fn data(&self) -> Vec<Data> {
        vec![self.data.clone()]
    }

    fn choose(&self, asked: &Choosing<'_>) -> Result<Option<Arc<dyn Work>>, [String; 2]> {
        let Self { population, iterations, seed, .. } = *self;
        let breeding = Breeding { population: population.0, iterations: iterations.0, seed };
        Ok(Some(Arc::new(EvolveSets::new(asked.graph, self.data.clone(), asked.keep, breeding))))
    }
}
