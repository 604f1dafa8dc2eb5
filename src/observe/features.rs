//! What an encoder makes of samples, and samples that stand for any.

use super::each_batch;
use super::gradients::no_labels;
use super::outputs::answers;
use crate::diagnostic::{Diagnostic, codes};
use crate::graph::{Graph, Op};
use crate::pass::{Context, Data};
use crate::runtime::op::Host;
use crate::runtime::{Batch, Failure, Inputs, Rows};

/// For each sample the mean of its last hidden states at unit length, and its label.
///
/// # Errors
/// Where the model gives no hidden states, samples have no labels, or something cannot be read.
pub fn features(at: &Context<'_>, data: &Data) -> Result<Vec<(Vec<f32>, usize)>, Diagnostic> {
    let mut found = Vec::new();
    answers(at.version, each_batch(at, data)?, |batch, outputs| {
        let labels: Option<Vec<usize>> = batch.labels.iter().copied().collect();
        let labels = labels.ok_or_else(|| no_labels(data))?;
        let hidden = outputs.hidden.as_ref().ok_or_else(|| {
            Diagnostic::at(&codes::NO_LOSS, data.span, "the model gives no hidden states to be probed")
        })?;
        let read = || -> Result<Vec<f32>, Failure> {
            let means = hidden.mean()?.tensor.contiguous()?;
            Ok(Host::of(&means)?.values().to_vec())
        };
        let values = read().map_err(Failure::told)?;
        let width = values.len() / labels.len().max(1);
        for (row, label) in values.chunks_exact(width.max(1)).zip(labels) {
            let length = row.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt().max(1e-12);
            found.push((row.iter().map(|value| (f64::from(*value) / length) as f32).collect(), label));
        }
        Ok(())
    })?;
    Ok(found)
}

/// A batch of the size that the graph is for: of token 0, of black pictures, or of both.
pub fn blank(graph: &Graph, samples: usize) -> Batch {
    let of = |op: &Op| {
        let node = graph.ops.node_weights().find(|node| node.op == *op)?;
        Some(node.value.iter().map(|dim| graph.dim_extent(dim)).collect::<Vec<_>>())
    };
    let placeholder = graph.ops.node_weights().find_map(|node| match node.op {
        Op::InsertPicture { placeholder } => Some(placeholder),
        _ => None,
    });
    let text = || {
        let tokens = of(&Op::TokenIds).and_then(|dims| dims.first().copied()).unwrap_or(1);
        let sample: Vec<u32> = placeholder.into_iter().chain(vec![0; tokens]).collect();
        (sample.repeat(samples), Rows::of(std::iter::repeat_n(sample.len(), samples)))
    };
    let inputs = match of(&Op::Pixels).as_deref() {
        Some(&[channels, height, width]) => {
            let shape = [channels, height, width];
            let values = vec![0.0; samples * channels * height * width];
            match placeholder {
                None => Inputs::Pixels { values, shape },
                Some(_) => {
                    let (ids, rows) = text();
                    Inputs::Both { ids, rows, values, shape }
                }
            }
        }
        _ => {
            let (ids, rows) = text();
            Inputs::Tokens { ids, rows }
        }
    };
    Batch { inputs, labels: vec![None; samples], first: 0 }
}
