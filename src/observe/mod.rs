//! Watching a model at work: what criteria and measures have in common.
//!
//! A criterion says which numbers it wants; how samples become batches, how layers are pruned one after the other, how a
//! gradient reaches a gate stands here, once.

pub mod experts;
mod factor;
mod features;
mod gradients;
mod inputs;
mod outputs;
mod rearrange;
mod reconstruct;
mod recover;
mod room;
mod times;
mod train;

use std::collections::BTreeMap;

pub use factor::{FactorOnData, Whiten, factor_name};
pub use features::{blank, features};
pub use gradients::{GateGradients, each_gradient, gate_gradients, no_logits};
pub use inputs::{ObserveInputs, Statistic};
pub use outputs::{Compared, Outputs, Scored, classes_of, compared, cosine, run_once, scored};
pub use rearrange::RearrangeUnits;
pub use reconstruct::ReconstructWeights;
pub use recover::{RecoverOutputs, recovered_names};
pub use times::measure_times;
pub use train::{
    Adapter, Counts, Flow, Layers, LearnRates, Parts, Penalty, Rating, ReplaceTrained, Shrinking, Shrinks,
    Sparse, Spending, Terms, TrainWeights, has_logits, labelled, learnable, lowering, put_rates, spread,
};

use crate::diagnostic::Diagnostic;
use crate::graph::{AxisId, Graph, Op, View};
use crate::pass::{Context, Data};
use crate::runtime::{Batch, batches};

/// Rows that go through the model at once: enough for products to be fast, few enough for logits over a vocabulary.
const ROWS: usize = 2048;

/// The first samples of a data set (all of them without a number), as batches that go through the model layer by layer
/// together.
///
/// # Errors
/// Where samples cannot be read, or there are fewer.
pub fn read_batches(at: &Context<'_>, data: &Data, samples: Option<usize>) -> Result<Vec<Batch>, Diagnostic> {
    let found = at.samples(data)?.take(samples.unwrap_or(usize::MAX));
    batches(found, ROWS, patch(&at.input.graph)).collect()
}

/// All samples of a data set, as batches that go through the whole model one by one: one of them is in memory at a time.
///
/// # Errors
/// Where samples cannot be read.
pub fn each_batch(
    at: &Context<'_>,
    data: &Data,
) -> Result<impl Iterator<Item = Result<Batch, Diagnostic>> + use<>, Diagnostic> {
    Ok(batches(at.samples(data)?, ROWS, patch(&at.input.graph)))
}

/// Pixels of a patch.
fn patch(graph: &Graph) -> usize {
    let sites = graph.ops.node_weights().filter_map(|node| match node.op {
        Op::Patches(site) => graph.matrix_views(site).next(),
        _ => None,
    });
    let sides = |view: &View| graph.shape(&graph.params[view.param]).into_iter().rev().take(2).product();
    sites.map(sides).next().unwrap_or(1)
}

/// Numbers of axes by their paths.
///
/// # Panics
/// Where a path is not of this graph.
pub fn axes(graph: &Graph, paths: &[String]) -> BTreeMap<String, AxisId> {
    let places = graph.places();
    let axis = |path: &String| places.axis(path).expect("the checker and the run agree on paths");
    paths.iter().map(|path| (path.clone(), axis(path))).collect()
}
