//! One run of a model over data with an eye on some layers' experts. Sums are in f64, over real tokens only.

use std::collections::BTreeMap;

use candle_core::Tensor;
use rayon::prelude::*;

use super::super::inputs::products;
use super::super::read_batches;
use crate::diagnostic::Diagnostic;
use crate::graph::{AxisId, Experts, SiteId};
use crate::pass::{Context, Data};
use crate::runtime::op::Host;
use crate::runtime::{Edit, Failure, Loaded, Model, Routed, Segment, Value, Watch, expert_output};

/// What is looked at beside how often experts are chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Look {
    /// What experts make of the tokens that come to them: its size, times the gate and alone.
    pub norms: bool,
    /// What every expert makes of every token, on average: all of them run for all tokens.
    pub means: bool,
}

/// What was seen of the experts of one layer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Looked {
    pub tokens: usize,
    /// How often each expert was chosen.
    pub counts: Vec<f64>,
    /// Sums over the tokens of each expert of its gate times the norm of its output.
    pub gated_norms: Vec<f64>,
    /// Sums over the tokens of each expert of the norm of its output.
    pub norms: Vec<f64>,
    /// Sums over tokens of products of router logits, `[routes, routes]`.
    pub logits: Vec<f64>,
    /// Mean outputs over all tokens, `[experts, hidden]`.
    pub means: Vec<f64>,
}

/// Looks at the experts of some layers, by the paths of their axes.
///
/// # Errors
/// Where weights or samples cannot be read.
pub fn look(
    at: &Context<'_>,
    data: &Data,
    paths: &[String],
    what: Look,
) -> Result<BTreeMap<String, Looked>, Diagnostic> {
    let graph = &at.version.graph;
    let axes = super::super::axes(graph, paths);
    let of: BTreeMap<AxisId, Experts> = axes
        .values()
        .filter_map(|&axis| graph.experts_of(axis).map(|(_, experts)| (axis, experts.clone())))
        .collect();
    let routers: Vec<SiteId> = of.values().map(|experts| experts.router).collect();
    let mut looking = Looking { what, of, found: BTreeMap::new(), inputs: BTreeMap::new() };
    let batches = read_batches(at, data, None)?;
    let model = Model::new(at.version);
    model.edit(&batches, &mut looking, model.last_block(&routers)).map_err(Failure::told)?;
    let mut found = looking.found;
    Ok(axes.into_iter().map(|(path, axis)| (path, found.remove(&axis).unwrap_or_default())).collect())
}

struct Looking {
    what: Look,
    of: BTreeMap<AxisId, Experts>,
    found: BTreeMap<AxisId, Looked>,
    /// What came to the routers of the layer that is running, batch by batch.
    inputs: BTreeMap<AxisId, Vec<Tensor>>,
}

impl Looking {
    fn of(&mut self, of: &Experts) -> Option<&mut Looked> {
        if !self.of.contains_key(&of.axis) {
            return None;
        }
        let count = of.experts.len();
        Some(self.found.entry(of.axis).or_insert_with(|| Looked {
            counts: vec![0.0; count],
            gated_norms: vec![0.0; count],
            norms: vec![0.0; count],
            ..Looked::default()
        }))
    }
}

impl Watch for Looking {
    fn routed(&mut self, of: &Experts, routed: &Routed<'_>) -> Result<(), Failure> {
        let wants_inputs = self.what.means;
        let Some(looked) = self.of(of) else { return Ok(()) };
        let (rows, routes) = routed.logits.dims2()?;
        looked.tokens += rows;
        for &expert in routed.chosen {
            if let Some(count) = looked.counts.get_mut(expert) {
                *count += 1.0;
            }
        }
        let logits = routed.logits.contiguous()?;
        add(&mut looked.logits, &products(Host::of(&logits)?.values(), routes));
        if wants_inputs {
            self.inputs.entry(of.axis).or_default().push(routed.x.tensor.clone());
        }
        Ok(())
    }

    fn expert(&mut self, of: &Experts, number: usize, y: &Value, gates: &Tensor) -> Result<(), Failure> {
        if !self.what.norms {
            return Ok(());
        }
        let Some(looked) = self.of(of) else { return Ok(()) };
        let y = y.tensor.contiguous()?;
        let gates = gates.contiguous()?;
        let norms = row_norms(&y)?;
        let gates = Host::of(&gates)?;
        looked.norms[number] += norms.iter().sum::<f64>();
        looked.gated_norms[number] +=
            norms.iter().zip(gates.values()).map(|(norm, gate)| norm * f64::from(*gate)).sum::<f64>();
        Ok(())
    }
}

impl Edit for Looking {
    /// Changes nothing: the weights of the layer are there, and all of its tokens have come.
    fn edit(&mut self, _: &Segment, weights: &mut Loaded) -> Result<bool, Failure> {
        for (axis, inputs) in std::mem::take(&mut self.inputs) {
            let of = self.of[&axis].clone();
            let rows: usize = inputs.iter().map(|x| x.dims()[0]).sum();
            let mut means = Vec::new();
            for number in 0..of.experts.len() {
                let mut sums = Vec::new();
                for x in &inputs {
                    let y = expert_output(weights, &of, number, x)?.contiguous()?;
                    add(&mut sums, &column_sums(&y)?);
                }
                means.extend(sums.iter().map(|sum| sum / rows.max(1) as f64));
            }
            self.found.entry(axis).or_default().means = means;
        }
        Ok(false)
    }
}

fn add(sums: &mut Vec<f64>, more: &[f64]) {
    sums.resize(more.len(), 0.0);
    sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
}

/// The Euclidean norm of each row, in their order.
fn row_norms(y: &Tensor) -> Result<Vec<f64>, Failure> {
    let width = y.dims2()?.1.max(1);
    let host = Host::of(y)?;
    let norm = |row: &[f32]| row.iter().map(|it| f64::from(*it) * f64::from(*it)).sum::<f64>().sqrt();
    Ok(host.values().par_chunks(width).map(norm).collect())
}

fn column_sums(y: &Tensor) -> Result<Vec<f64>, Failure> {
    let width = y.dims2()?.1;
    let host = Host::of(y)?;
    let mut sums = vec![0.0; width];
    for row in host.values().chunks_exact(width.max(1)) {
        sums.iter_mut().zip(row).for_each(|(sum, it)| *sum += f64::from(*it));
    }
    Ok(sums)
}
