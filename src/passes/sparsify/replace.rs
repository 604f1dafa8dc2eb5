//! Putting weights that were made anew in the place of those that were there.

use std::sync::Arc;

use serde_json::json;

use super::mask::MaskWeights;
use crate::checkpoint::Checkpoint;
use crate::diagnostic::Diagnostic;
use crate::graph::{Graph, Weight};
use crate::pass::{Finding, Findings, Rewrite};
use crate::weights::{Expr, Version};

/// Replaces the tensors of some weights by those that were found; promises what a mask would.
#[derive(Debug)]
pub struct ReplaceWeights {
    /// What the new weights are like.
    pub like: MaskWeights,
}

impl Rewrite for ReplaceWeights {
    fn describe(&self) -> String {
        self.like.describe()
    }

    fn arguments(&self) -> serde_json::Value {
        json!({ "replace": Rewrite::arguments(&self.like) })
    }

    fn touches(&self) -> Vec<String> {
        self.like.touches()
    }

    fn effect(&self, graph: &mut Graph) {
        self.like.effect(graph);
    }

    fn apply(&self, version: &mut Version, found: Findings<'_>) -> Result<(), Diagnostic> {
        let dir = found.find(|finding| match finding {
            Finding::Tensors { dir, .. } => Some(dir),
            _ => None,
        });
        let dir = dir.expect("weights to be replaced come with their replacements");
        let checkpoint = Arc::new(Checkpoint::open(dir)?);
        let places = version.graph.places();
        for path in &self.like.sites {
            let site = places.site(path).expect("the checker and the run agree on paths");
            let Weight::Dense(view) = &version.graph.sites[site].weight else { continue };
            let param = view.param;
            let stored = checkpoint.tensors[&param.index().to_string()].clone();
            version.replace(param, Arc::new(Expr::Stored { checkpoint: Arc::clone(&checkpoint), stored }));
        }
        self.effect(&mut version.graph);
        Ok(())
    }
}
