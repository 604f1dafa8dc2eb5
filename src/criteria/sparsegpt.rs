//! `sparsegpt`: zeros whose effect on the output the other weights make up for.

use std::sync::Arc;

use crate::criterion;
use crate::observe::ReconstructWeights;
use crate::pass::{Criterion, Data, ElementScores, Ratio, Reconstructing, Work};
use crate::weights::Reach;

criterion! {
    /// Zeroes the weights that cost the output of their layer least, one input after the other, and changes those behind them to
    /// make up for it (SparseGPT).
    ///
    /// The cost of a weight is its square over that of the diagonal of the inverse of the products of inputs; zeros of a share are
    /// chosen in blocks of 128 inputs over all outputs. Layers are pruned one after the other: a layer sees what comes through
    /// the pruned ones before it. The weights that stay change, so that the step cannot be taken apart again.
    ///
    /// ```tamis
    /// data calib = text("calib.jsonl", samples: 128)
    /// sparsify weights of layers[*] by sparsegpt(calib) to 2:4
    /// ```
    ///
    /// SparseGPT: Massive Language Models Can be Accurately Pruned in One-Shot, arXiv:2301.00774.
    SparseGpt = "sparsegpt"
    {
        /// What the model is shown.
        data: Data,
        /// What is added to the diagonal of the products, as a share of its mean. Ten times as much is tried where the products
        /// cannot be inverted.
        damping: Ratio = "1%",
    }
}

impl Criterion for SparseGpt {
    fn describe(&self) -> String {
        format!("sparsegpt({}, damping: {})", self.data.reader.describe(), self.damping.0)
    }

    fn data(&self) -> Vec<Data> {
        vec![self.data.clone()]
    }

    fn elements(&self) -> Option<&dyn ElementScores> {
        Some(&Reconstructed)
    }

    fn reconstruct(&self, asked: &Reconstructing<'_>) -> Option<Arc<dyn Work>> {
        let Reconstructing { graph, sites, zeroing } = asked;
        Some(Arc::new(ReconstructWeights::new(graph, self.data.clone(), sites, *zeroing, self.damping.0)))
    }
}

/// Weights are not scored apart from being reconstructed.
struct Reconstructed;

impl ElementScores for Reconstructed {
    fn reach(&self) -> Reach {
        Reach::Matrix
    }

    fn score(&self, _: &str, _: usize, _: &[f32], _: &mut [f32]) {
        unreachable!("what is reconstructed is not masked")
    }
}
