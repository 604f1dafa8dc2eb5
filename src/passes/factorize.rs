//! `factorize`: a weight as the product of two thin ones, where that is smaller.
//!
//! ```tamis
//! factorize weights of layers[*].attention to 90% energy
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rayon::prelude::{IntoParallelRefIterator, ParallelIterator};
use serde_json::json;

use crate::diagnostic::{Diagnostic, codes};
use crate::graph::{Extent, Graph, SiteId, SiteKind, Weight};
use crate::pass;
use crate::pass::{
    Argument, Count, Finding, Lowering, Pass, Ratio, Registry, Rewrite, Stage, StepScope, Type, Value,
    ValueKind, Work, WorkKind, Wrong,
};
use crate::tensor::svd::{rank_for_energy, rank_for_share, singular_values};
use crate::weights::Version;

/// What `to` says of the factors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    Rank(usize),
    /// The smallest rank that keeps this share of the sum of squared singular values.
    Energy(f64),
    /// The rank whose factors hold this share of the weight's elements.
    Params(f64),
}

impl Argument for Target {
    const TYPE: Type = Type {
        name: "rank",
        doc: "a rank such as `rank(64)`, or a share: `90% energy`, `60% params`",
        choices: &[],
    };

    fn read(value: &Value, registry: &Registry) -> Result<Self, Wrong> {
        match &value.kind {
            ValueKind::Call { name, args, .. } if name == "rank" => match args.as_slice() {
                [rank] => Count::read(&rank.value, registry).map(|Count(rank)| Self::Rank(rank)),
                _ => Err(Wrong::kind(value, "one number, as in `rank(64)`")),
            },
            ValueKind::Amount { value: share, unit } if unit == "energy" => {
                Ratio::read(share, registry).map(|Ratio(share)| Self::Energy(share))
            }
            ValueKind::Amount { value: share, unit } if unit == "params" => {
                Ratio::read(share, registry).map(|Ratio(share)| Self::Params(share))
            }
            ValueKind::Amount { unit, .. } => {
                let message = format!("`{unit}` does not say a rank");
                Err(Wrong::at(&codes::WRONG_UNIT, value, message)
                    .help("write `90% energy`, `60% params` or `rank(64)`"))
            }
            _ => Err(Wrong::kind(value, "a rank such as `rank(64)`")),
        }
    }
}

pass! {
    /// Replaces weights by products of two thin ones, the best approximation of that rank (truncated SVD).
    ///
    /// Only where it saves: a weight `[out, in]` whose factors of that rank would hold no fewer elements stays dense, as do
    /// weights that share a tensor with others and convolutions; the step says which. The square roots of the singular values
    /// go to both sides; a bias stays with the outer factor.
    ///
    /// ```tamis
    /// factorize weights of layers[*].attention to 90% energy
    /// factorize weights of layers[*].mlp to rank(16)
    /// ```
    Factorize = "factorize" ["weights"]
    {
        /// The rank, or what it has to keep.
        To target: Target,
    }
    with {}
}

impl Pass for Factorize {
    fn lower(&self, step: &StepScope<'_>) -> Result<Lowering, Diagnostic> {
        let places = step.graph.places();
        let mut sites = BTreeMap::new();
        let mut dense = Vec::new();
        for path in step.sites() {
            let site = places.site(&path).expect("targets are resolved in this graph");
            match self.rank(step.graph, site) {
                Some(rank) => drop(sites.insert(path, rank)),
                None => dense.push(path),
            }
        }
        let notes = stays_dense(step, &dense, sites.is_empty()).into_iter().collect();
        if sites.is_empty() {
            return Ok(Lowering { notes, ..Lowering::default() });
        }
        let work: Vec<Arc<dyn Work>> = match self.target {
            Target::Energy(share) => {
                vec![Arc::new(FindRanks { sites: sites.keys().cloned().collect(), share })]
            }
            _ => Vec::new(),
        };
        let rewrite = Arc::new(FactorSites { sites });
        Ok(Lowering { stages: vec![Stage { work, rewrite }], bound: None, notes })
    }
}

impl Factorize {
    /// The rank of a site's factors, as far as shapes tell; `None` where it stays dense.
    fn rank(&self, graph: &Graph, site: SiteId) -> Option<Extent> {
        let most = largest_saving_rank(graph, site).filter(|&most| most > 0)?;
        let exact = |rank: usize| (1..=most).contains(&rank).then(|| Extent::exact(rank));
        let (out, inputs) = shape(graph, site);
        match self.target {
            Target::Rank(rank) => exact(rank),
            Target::Params(share) => exact(rank_for_share(out, inputs, share)),
            Target::Energy(_) => Some(Extent::between(1, most)),
        }
    }
}

fn shape(graph: &Graph, site: SiteId) -> (usize, usize) {
    let (out, inputs) = graph.site_dims(site);
    (graph.dim_extent(&out), graph.dim_extent(&inputs))
}

