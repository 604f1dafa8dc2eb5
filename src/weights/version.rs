//! A model between two steps: its graph with exact extents, and an expression for each tensor.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::expr::{Expr, Factoring};
use super::mask::MaskRule;
use crate::checkpoint::Checkpoint;
use crate::graph::{AxisId, Dim, Extent, Graph, Param, ParamId, Part, SiteId, Weight};
use crate::source::Span;
use crate::tensor::DType;

/// See the module's text. Cheap to clone but for the graph: expressions are shared.
#[derive(Debug, Clone)]
pub struct Version {
    pub graph: Graph,
    tensors: BTreeMap<ParamId, Arc<Expr>>,
    /// The step that changes it now. What it does is done when tensors are read, and what goes wrong then points there.
    pub step: Option<Span>,
    /// For axes that lost elements, the input model's numbers of those that are left.
    kept: BTreeMap<AxisId, Vec<usize>>,
}

impl Version {
    /// The model as it is stored. The graph was read from this checkpoint.
    pub fn open(graph: Graph, checkpoint: &Arc<Checkpoint>) -> Self {
        let stored = |param: &Param| {
            let name = param.name.resolve();
            let stored = checkpoint.tensors.get(&name).expect("the graph was checked against these headers");
            Arc::new(Expr::Stored { checkpoint: Arc::clone(checkpoint), stored: stored.clone() })
        };
        let tensors = graph.params.iter().map(|(id, param)| (id, stored(param))).collect();
        Self { graph, tensors, step: None, kept: BTreeMap::new() }
    }

    pub fn expr(&self, param: ParamId) -> &Arc<Expr> {
        self.tensors.get(&param).expect("each param of the graph has an expression")
    }

    /// Puts another expression of the same type and shape into a tensor's place: one that was written out.
    pub fn replace(&mut self, param: ParamId, expr: Arc<Expr>) {
        debug_assert_eq!(self.expr(param).shape(), expr.shape(), "the same tensor, stored elsewhere");
        self.tensors.insert(param, expr);
    }

    /// The input model's numbers of an axis's elements, where some were taken out.
    pub fn kept(&self, axis: AxisId) -> Option<&[usize]> {
        self.kept.get(&axis).map(Vec::as_slice)
    }

    /// Keeps the elements `keep` (ascending) of an axis, in every tensor that carries it.
    pub fn keep(&mut self, axis: AxisId, keep: &[usize]) {
        for param in self.graph.carriers(axis) {
            let dims = &self.graph.params[param].dims;
            let gather = dims.iter().map(|dim| self.elements_kept(dim, axis, keep)).collect();
            let input = Arc::clone(self.expr(param));
            self.tensors.insert(param, Arc::new(Expr::Gather { input, keep: gather }));
        }
        let original = match self.kept.get(&axis) {
            Some(before) => keep.iter().map(|&index| before[index]).collect(),
            None => keep.to_vec(),
        };
        self.kept.insert(axis, original);
        self.graph.keep(axis, keep);
        let graph = &self.graph;
        self.tensors.retain(|&param, _| graph.params.get(param).is_some());
    }

    /// Experts in groups become one each: the first ones stand for them, with tensors that were made for it. `to` has the group of
    /// each; groups are numbered by their first members. The router keeps its rows where `routes` says so.
    pub fn merge_experts(
        &mut self,
        axis: AxisId,
        to: &[usize],
        routes: bool,
        made: impl Fn(ParamId) -> Option<Arc<Expr>>,
    ) {
        let count = to.iter().max().map_or(0, |last| last + 1);
        let first = |group| to.iter().position(|other| *other == group).expect("no group is empty");
        let original = |expert: usize| self.kept.get(&axis).map_or(expert, |kept| kept[expert]);
        let kept = (0..count).map(first).map(original).collect();
        self.kept.insert(axis, kept);
        self.graph.forget_zeros_of_experts(axis);
        match routes {
            true => self.graph.share_experts(axis, to),
            false => self.graph.keep(axis, &(0..count).collect::<Vec<_>>()),
        }
        let ids: Vec<ParamId> = self.graph.params.ids().collect();
        let tensors = std::mem::take(&mut self.tensors);
        let expr = |id: ParamId| (id, made(id).unwrap_or_else(|| Arc::clone(&tensors[&id])));
        self.tensors = ids.into_iter().map(expr).collect();
    }

