//! `cast`: weights stored in another float type.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;

use crate::diagnostic::{Diagnostic, codes};
use crate::graph::{Graph, ParamId};
use crate::pass;
use crate::pass::{Finding, Lowering, Pass, Rewrite, Stage, StepScope};
use crate::tensor::DType;
use crate::weights::Version;

pass! {
    /// Stores weights in another float type, rounded to the nearest, halves to even.
    ///
    /// Biases go with their weights. Without `of` every float tensor is cast, norms and embeddings too; buffers keep their type.
    ///
    /// ```tamis
    /// cast weights to bf16
    /// ```
    Cast = "cast" ["weights"]
    {
        /// The type to store.
        To dtype: DType,
    }
    with {}
}

impl Pass for Cast {
    fn lower(&self, step: &StepScope<'_>) -> Result<Lowering, Diagnostic> {
        let sites = if step.is_everywhere() { None } else { Some(step.sites()) };
        let rewrite = CastWeights { sites, dtype: self.dtype };
        let changes =
            rewrite.params(step.graph).iter().any(|&param| step.graph.params[param].dtype != self.dtype);
        let mut notes = Vec::new();
        if !changes {
            let message = format!("these weights are {} already", self.dtype);
            notes.push(Diagnostic::at(&codes::NO_EFFECT, step.verb, message));
        }
        let stages = vec![Stage { work: Vec::new(), rewrite: Arc::new(rewrite) }];
        Ok(Lowering { stages, bound: None, notes })
    }
}

/// Casts the tensors of some sites, or all.
#[derive(Debug)]
struct CastWeights {
    sites: Option<Vec<String>>,
    dtype: DType,
}

impl CastWeights {
    fn params(&self, graph: &Graph) -> Vec<ParamId> {
        let Some(sites) = &self.sites else {
            let floats = graph.weights().filter(|(_, param)| param.dtype.is_float());
            return floats.map(|(id, _)| id).collect();
        };
        let places = graph.places();
        let sites = sites.iter().filter_map(|path| places.site(path));
        let params: BTreeSet<ParamId> =
            sites.flat_map(|site| graph.sites[site].views().map(|view| view.param)).collect();
        params.into_iter().collect()
    }
}

impl Rewrite for CastWeights {
    fn describe(&self) -> String {
        match &self.sites {
            None => format!("all tensors to {}", self.dtype),
            Some(sites) => format!("{} weights to {}", sites.len(), self.dtype),
        }
    }

    fn arguments(&self) -> serde_json::Value {
        json!({ "cast": self.sites, "to": self.dtype })
    }

    fn touches(&self) -> Vec<String> {
        self.sites.clone().unwrap_or_default()
    }

    fn effect(&self, graph: &mut Graph) {
        for param in self.params(graph) {
            graph.cast(param, self.dtype);
        }
    }

    fn apply(&self, version: &mut Version, _: Option<&Finding>) -> Result<(), Diagnostic> {
        for param in self.params(&version.graph) {
            version.cast(param, self.dtype);
        }
        Ok(())
    }
}
