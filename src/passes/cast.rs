//! `cast`: weights stored in another float type.
//!
//! ```tamis
//! cast weights to bf16
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::json;

use crate::diagnostic::{Diagnostic, codes, numbers};
use crate::graph::{Graph, ParamId};
use crate::pass;
use crate::pass::{Findings, Lowering, Pass, Rewrite, Stage, StepScope};
use crate::syntax::ast::ClauseKind;
use crate::tensor::DType;
use crate::weights::Version;

pass! {
    /// Stores weights in another float type, rounded once to the nearest, ties to even.
    ///
    /// Without `of` every float tensor of the model is cast: embeddings, norms and biases too. With `of` the selected
    /// matrices and their biases are. A weight too large for the type is an error, not an infinity: `f16` ends at 65504,
    /// `bf16` reaches as far as `f32` with fewer digits.
    ///
    /// ```tamis
    /// cast weights to bf16
    /// cast weights of layers[*].mlp to f16
    /// ```
    Cast = "cast" ["weights"]
    {
        /// The element type.
        To dtype: DType,
    }
    with {}
}

impl Pass for Cast {
    fn lower(&self, step: &StepScope<'_>) -> Result<Lowering, Diagnostic> {
        let whole = step.is_everywhere();
        let places = if whole { all_sites(step.graph) } else { step.sites() };
        let rewrite = CastWeights { to: self.dtype, whole, places };
        let params = rewrite.params(step.graph);
        let mut notes = Vec::new();
        if params.iter().all(|&param| step.graph.params[param].dtype == self.dtype) {
            let message = format!("these weights are {} already", self.dtype);
            notes.push(step.at(ClauseKind::To, &codes::NO_EFFECT, message));
        }
        notes.extend(shared(step, &rewrite.places, &params));
        Ok(Lowering {
            stages: vec![Stage { work: Vec::new(), rewrite: Arc::new(rewrite) }],
            bound: None,
            notes,
        })
    }
}

/// Stores tensors in another type.
#[derive(Debug, Clone)]
struct CastWeights {
    to: DType,
    /// Every tensor, those that no site has among them.
    whole: bool,
    /// Paths of the sites.
    places: Vec<String>,
}

impl CastWeights {
    /// The float tensors that are meant, each once, in order.
    fn params(&self, graph: &Graph) -> Vec<ParamId> {
        if self.whole {
            let floats = graph.weights().filter(|(_, param)| param.dtype.is_float());
            return floats.map(|(id, _)| id).collect();
        }
        let places = graph.places();
        let sites = self.places.iter().filter_map(|path| places.site(path));
        let views = sites.flat_map(|site| graph.sites[site].views());
        let mut params: Vec<ParamId> = views.map(|view| view.param).collect();
        params.sort_unstable();
        params.dedup();
        params
    }
}

impl Rewrite for CastWeights {
    fn describe(&self) -> String {
        match self.whole {
            true => format!("all weights to {}", self.to),
            false => format!("{} to {}", numbers::things(self.places.len(), "weight"), self.to),
        }
    }

    fn arguments(&self) -> serde_json::Value {
        json!({ "cast": self.to, "whole": self.whole, "sites": self.places })
    }

    fn touches(&self) -> Vec<String> {
        self.places.clone()
    }

    fn without(&self, gone: &BTreeSet<String>) -> Option<Arc<dyn Rewrite>> {
        let places: Vec<String> = self.places.iter().filter(|path| !gone.contains(*path)).cloned().collect();
        (!places.is_empty()).then(|| Arc::new(Self { places, ..self.clone() }) as Arc<dyn Rewrite>)
    }

    fn effect(&self, graph: &mut Graph) {
        self.params(graph).into_iter().for_each(|param| graph.cast(param, self.to));
    }

    fn apply(&self, version: &mut Version, _: Findings<'_>) -> Result<(), Diagnostic> {
        self.params(&version.graph).into_iter().for_each(|param| version.cast(param, self.to));
        Ok(())
    }
}

fn all_sites(graph: &Graph) -> Vec<String> {
    graph.sites.iter().map(|(_, site)| graph.tree.path(site.node)).collect()
}

/// Says which tensors hold more than what was selected.
fn shared(step: &StepScope<'_>, places: &[String], params: &[ParamId]) -> Option<Diagnostic> {
    let (graph, paths) = (step.graph, step.graph.places());
    let mut selected = vec![false; graph.sites.bound()];
    places.iter().filter_map(|path| paths.site(path)).for_each(|site| selected[site.index()] = true);
    let mut others: BTreeMap<ParamId, Vec<String>> = BTreeMap::new();
    for (_, site) in graph.sites.iter().filter(|(id, _)| !selected[id.index()]) {
        let shared = site.views().map(|view| view.param).filter(|param| params.binary_search(param).is_ok());
        shared.for_each(|param| others.entry(param).or_default().push(graph.tree.path(site.node)));
    }
    let (param, also) = others.into_iter().next()?;
    let tensor = graph.params[param].name.resolve();
    let also: Vec<&str> = also.iter().map(String::as_str).collect();
    let message = format!("`{tensor}` is cast as a whole, {} with it", crate::diagnostic::list(&also));
    Some(step.at(ClauseKind::Of, &codes::SHARED_TENSOR, message))
}