/// The largest rank whose factors are smaller than the weight: `r (out + in) < out in`. `None` where the weight cannot be
/// factored: it is no linear weight, or its tensor holds others too.
fn largest_saving_rank(graph: &Graph, site: SiteId) -> Option<usize> {
    let it = &graph.sites[site];
    let Weight::Dense(view) = &it.weight else { return None };
    let alone = view.fixed.is_empty() && !graph.embedded().contains(&view.param);
    if it.kind != SiteKind::Linear || !alone {
        return None;
    }
    let (out, inputs) = shape(graph, site);
    Some((out * inputs).saturating_sub(1) / (out + inputs).max(1))
}

fn stays_dense(step: &StepScope<'_>, dense: &[String], all: bool) -> Option<Diagnostic> {
    let first = dense.first()?;
    let message = match dense.len() - 1 {
        0 => format!("`{first}` stays dense"),
        more => format!("`{first}` and {more} more stay dense"),
    };
    let help = "factors of that rank would be no smaller, or the weight shares its tensor with others";
    let code = if all { &codes::NO_EFFECT } else { &codes::STAYS_DENSE };
    let message = if all { format!("nothing is factored: {message}") } else { message };
    Some(Diagnostic::at(code, step.verb, message).help(help))
}

/// Finds the ranks that keep a share of the energy. A weight that needs too high a rank to save anything is left out.
#[derive(Debug)]
struct FindRanks {
    sites: Vec<String>,
    share: f64,
}

impl Work for FindRanks {
    fn kind(&self) -> WorkKind {
        WorkKind::Score
    }

    fn describe(&self) -> String {
        format!(
            "singular values of {} weights, for {} % of their energy",
            self.sites.len(),
            self.share * 100.0
        )
    }

    fn arguments(&self) -> serde_json::Value {
        json!({ "energy": self.share, "sites": self.sites })
    }

    fn reads(&self) -> Vec<String> {
        self.sites.clone()
    }

    fn without(&self, gone: &BTreeSet<String>) -> Option<Arc<dyn Work>> {
        let sites: Vec<String> = self.sites.iter().filter(|site| !gone.contains(*site)).cloned().collect();
        (!sites.is_empty()).then(|| Arc::new(Self { sites, share: self.share }) as _)
    }

    fn run(&self, version: &Version, _: Option<&Finding>) -> Result<Finding, Diagnostic> {
        let graph = &version.graph;
        let places = graph.places();
        let rank = |path: &String| -> Result<Option<(String, usize)>, Diagnostic> {
            let site = places.site(path).expect("the checker and the run agree on paths");
            let (out, inputs) = shape(graph, site);
            let sigma = singular_values(&version.site_matrix(site)?, out, inputs)
                .map_err(|error| Diagnostic::new(&codes::WEIGHTS_NOT_FINITE, format!("`{path}`: {error}")))?;
            let rank = rank_for_energy(&sigma, self.share).max(1);
            let most = largest_saving_rank(graph, site).unwrap_or(0);
            Ok((rank <= most).then(|| (path.clone(), rank)))
        };
        let ranks: Vec<Option<(String, usize)>> =
            self.sites.par_iter().map(rank).collect::<Result<_, _>>()?;
        Ok(Finding::Ranks(ranks.into_iter().flatten().collect()))
    }
}

/// Puts two factors in the place of weights.
#[derive(Debug)]
struct FactorSites {
    sites: BTreeMap<String, Extent>,
}

impl Rewrite for FactorSites {
    fn describe(&self) -> String {
        let least = self.sites.values().map(|rank| rank.min).min().unwrap_or(0);
        let most = self.sites.values().map(|rank| rank.max).max().unwrap_or(0);
        format!("{} weights as factors of rank {}", self.sites.len(), Extent::between(least, most))
    }

    fn arguments(&self) -> serde_json::Value {
        let ranks: BTreeMap<&String, (usize, usize)> =
            self.sites.iter().map(|(path, rank)| (path, (rank.min, rank.max))).collect();
        json!({ "factor": ranks })
    }

    fn touches(&self) -> Vec<String> {
        self.sites.keys().cloned().collect()
    }

    fn without(&self, gone: &BTreeSet<String>) -> Option<Arc<dyn Rewrite>> {
        let mut sites = self.sites.clone();
        sites.retain(|path, _| !gone.contains(path));
        (!sites.is_empty()).then(|| Arc::new(Self { sites }) as _)
    }

    fn is_costly(&self) -> bool {
        true
    }

    fn effect(&self, graph: &mut Graph) {
        let places = graph.places();
        for (path, rank) in &self.sites {
            if let Some(site) = places.site(path) {
                graph.factor(site, *rank);
            }
        }
    }

    fn apply(&self, version: &mut Version, found: Option<&Finding>) -> Result<(), Diagnostic> {
        let places = version.graph.places();
        for (path, rank) in &self.sites {
            let site = places.site(path).expect("the checker and the run agree on paths");
            let rank = match found {
                Some(Finding::Ranks(ranks)) => ranks.get(path).copied(),
                _ => rank.known(),
            };
            if let Some(rank) = rank {
                version.factor(site, rank);
            }
        }
        Ok(())
    }
}
