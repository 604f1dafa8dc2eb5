//! How much less the second of two chosen experts counts than the first.

use std::collections::BTreeMap;

use serde_json::json;

use super::super::{axes, read_batches};
use super::seeing::Seeing;
use crate::diagnostic::{Diagnostic, numbers};
use crate::graph::{AxisId, Experts, Graph, SiteId};
use crate::pass::{Context, Data, Finding, Statistics, Work, WorkKind};
use crate::runtime::op::Host;
use crate::runtime::{Blind, Edit, Failure, Loaded, Model, Routed, Segment, Watch};

/// Finds for each layer the median over tokens of the second gate by the first.
#[derive(Debug)]
pub struct MedianRatios {
    seeing: Seeing,
    /// Paths of the axes of experts.
    paths: Vec<String>,
}

impl MedianRatios {
    pub fn new(graph: &Graph, data: Data, paths: &[String]) -> Self {
        Self { seeing: Seeing::new(graph, data), paths: paths.to_vec() }
    }
}

impl Work for MedianRatios {
    fn kind(&self) -> WorkKind {
        WorkKind::Observe
    }

    fn describe(&self) -> String {
        let layers = numbers::things(self.paths.len(), "layer");
        format!("ratios of gates of {layers} on {}", self.seeing.data.name)
    }

    fn arguments(&self) -> serde_json::Value {
        self.seeing.arguments(json!({ "ratios of gates": self.paths }))
    }

    fn reads(&self) -> Vec<String> {
        self.seeing.reads.clone()
    }

    fn data(&self) -> Vec<Data> {
        vec![self.seeing.data.clone()]
    }

    fn run(&self, at: &Context<'_>) -> Result<Finding, Diagnostic> {
        let graph = &at.version.graph;
        let axes = axes(graph, &self.paths);
        let mut watching = Watching { ratios: axes.values().map(|&axis| (axis, Vec::new())).collect() };
        let router = |&axis: &AxisId| graph.experts_of(axis).map(|(_, experts)| experts.router);
        let routers: Vec<SiteId> = axes.values().filter_map(router).collect();
        let batches = read_batches(at, &self.seeing.data, None)?;
        let model = Model::new(at.version);
        model.edit(&batches, &mut watching, model.last_block(&routers)).map_err(Failure::told)?;
        let median = |(path, axis): (String, AxisId)| {
            let ratios = watching.ratios.remove(&axis).unwrap_or_default();
            (path, vec![median(ratios)])
        };
        Ok(Finding::Statistics(Statistics(axes.into_iter().map(median).collect())))
    }
}

/// The middle, or the mean of the two middle ones; 0 of none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        count => f64::midpoint(values[(count - 1) / 2], values[count / 2]),
    }
}

struct Watching {
    ratios: BTreeMap<AxisId, Vec<f64>>,
}

impl Watch for Watching {
    fn routed(&mut self, of: &Experts, routed: &Routed<'_>) -> Result<(), Failure> {
        let Some(ratios) = self.ratios.get_mut(&of.axis) else { return Blind.routed(of, routed) };
        let gates = routed.gates.contiguous()?;
        let host = Host::of(&gates)?;
        let pairs = host.values().chunks_exact(routed.top_k).filter(|gates| gates.len() == 2);
        ratios.extend(pairs.map(|pair| f64::from(pair[1]) / f64::from(pair[0])));
        Ok(())
    }
}

impl Edit for Watching {
    /// Nothing changes.
    fn edit(&mut self, _: &Segment, _: &mut Loaded) -> Result<bool, Failure> {
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_even_and_odd_counts() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(Vec::new()), 0.0);
    }
}
