//! `densify`: the end of a promise of zeros.
//!
//! ```tamis
//! densify weights of layers[*].mlp
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;

use crate::diagnostic::{Diagnostic, codes, numbers};
use crate::graph::Graph;
use crate::pass;
use crate::pass::{Findings, Lowering, Pass, Rewrite, Stage, StepScope};
use crate::weights::Version;

pass! {
    /// Lets go of the zeros that earlier steps made: they may become anything again.
    ///
    /// Nothing is read or written. A weight that was `to 2:4` has to be 2:4 in the result, so that a step that would end
    /// that is an error; after `densify` it is not, and the result is no longer checked for it. Zeros stay zero until a
    /// later step changes them: their former values are gone.
    ///
    /// ```tamis
    /// densify weights of layers[*].mlp
    /// ```
    Densify = "densify" ["weights"] {} with {}
}

impl Pass for Densify {
    fn lower(&self, step: &StepScope<'_>) -> Result<Lowering, Diagnostic> {
        let (places, sites) = (step.graph.places(), step.sites());
        let is_sparse =
            |path: &String| places.site(path).is_some_and(|site| step.graph.sites[site].sparsity.is_some());
        let mut notes = Vec::new();
        if !sites.iter().any(is_sparse) {
            let message = "no earlier step made these weights sparse";
            notes.push(Diagnostic::at(&codes::NO_EFFECT, step.verb, message));
        }
        let stages = vec![Stage { work: Vec::new(), rewrite: Arc::new(ReleaseZeros { sites }) }];
        Ok(Lowering { stages, bound: None, notes })
    }
}

/// Ends what was promised of zeros.
#[derive(Debug, Clone)]
struct ReleaseZeros {
    /// Paths of the sites.
    sites: Vec<String>,
}

impl Rewrite for ReleaseZeros {
    fn describe(&self) -> String {
        format!("zeros of {} let go", numbers::things(self.sites.len(), "weight"))
    }

    fn arguments(&self) -> serde_json::Value {
        json!({ "release": self.sites })
    }

    fn touches(&self) -> Vec<String> {
        self.sites.clone()
    }

    fn without(&self, gone: &BTreeSet<String>) -> Option<Arc<dyn Rewrite>> {
        let sites: Vec<String> = self.sites.iter().filter(|path| !gone.contains(*path)).cloned().collect();
        (!sites.is_empty()).then(|| Arc::new(Self { sites }) as Arc<dyn Rewrite>)
    }

    fn releases(&self) -> bool {
        true
    }

    fn effect(&self, graph: &mut Graph) {
        let places = graph.places();
        for site in self.sites.iter().filter_map(|path| places.site(path)) {
            graph.sites[site].sparsity = None;
        }
    }

    fn apply(&self, version: &mut Version, _: Findings<'_>) -> Result<(), Diagnostic> {
        self.effect(&mut version.graph);
        Ok(())
    }
}