    /// Experts become mixtures of all, as many as `count`, chosen by sums of the shares of all rows of the router. `made` has the
    /// tensors of the first experts, `transfer` the matrix of those sums.
    pub fn mix_experts(
        &mut self,
        axis: AxisId,
        count: usize,
        made: impl Fn(ParamId) -> Option<Arc<Expr>>,
        transfer: Arc<Expr>,
    ) {
        // No expert of the input model is one of them: what was kept of it nobody can say.
        self.graph.forget_zeros_of_experts(axis);
        let Some(site) = self.graph.mix_experts(axis, count) else { return };
        let param = self.graph.sites[site].views().next().map(|view| view.param);
        let tensors = std::mem::take(&mut self.tensors);
        let expr = |id: ParamId| match param == Some(id) {
            true => (id, Arc::clone(&transfer)),
            false => (id, made(id).unwrap_or_else(|| Arc::clone(&tensors[&id]))),
        };
        self.tensors = self.graph.params.ids().map(expr).collect();
    }

    /// The elements of a stored dim that belong to the kept elements of one of its axes.
    fn elements_kept(&self, dim: &Dim, axis: AxisId, keep: &[usize]) -> Option<Arc<[usize]>> {
        let at = dim.0.iter().position(|&other| other == axis)?;
        let extent =
            |axes: &[AxisId]| -> usize { axes.iter().map(|&axis| self.graph.extent(axis).max).product() };
        let (outer, inner) = (extent(&dim.0[..at]), extent(&dim.0[at + 1..]));
        let all = self.graph.extent(axis).max;
        let elements = (0..outer).flat_map(|outer| {
            keep.iter().flat_map(move |&kept| {
                let start = (outer * all + kept) * inner;
                start..start + inner
            })
        });
        Some(elements.collect())
    }

    /// Zeroes what the rule says in the dense weight of a site.
    pub fn mask(&mut self, site: SiteId, rule: Arc<dyn MaskRule>) {
        let Weight::Dense(view) = &self.graph.sites[site].weight else { return };
        let matrix = self.graph.matrix(view, self.graph.sites[site].transposed);
        let place = self.graph.tree.path(self.graph.sites[site].node);
        let input = Arc::clone(self.expr(view.param));
        let step = self.step;
        self.tensors.insert(view.param, Arc::new(Expr::Masked { input, place, matrix, rule, step }));
    }

    /// Replaces the dense weight of a site by two factors.
    pub fn factor(&mut self, site: SiteId, rank: usize) {
        let Weight::Dense(view) = self.graph.sites[site].weight.clone() else { return };
        if !self.graph.can_factor(site) {
            return;
        }
        let matrix = self.graph.matrix(&view, self.graph.sites[site].transposed);
        let dense = self.tensors.remove(&view.param).expect("each param of the graph has an expression");
        self.graph.factor(site, Extent::exact(rank));
        let Weight::Factored { left, right, .. } = &self.graph.sites[site].weight else { return };
        let factoring = Arc::new(Factoring::new(dense, matrix, rank));
        for (view, part) in [(left, Part::Left), (right, Part::Right)] {
            let factoring = Arc::clone(&factoring);
            self.tensors.insert(view.param, Arc::new(Expr::Factor { factoring, part }));
        }
    }

    /// Adds rows of these outputs to the factors of a site.
    pub fn add_rest(&mut self, site: SiteId, rows: Vec<usize>, values: Arc<Expr>) {
        if let Some(param) = self.graph.add_rest(site, rows) {
            self.tensors.insert(param, values);
        }
    }

    /// Gives the router of experts further rows, behind which nothing is.
    pub fn insert_nulls(&mut self, axis: AxisId, count: usize, top_k: usize, rows: Arc<Expr>) {
        if let Some(param) = self.graph.insert_nulls(axis, count, top_k) {
            self.tensors.insert(param, rows);
        }
    }

    /// Changes the storage type of a float tensor.
    pub fn cast(&mut self, param: ParamId, to: DType) {
        let input = Arc::clone(self.expr(param));
        if input.dtype().is_float() && input.dtype() != to {
            self.tensors.insert(param, Arc::new(Expr::Cast { input, to, step: self.step }));
        }
        self.graph.cast(param, to);
    }
}
