//! `factorize`: a matrix written as the product of two smaller ones.
//!
//! ```tamis
//! factorize weights of layers[*].mlp to rank(64)
//! ```

mod amount;
mod rewrite;
mod select;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, codes};
use crate::graph::{Extent, Graph, SiteId, SiteKind};
use crate::pass;
use crate::pass::{
    Budget, CostBound, Criterion, Factorizing, Lowering, Pass, Scorer, Stage, StepScope, Work,
};
use crate::syntax::ast::ClauseKind;
use crate::tensor::svd::{break_even_rank, rank_for_share};
use amount::Amount;
use rewrite::{FactorWeights, Rank};
use select::SelectRanks;

pass! {
    /// Writes a linear weight [out, in] as the product of [out, rank] and [rank, in], cut after the largest singular values.
    ///
    /// `to rank(64)` takes the same rank everywhere. `to 90% energy` takes for each weight the smallest rank that holds that
    /// share of the sum of its squared singular values. `to 60% params`, or `flops`, `macs`, `bytes`, bounds the cost of the
    /// whole model, relative to the recipe's input or absolute, and gives every weight the same share of its parameters.
    ///
    /// A weight is only factored where that saves: rank x (out + in) < out x in. Others stay dense, and a note says so. So do
    /// convolutions, embeddings, parts of fused tensors and weights that are tied: factors need a matrix of their own.
    /// Biases stay with the outer factor.
    ///
    /// ```tamis
    /// factorize weights of layers[*].mlp to rank(16)
    /// factorize weights of layers[*] by svd to 90% energy
    /// ```
    ///
    /// `by asvd(calib)` and `by svd_llm(calib)` look at what comes through the weights, layer by layer; they take a rank or a budget.
    Factorize = "factorize" ["weights"]
    {
        /// How a matrix is taken apart.
        By method: Scorer = "svd",
        /// How much of it stays.
        To amount: Amount,
    }
    with {}
}

impl Pass for Factorize {
    fn lower(&self, step: &StepScope<'_>) -> Result<Lowering, Diagnostic> {
        let method = self.method.decomposition()?;
        let (candidates, mut notes) = candidates(step)?;
        let (ranks, bound) = match self.amount {
            Amount::Rank(rank) => (same_rank(&candidates, rank), None),
            Amount::Energy(_) => (candidates.iter().map(Candidate::any_rank).collect(), None),
            Amount::Budget(budget) => {
                let at_most = step.at_most(budget)?;
                let bound = CostBound { measure: budget.measure, at_most };
                (within(step, &candidates, budget, at_most)?, Some(bound))
            }
        };
        notes.extend(staying_dense(step, &candidates, &ranks));
        let work = self.work(step, method, &ranks)?;
        let stages = match ranks.is_empty() {
            true => Vec::new(),
            false => {
                vec![Stage { work, rewrite: Arc::new(FactorWeights { ranks, method: method.describe() }) }]
            }
        };
        Ok(Lowering { stages, bound, notes })
    }
}

impl Factorize {
    /// What has to be found before weights are taken apart: their ranks, or the factors themselves.
    fn work(
        &self,
        step: &StepScope<'_>,
        method: &dyn Criterion,
        ranks: &BTreeMap<String, Rank>,
    ) -> Result<Vec<Arc<dyn Work>>, Diagnostic> {
        let exact = |(path, rank): (&String, &Rank)| match *rank {
            Rank::Exact(rank) => (path.clone(), rank),
            Rank::Found(extent) => (path.clone(), extent.max),
        };
        let asked = Factorizing { graph: step.graph, ranks: &ranks.iter().map(exact).collect() };
        match (self.amount, method.factorize(&asked)) {
            (Amount::Energy(_), Some(_)) => {
                let message =
                    format!("`{}` takes a rank or a budget, no share of the energy", self.method.spec.name);
                Err(step
                    .at(ClauseKind::To, &codes::CONFLICTING_CLAUSES, message)
                    .help("write `to 80% params`, or `by svd` for the energy of the weights"))
            }
            (Amount::Energy(share), None) => {
                Ok(vec![Arc::new(SelectRanks { share, sites: ranks.keys().cloned().collect() })])
            }
            (_, work) => Ok(work.into_iter().collect()),
        }
    }
}

/// A weight that can be factored.
struct Candidate {
    path: String,
    site: SiteId,
    out: usize,
    inputs: usize,
}

impl Candidate {
    fn new(graph: &Graph, path: &str, site: SiteId) -> Self {
        let (outs, ins) = graph.site_dims(site);
        Self { path: path.into(), site, out: graph.dim_extent(&outs), inputs: graph.dim_extent(&ins) }
    }

    /// Whether two factors of this rank are smaller.
    fn saves(&self, rank: usize) -> bool {
        rank * (self.out + self.inputs) < self.out * self.inputs
    }

    fn break_even(&self) -> f64 {
        break_even_rank(self.out, self.inputs)
    }

    /// A rank that weights decide, up to where factors would be as large as the weight, which then stays dense.
    fn any_rank(&self) -> (String, Rank) {
        let most = (self.break_even().ceil() as usize).min(self.out.min(self.inputs)).max(1);
        (self.path.clone(), Rank::Found(Extent::between(1, most)))
    }
}

