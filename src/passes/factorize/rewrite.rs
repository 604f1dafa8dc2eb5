//! Factoring: the rewrite that puts two tensors in the place of one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::json;

use crate::diagnostic::{Diagnostic, numbers};
use crate::graph::{Extent, Graph};
use crate::pass::{Finding, Findings, Rewrite};
use crate::tensor::svd::break_even_rank;
use crate::weights::Version;

/// The rank of a weight's factors, as far as shapes tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rank {
    Exact(usize),
    /// Found by work; the weight stays dense where it would not save.
    Found(Extent),
}

/// Replaces weights by factors.
#[derive(Debug, Clone)]
pub struct FactorWeights {
    /// By path of the site.
    pub ranks: BTreeMap<String, Rank>,
}

impl Rewrite for FactorWeights {
    fn describe(&self) -> String {
        let weights = numbers::things(self.ranks.len(), "weight");
        let bounds = |rank: &Rank| match *rank {
            Rank::Exact(rank) => Extent::exact(rank),
            Rank::Found(extent) => extent,
        };
        let least = self.ranks.values().map(|rank| bounds(rank).min).min().unwrap_or(0);
        let most = self.ranks.values().map(|rank| bounds(rank).max).max().unwrap_or(0);
        format!("{weights} to rank {}", Extent::between(least, most))
    }

    fn arguments(&self) -> serde_json::Value {
        let rank = |rank: &Rank| match rank {
            Rank::Exact(rank) => json!(rank),
            Rank::Found(_) => json!("found"),
        };
        let ranks: BTreeMap<&String, serde_json::Value> =
            self.ranks.iter().map(|(path, it)| (path, rank(it))).collect();
        json!({ "factor": ranks, "method": "svd" })
    }

    fn touches(&self) -> Vec<String> {
        self.ranks.keys().cloned().collect()
    }

    fn without(&self, gone: &BTreeSet<String>) -> Option<Arc<dyn Rewrite>> {
        let left = self.ranks.iter().filter(|(path, _)| !gone.contains(*path));
        let ranks: BTreeMap<String, Rank> = left.map(|(path, rank)| (path.clone(), *rank)).collect();
        (!ranks.is_empty()).then(|| Arc::new(Self { ranks }) as Arc<dyn Rewrite>)
    }

    fn is_costly(&self) -> bool {
        true
    }

    fn effect(&self, graph: &mut Graph) {
        let places = graph.places();
        for (path, rank) in &self.ranks {
            let Some(site) = places.site(path) else { continue };
            let extent = match *rank {
                Rank::Exact(rank) => Extent::exact(rank),
                Rank::Found(extent) => extent,
            };
            graph.factor(site, extent);
        }
    }

    fn apply(&self, version: &mut Version, found: Findings<'_>) -> Result<(), Diagnostic> {
        let places = version.graph.places();
        for (path, rank) in &self.ranks {
            let site = places.site(path).expect("the checker and the run agree on paths");
            let rank = match (*rank, found.last()) {
                (Rank::Exact(rank), _) => Some(rank),
                (Rank::Found(_), Some(Finding::Ranks(ranks))) => ranks.get(path).copied(),
                (Rank::Found(_), _) => unreachable!("ranks to be found come with a finding"),
            };
            // Extents that were bounds when the rank was chosen may have become too small for it.
            let (outs, ins) = version.graph.site_dims(site);
            let (out, inputs) = (version.graph.dim_extent(&outs), version.graph.dim_extent(&ins));
            let saves = |rank: &usize| (*rank as f64) < break_even_rank(out, inputs);
            if let Some(rank) = rank.filter(saves) {
                version.factor(site, rank);
            }
        }
        Ok(())
    }
}
