//! Rows of a router that lead to nothing, drawn at random (AdaMoE).

use std::collections::BTreeMap;

use serde_json::json;

use super::super::{axes, room::Room};
use crate::checkpoint::TensorSpec;
use crate::diagnostic::{Diagnostic, numbers};
use crate::pass::{Context, Finding, Work, WorkKind};
use crate::tensor::random::Stream;

/// Draws rows for routers from a normal distribution.
#[derive(Debug)]
pub struct DrawNulls {
    /// Paths of the axes of experts.
    pub axes: Vec<String>,
    pub count: usize,
    /// The standard deviation.
    pub spread: f64,
    pub seed: u64,
}

/// The name under which the rows of an axis's router are kept.
pub fn null_name(path: &str) -> String {
    format!("{path}.nulls")
}

impl Work for DrawNulls {
    fn kind(&self) -> WorkKind {
        WorkKind::Select
    }

    fn describe(&self) -> String {
        format!("null experts of {}", numbers::things(self.axes.len(), "layer"))
    }

    fn arguments(&self) -> serde_json::Value {
        json!({ "null experts": self.axes, "count": self.count, "spread": self.spread, "seed": self.seed })
    }

    fn reads(&self) -> Vec<String> {
        // Shapes and types alone.
        Vec::new()
    }

    fn run(&self, at: &Context<'_>) -> Result<Finding, Diagnostic> {
        let graph = &at.version.graph;
        let spec = |(path, axis): (&String, &crate::graph::AxisId)| {
            let (_, of) = graph.experts_of(*axis)?;
            let view = graph.sites[of.router].views().next()?;
            let width = graph.dim_extent(&graph.site_dims(of.router).1);
            let dtype = graph.params[view.param].dtype;
            Some(TensorSpec { name: null_name(path), dtype, shape: vec![self.count, width] })
        };
        let specs: Vec<TensorSpec> = axes(graph, &self.axes).iter().filter_map(spec).collect();
        let room = Room::new(at.room, specs.clone())?;
        for spec in specs {
            let stream = Stream::new(self.seed, &spec.name);
            let count: usize = spec.shape.iter().product();
            let mut rows: Vec<f32> =
                (0..count as u64).map(|at| (stream.normal(at) * self.spread) as f32).collect();
            room.write(&spec.name, &mut rows)?;
        }
        room.finish(BTreeMap::new())
    }
}