/// The selected weights that can be factored, and a note on the others.
fn candidates(step: &StepScope<'_>) -> Result<(Vec<Candidate>, Vec<Diagnostic>), Diagnostic> {
    let (graph, places) = (step.graph, step.graph.places());
    let mut candidates = Vec::new();
    let mut others: Vec<(String, String)> = Vec::new();
    for path in step.sites() {
        let site = places.site(&path).expect("targets are resolved in this graph");
        match obstacle(graph, site) {
            None => candidates.push(Candidate::new(graph, &path, site)),
            Some(why) => others.push((path, why)),
        }
    }
    let Some((first, why)) = others.first() else { return Ok((candidates, Vec::new())) };
    if candidates.is_empty() {
        let message = format!("`{first}` cannot be factored: it is {why}");
        return Err(step.at(ClauseKind::Of, &codes::CANNOT_FACTOR, message));
    }
    let message = format!("`{first}`{} dense: it is {why}", stays(others.len()));
    Ok((candidates, vec![step.at(ClauseKind::Of, &codes::STAYS_DENSE, message)]))
}

/// Why a weight has no factors.
fn obstacle(graph: &Graph, site: SiteId) -> Option<String> {
    let it = &graph.sites[site];
    let view = it.views().next().expect("a site has a weight");
    let tensor = || graph.params[view.param].name.resolve();
    match it.kind {
        SiteKind::Conv => Some("a convolution".into()),
        SiteKind::Embedding | SiteKind::Norm | SiteKind::Scale | SiteKind::Token => {
            Some("no linear weight".into())
        }
        SiteKind::Linear if it.views().count() > 1 + usize::from(it.bias.is_some()) => {
            Some("factored already".into())
        }
        SiteKind::Linear if !view.fixed.is_empty() => {
            Some(format!("a part of the fused tensor `{}`", tensor()))
        }
        SiteKind::Linear if !graph.can_factor(site) => {
            let mut others = graph.sites.iter().filter(|(id, _)| *id != site);
            let twin = others.find(|(_, other)| other.views().any(|other| other.param == view.param));
            let twin = twin.map_or_else(tensor, |(_, twin)| graph.tree.path(twin.node));
            Some(format!("tied to `{twin}`"))
        }
        SiteKind::Linear if graph.params[view.param].dims.len() != 2 => Some("no matrix".into()),
        SiteKind::Linear => None,
    }
}

/// One rank for all that it makes smaller.
fn same_rank(candidates: &[Candidate], rank: usize) -> BTreeMap<String, Rank> {
    let saving = candidates.iter().filter(|candidate| candidate.saves(rank));
    saving.map(|candidate| (candidate.path.clone(), Rank::Exact(rank))).collect()
}

/// The largest share of its parameters that every weight can have within a budget.
fn within(
    step: &StepScope<'_>,
    candidates: &[Candidate],
    budget: Budget,
    at_most: u64,
) -> Result<BTreeMap<String, Rank>, Diagnostic> {
    /// Halvings of the share: finer than any rank.
    const HALVINGS: usize = 24;
    let cost = |share: f64| {
        let mut graph = step.graph.clone();
        for (site, rank) in ranks(candidates, share) {
            graph.factor(site, Extent::exact(rank));
        }
        budget.measure.of(&graph.cost(step.batch)).max
    };
    let (least, most) = (cost(0.0), budget.measure.of(&step.graph.cost(step.batch)).max);
    if at_most < least {
        let of_input = |cost: u64| 100.0 * cost as f64 / budget.measure.of(step.input).max.max(1) as f64;
        let message = format!("no rank reaches {at_most} {}", budget.measure);
        return Err(step
            .at(ClauseKind::To, &codes::UNREACHABLE_BUDGET, message)
            .says(format!("between {:.1} % and {:.1} % can be reached here", of_input(least), of_input(most)))
            .help("select more weights, or take elements out with `prune`"));
    }
    if at_most >= most {
        return Ok(BTreeMap::new());
    }
    let (mut fits, mut exceeds) = (0.0, 1.0);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(fits, exceeds);
        if cost(middle) <= at_most { fits = middle } else { exceeds = middle }
    }
    let chosen: BTreeMap<SiteId, usize> = ranks(candidates, fits).collect();
    let named = |candidate: &Candidate| {
        chosen.get(&candidate.site).map(|&rank| (candidate.path.clone(), Rank::Exact(rank)))
    };
    Ok(candidates.iter().filter_map(named).collect())
}

/// The rank of each weight for a share of its parameters, where that saves.
fn ranks(candidates: &[Candidate], share: f64) -> impl Iterator<Item = (SiteId, usize)> {
    let rank = move |candidate: &Candidate| {
        let rank = rank_for_share(candidate.out, candidate.inputs, share);
        candidate.saves(rank).then_some((candidate.site, rank))
    };
    candidates.iter().filter_map(rank)
}

/// Says what is not factored since it would not save, or that nothing is.
fn staying_dense(
    step: &StepScope<'_>,
    candidates: &[Candidate],
    ranks: &BTreeMap<String, Rank>,
) -> Option<Diagnostic> {
    let dense: Vec<&Candidate> =
        candidates.iter().filter(|candidate| !ranks.contains_key(&candidate.path)).collect();
    let first = dense.first()?;
    let message = format!(
        "`{}`{} dense: factors save below rank {}",
        first.path,
        stays(dense.len()),
        first.break_even().ceil()
    );
    let code = if ranks.is_empty() { &codes::NO_EFFECT } else { &codes::STAYS_DENSE };
    Some(step.at(ClauseKind::To, code, message))
}

fn stays(count: usize) -> String {
    match count {
        1 => " stays".into(),
        more => format!(" and {} more stay", more - 1),
    }
}
