//! What a rewrite did, noted when it is done: which elements stayed, which weights became factors or sparse.

use std::collections::BTreeMap;

use crate::graph::{AxisId, Graph, ParamId, Site, SiteId, Weight};
use crate::pass::{Finding, Findings, Grouped, Traded, Training};
use crate::provenance::{Cost, Factored, Kept, Sparsified};
use crate::tensor::DType;
use crate::weights::Version;

/// The notes of one rewrite, with what each is about. What is gone from an output in the end is not told of it.
#[derive(Debug, Clone)]
pub struct Record {
    /// The steps that it belongs to.
    pub steps: Vec<usize>,
    pub after: Cost,
    pub kept: Vec<(AxisId, Kept)>,
    /// What other budgets would have kept.
    pub curve: Vec<Traded>,
    pub factored: Vec<(SiteId, Factored)>,
    pub sparsified: Vec<(SiteId, Sparsified)>,
    pub cast: Vec<(ParamId, DType)>,
    pub training: Option<Training>,
}

impl Record {
    pub fn of(steps: &[usize], before: &Version, after: &Version, found: Findings<'_>, batch: u64) -> Self {
        let why = found.find(|finding| {
            matches!(finding, &Finding::UnitScores(_) | &Finding::Groups(_)).then_some(finding)
        });
        let curve = found.find(|finding| match finding {
            Finding::Kept(kept) => Some(kept.curve.clone()),
            _ => None,
        });
        Self {
            steps: steps.to_vec(),
            after: cost(&after.graph, batch),
            kept: kept(before, after, why),
            curve: curve.unwrap_or_default(),
            factored: sites(&before.graph, &after.graph, factored),
            sparsified: sites(&before.graph, &after.graph, sparsified),
            cast: cast(&before.graph, &after.graph),
            training: found.find(|finding| match finding {
                Finding::Trained { training, .. } | Finding::Learned { training, .. } => {
                    Some((**training).clone())
                }
                _ => None,
            }),
        }
    }
}

/// The cost of a graph with exact extents.
pub fn cost(graph: &Graph, batch: u64) -> Cost {
    upper(&graph.cost(batch))
}

/// Where extents are exact, upper bounds are the numbers themselves.
pub fn upper(cost: &crate::graph::Cost) -> Cost {
    Cost {
        params: cost.params.max,
        macs: cost.macs.max,
        flops: cost.flops().max,
        bytes: cost.bytes.max,
        nanoseconds: cost.nanoseconds.max,
    }
}

/// Scores of longer axes are not kept: of each head one wants to know why, of each neuron nobody does.
const SCORED: usize = 512;

fn kept(before: &Version, after: &Version, found: Option<&Finding>) -> Vec<(AxisId, Kept)> {
    let (scores, groups) = match found {
        Some(Finding::UnitScores(scores)) => (Some(scores), None),
        Some(Finding::Groups(groups)) => (None, Some(groups)),
        _ => (None, None),
    };
    let mut all = Vec::new();
    for (id, axis) in before.graph.axes.iter() {
        let is_less = after.graph.axes.get(id).is_some_and(|now| now.extent != axis.extent);
        let Some(now) = after.kept(id).filter(|_| is_less) else { continue };
        let of = axis.extent.max;
        let number = |original: &usize| match before.kept(id) {
            Some(then) => then.binary_search(original).expect("what stays was there before"),
            None => *original,
        };
        let path = before.graph.axis_path(id);
        let scores = scores.and_then(|scores| scores.get(&path));
        let scores = scores.filter(|scores| scores.len() == of && of <= SCORED).cloned();
        let kept = now.iter().map(number).collect();
        let merged = groups.and_then(|groups| groups.get(&path)).map(Grouped::members);
        all.push((id, Kept { axis: path, role: axis.role, of, kept, scores, merged }));
    }
    all
}

/// What can be said of sites that are there before and after.
fn sites<T>(
    before: &Graph,
    after: &Graph,
    say: impl Fn(&Graph, &Graph, SiteId, &Site, &Site) -> Option<T>,
) -> Vec<(SiteId, T)> {
    let both = before.sites.iter().filter_map(|(id, site)| Some((id, site, after.sites.get(id)?)));
    both.filter_map(|(id, then, now)| Some((id, say(before, after, id, then, now)?))).collect()
}

fn factored(before: &Graph, after: &Graph, id: SiteId, then: &Site, now: &Site) -> Option<Factored> {
    let (Weight::Dense(_), Weight::Factored { .. }) = (&then.weight, &now.weight) else { return None };
    let (outs, ins) = before.site_dims(id);
    let of = before.dim_extent(&outs).min(before.dim_extent(&ins));
    Some(Factored { place: before.tree.path(then.node), rank: rank(after, now)?, of })
}

/// The rank of a factored weight.
pub fn rank(graph: &Graph, site: &Site) -> Option<usize> {
    let Weight::Factored { right, .. } = &site.weight else { return None };
    graph.shape(&graph.params[right.param]).first().copied()
}

fn sparsified(before: &Graph, _: &Graph, _: SiteId, then: &Site, now: &Site) -> Option<Sparsified> {
    let sparsity = now.sparsity?.beside(then.sparsity)?;
    Some(Sparsified { place: before.tree.path(then.node), sparsity })
}

fn cast(before: &Graph, after: &Graph) -> Vec<(ParamId, DType)> {
    let now = |id: ParamId| after.params.get(id).map(|param| param.dtype);
    let changed = before.params.iter().filter(|(id, param)| now(*id).is_some_and(|now| now != param.dtype));
    changed.map(|(id, _)| (id, after.params[id].dtype)).collect()
}

/// How many tensors have which new type.
pub fn counted(cast: impl Iterator<Item = DType>) -> BTreeMap<DType, usize> {
    cast.fold(BTreeMap::new(), |mut counts, dtype| {
        *counts.entry(dtype).or_default() += 1;
        counts
    })
}
