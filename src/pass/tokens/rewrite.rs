//! Reductions put into the graph.

use serde_json::json;

use crate::diagnostic::{Diagnostic, numbers};
use crate::graph::{Graph, ReductionRule, TokenCount};
use crate::pass::{Findings, Rewrite};
use crate::weights::Version;

/// Puts a reduction into some layers.
#[derive(Debug)]
pub struct ReduceTokens {
    /// Paths of layers in their order, each with what it keeps and how.
    pub layers: Vec<(String, TokenCount, ReductionRule)>,
    pub by_size: bool,
    /// The criterion, as written.
    pub by: String,
}

impl ReduceTokens {
    fn put(&self, graph: &mut Graph) {
        for (path, keep, rule) in &self.layers {
            let number = graph.blocks.iter().position(|block| graph.tree.path(block.node) == *path);
            let Some(number) = number else { continue };
            let put = graph.reduce_tokens(number, *keep, rule.clone(), self.by_size);
            debug_assert!(put.is_ok(), "the step was lowered on this graph: {put:?}");
        }
    }
}

impl Rewrite for ReduceTokens {
    fn describe(&self) -> String {
        format!("fewer tokens in {} by {}", numbers::things(self.layers.len(), "layer"), self.by)
    }

    fn arguments(&self) -> serde_json::Value {
        json!({ "reduce tokens": self.layers, "by size": self.by_size, "by": self.by })
    }

    /// No tensor changes.
    fn touches(&self) -> Vec<String> {
        Vec::new()
    }

    fn effect(&self, graph: &mut Graph) {
        self.put(graph);
    }

    fn apply(&self, version: &mut Version, _: Findings<'_>) -> Result<(), Diagnostic> {
        self.put(&mut version.graph);
        Ok(())
    }
}
