//! Ranks that hold a share of the energy.

use std::collections::BTreeSet;
use std::sync::Arc;

use rayon::prelude::*;
use serde_json::json;

use crate::diagnostic::{Diagnostic, codes, numbers};
use crate::pass::{Context, Finding, Work, WorkKind};
use crate::tensor::svd::{break_even_rank, rank_for_energy, singular_values};

/// Finds for each weight the smallest rank that holds a share of its energy. One that would not save is left out.
#[derive(Debug, Clone)]
pub struct SelectRanks {
    pub share: f64,
    /// Paths of the sites.
    pub sites: Vec<String>,
}

impl Work for SelectRanks {
    fn kind(&self) -> WorkKind {
        WorkKind::Select
    }

    fn describe(&self) -> String {
        let weights = numbers::things(self.sites.len(), "weight");
        format!("ranks for {} of the energy of {weights}", numbers::share(self.share))
    }

    fn arguments(&self) -> serde_json::Value {
        json!({ "ranks for energy": self.share, "sites": self.sites })
    }

    fn reads(&self) -> Vec<String> {
        self.sites.clone()
    }

    fn without(&self, gone: &BTreeSet<String>) -> Option<Arc<dyn Work>> {
        let sites: Vec<String> = self.sites.iter().filter(|path| !gone.contains(*path)).cloned().collect();
        (!sites.is_empty()).then(|| Arc::new(Self { sites, ..*self }) as Arc<dyn Work>)
    }

    fn run(&self, at: &Context<'_>) -> Result<Finding, Diagnostic> {
        let version = at.version;
        let places = version.graph.places();
        let rank = |path: &String| {
            let site = places.site(path).expect("the checker and the run agree on paths");
            let (outs, ins) = version.graph.site_dims(site);
            let (out, inputs) = (version.graph.dim_extent(&outs), version.graph.dim_extent(&ins));
            let sigma = singular_values(&version.site_matrix(site)?, out, inputs).map_err(|error| {
                let message = format!("the weight of `{path}` cannot be factored: {error}");
                Diagnostic::new(&codes::WEIGHTS_NOT_FINITE, message)
            })?;
            let rank = rank_for_energy(&sigma, self.share);
            Ok(((rank as f64) < break_even_rank(out, inputs)).then(|| (path.clone(), rank)))
        };
        let ranks: Vec<Option<(String, usize)>> =
            self.sites.par_iter().map(rank).collect::<Result<_, Diagnostic>>()?;
        Ok(Finding::Ranks(ranks.into_iter().flatten().collect()))
    }
}
