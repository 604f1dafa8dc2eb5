//! Hooks: who looks on while a model runs, and gates that are put on its axes.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::Tensor;

use super::Failure;
use super::experts::Routed;
use super::interpret::Value;
use super::op::{self, Gate};
use super::rows::Batch;
use crate::graph::{AxisId, Experts, Graph, OpId, SiteId};

/// Looks on while a model runs. Rows are real tokens only: there is no padding anywhere.
pub trait Watch {
    /// The input of a linear operation, `[rows, in]`; of an expert the rows that were routed to it.
    fn input(&mut self, _site: SiteId, _x: &Value) -> Result<(), Failure> {
        Ok(())
    }

    /// The result of a linear operation, `[rows, out]`.
    fn linear(&mut self, _site: SiteId, _y: &Value) -> Result<(), Failure> {
        Ok(())
    }

    /// The result of any operation.
    fn made(&mut self, _op: OpId, _value: &Value) -> Result<(), Failure> {
        Ok(())
    }

    /// What a router chose for some rows.
    fn routed(&mut self, _of: &Experts, _routed: &Routed<'_>) -> Result<(), Failure> {
        Ok(())
    }

    /// What an expert made of the rows that were routed to it, `[rows, hidden]`, and their gates, `[rows]`.
    fn expert(&mut self, _of: &Experts, _number: usize, _y: &Value, _gates: &Tensor) -> Result<(), Failure> {
        Ok(())
    }

    /// The result of a norm, `[rows, hidden]`.
    fn normed(&mut self, _site: SiteId, _y: &Value) -> Result<(), Failure> {
        Ok(())
    }

    /// A layer's input and output, by its number in the model.
    fn block(&mut self, _number: usize, _before: &Value, _after: &Value) -> Result<(), Failure> {
        Ok(())
    }

    /// A result of the model: `logits`, `hidden`, `pooled`.
    fn output(&mut self, _name: &str, _value: &Value, _batch: &Batch) -> Result<(), Failure> {
        Ok(())
    }
}

/// Looks at nothing.
pub struct Blind;

impl Watch for Blind {}

/// Factors on the inputs of linear operations, by axis.
#[derive(Debug, Clone, Default)]
pub struct Gates {
    at: BTreeMap<SiteId, Vec<Placed>>,
}

#[derive(Debug, Clone)]
struct Placed {
    /// `[samples, extent]`, or `[1, extent]` for all samples.
    gates: Tensor,
    inner: usize,
}

impl Gates {
    /// Puts gates on an axis: on the input of every linear operation that sums over it. A gate of 0 is what taking the element
    /// out would be, as long as nothing between computes with the axis as a whole.
    pub fn put(&mut self, graph: &Graph, axis: AxisId, gates: &Tensor) {
        for site in readers(graph, axis) {
            let (_, inputs) = graph.site_dims(site);
            let at = inputs.0.iter().position(|&other| other == axis).expect("it reads the axis");
            let inner = inputs.0[at + 1..].iter().map(|&axis| graph.extent(axis).max).product();
            self.at.entry(site).or_default().push(Placed { gates: gates.clone(), inner });
        }
    }

    /// `x` times the gates of a site, where it has some.
    pub(super) fn applied(&self, site: SiteId, x: &Value, batch: &Batch) -> Result<Option<Value>, Failure> {
        let Some(placed) = self.at.get(&site) else { return Ok(None) };
        let mut value = x.clone();
        for Placed { gates, inner } in placed {
            let (samples, extent) = gates.dims2()?;
            let of_row = match samples {
                1 => vec![0; value.rows.count()],
                _ => {
                    debug_assert_eq!(samples, batch.samples(), "a row of gates for each sample");
                    value.rows.sample_of_row()
                }
            };
            let gate = Gate { extent, inner: *inner, gates_of_row: Arc::new(of_row) };
            value = value.with(op::gate(&value.tensor, gates, gate)?);
        }
        Ok(Some(value))
    }
}

/// The linear sites that sum over an axis.
pub fn readers(graph: &Graph, axis: AxisId) -> Vec<SiteId> {
    let reads =
        |site: &SiteId| graph.sites[*site].kind.is_matrix() && graph.site_dims(*site).1.contains(axis);
    graph.sites.ids().filter(reads).collect()
}
