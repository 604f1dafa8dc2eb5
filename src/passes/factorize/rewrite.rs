//! Factoring: the rewrite that puts two tensors in the place of one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::json;

use crate::checkpoint::Checkpoint;
use crate::diagnostic::{Diagnostic, numbers};
use crate::graph::{Extent, Graph, Part, SiteId, Weight};
use crate::observe::factor_name;
use crate::pass::{Finding, Findings, Rewrite};
use crate::tensor::svd::break_even_rank;
use crate::weights::{Expr, Version};

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
    /// How they are taken apart, as written.
    pub method: String,
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
        json!({ "factor": ranks, "method": self.method })
    }

    fn touches(&self) -> Vec<String> {
        self.ranks.keys().cloned().collect()
    }

    fn without(&self, gone: &BTreeSet<String>) -> Option<Arc<dyn Rewrite>> {
        let left = self.ranks.iter().filter(|(path, _)| !gone.contains(*path));
        let ranks: BTreeMap<String, Rank> = left.map(|(path, rank)| (path.clone(), *rank)).collect();
        (!ranks.is_empty()).then(|| Arc::new(Self { ranks, method: self.method.clone() }) as Arc<dyn Rewrite>)
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
        let factors = found.find(|finding| match finding {
            Finding::Tensors { dir, .. } => Some(dir),
            _ => None,
        });
        let factors = factors.map(|dir| Checkpoint::open(dir)).transpose()?.map(Arc::new);
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
                if let Some(factors) = &factors {
                    put(version, site, path, factors);
                }
            }
        }
        Ok(())
    }
}

/// Puts factors that were found in the place of those of the weight alone.
fn put(version: &mut Version, site: SiteId, path: &str, factors: &Arc<Checkpoint>) {
    let Weight::Factored { left, right, .. } = version.graph.sites[site].weight.clone() else { return };
    for (view, part) in [(left, Part::Left), (right, Part::Right)] {
        let stored = factors.tensors[&factor_name(path, part)].clone();
        version.replace(view.param, Arc::new(Expr::Stored { checkpoint: Arc::clone(factors), stored }));
    }
}
