//! `evolution`: sets of experts bred by the loss of the whole model.

use std::sync::Arc;

use crate::criterion;
use crate::observe::experts::{Breeding, EvolveMixtures, EvolveSets};
use crate::pass::{Choosing, Count, Criterion, Data, Work};

criterion! {
    /// Breeds sets of experts that stay, in all layers together, by the loss of the model on labelled samples or text: random sets to
    /// begin with, then children of the better ones, each a mixture of two parents with some experts exchanged.
    ///
    /// Each set is a run of the whole model over the data: few samples are enough. The same seed breeds the same sets.
    ///
    /// `merge experts` goes on from the best sets: an expert that stays becomes a mixture of all, and its share a sum of the shares
    /// of all, both moved at random where that helps. Neurons are not aligned.
    ///
    /// ```tamis
    /// data calib = text("calib.txt", tokens: 128, samples: 64)
    /// drop experts of layers[*] by evolution(calib, iterations: 100, seed: 7) keep 2
    /// ```
    ///
    /// ```tamis
    /// data calib = text("calib.txt", tokens: 128, samples: 64)
    /// merge experts of layers[*] by evolution(calib, iterations: 100, mixtures: 300, seed: 7) into 2
    /// ```
    ///
    /// Efficient Expert Pruning, arXiv:2407.00945, both phases, with the loss for the score of a task.
    Evolution = "evolution"
    {
        /// What the model is judged on.
        data: Data,
        /// Random sets to begin with.
        population: Count = "30",
        /// Children, one after the other.
        iterations: Count = "100",
        /// Children of mixtures, after those of sets, where experts are merged.
        mixtures: Count = "300",
        /// Another seed makes other sets.
        seed: u64 = "0",
    }
}

impl Criterion for Evolution {
    fn describe(&self) -> String {
        let Self { population, iterations, mixtures, seed, .. } = self;
        let data = self.data.reader.describe();
        let [population, iterations, mixtures] = [population.0, iterations.0, mixtures.0];
        format!(
            "evolution({data}, population: {population}, iterations: {iterations}, mixtures: {mixtures}, seed: {seed})"
        )
    }

    fn data(&self) -> Vec<Data> {
        vec![self.data.clone()]
    }

    fn choose(&self, asked: &Choosing<'_>) -> Result<Option<Arc<dyn Work>>, [String; 2]> {
        Ok(Some(Arc::new(EvolveSets::new(asked.graph, self.data.clone(), asked.keep, self.breeding()))))
    }

    fn mixing(&self, asked: &Choosing<'_>) -> Option<Arc<dyn Work>> {
        let (data, breeding) = (self.data.clone(), self.breeding());
        Some(Arc::new(EvolveMixtures::new(asked.graph, data, asked.keep, breeding, self.mixtures.0)))
    }
}

impl Evolution {
    fn breeding(&self) -> Breeding {
        Breeding { population: self.population.0, iterations: self.iterations.0, seed: self.seed }
    }
}
