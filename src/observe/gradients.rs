//! Gradients of a loss by gates on axes: what an element is worth to the loss, to first order.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::Var;

use super::outputs::{Outputs, classes_of};
use crate::diagnostic::{Diagnostic, codes};
use crate::graph::AxisId;
use crate::pass::{Context, Data, is_causal};
use crate::runtime::op::{cross_entropy, tensor};
use crate::runtime::{Batch, Failure, Gates, Loaded, Model};

/// Sums over samples, for each element of each axis.
#[derive(Debug, Clone, Default)]
pub struct GateGradients {
    /// Of the gradient itself.
    pub sums: BTreeMap<AxisId, Vec<f64>>,
    /// Of its square, where samples were taken together `batch` at a time: of the squared gradient of their mean loss.
    pub squares: BTreeMap<AxisId, Vec<f64>>,
    pub samples: usize,
}

/// Calls `each` with an axis, the gradients of its elements summed over `batch` consecutive samples, and how many these are: the
/// last ones may be fewer. How many samples there were in all.
///
/// # Errors
/// As [`gate_gradients`].
pub fn each_gradient(
    at: &Context<'_>,
    data: &Data,
    batches: &[Batch],
    axes: &[AxisId],
    batch: usize,
    each: &mut dyn FnMut(AxisId, &[f64], usize),
) -> Result<usize, Diagnostic> {
    let graph = &at.version.graph;
    let model = Model::new(at.version);
    let weights = model.load().map_err(Failure::told)?;
    let mut open: Vec<Vec<f64>> = axes.iter().map(|&axis| vec![0.0; graph.extent(axis).max]).collect();
    let (mut in_open, mut samples) = (0, 0);
    let mut close = |open: &mut [Vec<f64>], samples: usize| {
        for (&axis, open) in axes.iter().zip(open) {
            each(axis, open, samples);
            open.fill(0.0);
        }
    };
    for part in batches {
        let gradients = of_batch(&model, &weights, data, part, axes).map_err(Failure::told)?;
        for sample in 0..part.samples() {
            for (at, gradients) in gradients.iter().enumerate() {
                let extent = open[at].len();
                let of_sample = &gradients[sample * extent..][..extent];
                open[at].iter_mut().zip(of_sample).for_each(|(sum, it)| *sum += f64::from(*it));
            }
            in_open += 1;
            if in_open == batch {
                close(&mut open, in_open);
                in_open = 0;
            }
        }
        samples += part.samples();
    }
    if in_open > 0 {
        close(&mut open, in_open);
    }
    Ok(samples)
}

/// Gradients of the cross entropy of each sample by a gate on each element of some axes, all gates being 1.
///
/// Every sample has gates of its own, so that one backward pass gives the gradients of all samples of a batch. `batch` many
/// consecutive samples are averaged before squares are taken; with 1 the squares are the empirical Fisher information.
///
/// # Errors
/// Where the model gives no logits, samples have no labels, or something cannot be read.
pub fn gate_gradients(
    at: &Context<'_>,
    data: &Data,
    batches: &[Batch],
    axes: &[AxisId],
    batch: usize,
) -> Result<GateGradients, Diagnostic> {
    let mut found = GateGradients::default();
    found.samples = each_gradient(at, data, batches, axes, batch, &mut |axis, gradients, samples| {
        let sums = found.sums.entry(axis).or_insert_with(|| vec![0.0; gradients.len()]);
        sums.iter_mut().zip(gradients).for_each(|(sum, it)| *sum += it);
        let squares = found.squares.entry(axis).or_insert_with(|| vec![0.0; gradients.len()]);
        squares.iter_mut().zip(gradients).for_each(|(sum, it)| *sum += (it / samples as f64).powi(2));
    })?;
    Ok(found)
}

/// For each axis the gradients of each sample, `[samples, extent]`.
fn of_batch(
    model: &Model<'_>,
    weights: &Loaded,
    data: &Data,
    batch: &Batch,
    axes: &[AxisId],
) -> Result<Vec<Vec<f32>>, Failure> {
    let graph = &model.version.graph;
    let samples = batch.samples();
    let mut gates = Gates::default();
    let mut vars = Vec::new();
    for &axis in axes {
        let extent = graph.extent(axis).max;
        let var = Var::from_tensor(&tensor(vec![1.0; samples * extent], (samples, extent))?)?;
        gates.put(graph, axis, &var);
        vars.push(var);
    }
    let mut outputs = Outputs::default();
    model.forward(weights, batch, &gates, &mut outputs)?;
    let logits = outputs.logits.ok_or_else(|| no_logits(data))?;
    let classes = classes_of(batch, &logits, data, is_causal(graph))?;
    let counts: Vec<usize> = logits
        .rows
        .ranges()
        .into_iter()
        .map(|range| classes[range].iter().filter(|class| class.is_some()).count().max(1))
        .collect();
    let of_row = logits.rows.sample_of_row();
    let shares: Vec<f32> = of_row.iter().map(|&sample| 1.0 / counts[sample] as f32).collect();
    let rows = shares.len();
    let losses = cross_entropy(&logits.tensor, Arc::new(classes), 0.0)?;
    let total = (losses * tensor(shares, rows)?)?.sum_all()?;
    let gradients = total.backward()?;
    let of_var = |var: &Var| -> Result<Vec<f32>, Failure> {
        match gradients.get(var) {
            Some(gradient) => Ok(gradient.flatten_all()?.to_vec1()?),
            // No operation reads the axis: nothing depends on it.
            None => Ok(vec![0.0; var.elem_count()]),
        }
    };
    vars.iter().map(of_var).collect()
}

/// A loss is wanted of a model that has none.
pub fn no_logits(data: &Data) -> Diagnostic {
    let message = "the model gives no logits, so that no loss can be taken";
    Diagnostic::at(&codes::NO_LOSS, data.span, message)
        .help("use a checkpoint with its head, or a criterion that needs no loss: `activation`, `wanda`")
}

pub(super) fn no_labels(data: &Data) -> Diagnostic {
    let message = format!("the samples of `{}` have no labels, so that no loss can be taken", data.name);
    Diagnostic::at(&codes::NO_LOSS, data.span, message).help("say where labels are: `label: \"label\"`")
}
