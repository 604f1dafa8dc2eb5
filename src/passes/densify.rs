//! `densify`: zeros that later steps may change again.

use std::sync::Arc;

use serde_json::json;

use crate::diagnostic::Diagnostic;
use crate::graph::Graph;
use crate::pass;
use crate::pass::{Finding, Lowering, Pass, Rewrite, Stage, StepScope};
use crate::weights::Version;

pass! {
    /// Gives up what `sparsify` promised: zeros stay where they are, but later steps may change them.
    ///
    /// Without it a step that would break an N:M pattern is an error.
    ///
    /// ```tamis
    /// densify weights of layers[*].mlp
    /// ```
    Densify = "densify" ["weights"] {} with {}
}

impl Pass for Densify {
    fn lower(&self, step: &StepScope<'_>) -> Result<Lowering, Diagnostic> {
        let rewrite = Arc::new(Release { sites: step.sites() });
        Ok(Lowering { stages: vec![Stage { work: Vec::new(), rewrite }], ..Lowering::default() })
    }
}

/// Ends the promises of sites.
#[derive(Debug)]
struct Release {
    sites: Vec<String>,
}

impl Rewrite for Release {
    fn describe(&self) -> String {
        format!("release the zeros of {} weights", self.sites.len())
    }

    fn arguments(&self) -> serde_json::Value {
        json!({ "release": self.sites })
    }

    fn touches(&self) -> Vec<String> {
        self.sites.clone()
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

    fn apply(&self, version: &mut Version, _: Option<&Finding>) -> Result<(), Diagnostic> {
        self.effect(&mut version.graph);
        Ok(())
    }
}
