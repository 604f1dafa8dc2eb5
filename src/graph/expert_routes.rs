//! Experts that several rows of their router lead to: what merging makes of a graph.

use super::axis::{Axis, AxisId, Dim, Extent, Role};
use super::export::CannotSay;
use super::op::{Expert, Experts, Nulls, Op, Routes};
use super::param::{Param, ParamId, Site, SiteId, SiteKind, View, Weight};
use super::{Graph, OpId};
use crate::tensor::DType;

impl Graph {
    /// The operation whose experts an axis counts.
    pub fn experts_of(&self, axis: AxisId) -> Option<(OpId, &Experts)> {
        self.ops.node_indices().find_map(|id| match &self.ops[id].op {
            Op::Experts(experts) if experts.axis == axis => Some((id, experts)),
            _ => None,
        })
    }

    /// Lets the rows of a router, whose experts `axis` counts, lead to the first experts: row `r` to expert `to[r]`. The router
    /// keeps its rows, experts behind the largest number go. Which weights are left in the others is not said here.
    pub fn share_experts(&mut self, axis: AxisId, to: &[usize]) {
        let Some((id, experts)) = self.experts_of(axis) else { return };
        let (before, rows) = (experts.routes.clone(), [Some(experts.router), experts.correction]);
        let routes = match before {
            Some(Routes { axis, to: first }) => {
                Routes { axis, to: first.into_iter().map(|expert| to[expert]).collect() }
            }
            None => Routes { axis: self.split_routes(axis, rows), to: to.to_vec() },
        };
        let count = routes.to.iter().max().map_or(0, |last| last + 1);
        if let Op::Experts(experts) = &mut self.ops[id].op {
            experts.routes = Some(routes);
        }
        self.keep(axis, &(0..count).collect::<Vec<_>>());
    }

    /// Gives the rows of a router an axis of their own.
    fn split_routes(&mut self, experts: AxisId, rows: [Option<SiteId>; 2]) -> AxisId {
        let extent = self.axes[experts].extent;
        let node = rows[0].map_or(self.tree.root(), |router| self.sites[router].node);
        let routes = self.axes.push(Axis { role: Role::Routes, extent, node, key: None });
        let params: Vec<_> = rows
            .into_iter()
            .flatten()
            .flat_map(|site| self.sites[site].views().map(|view| view.param).collect::<Vec<_>>())
            .collect();
        for param in params {
            for Dim(axes) in &mut self.params[param].dims {
                axes.iter_mut().filter(|axis| **axis == experts).for_each(|axis| *axis = routes);
            }
        }
        routes
    }

    /// Whatever was known of zeros in experts is known no more: their weights are made anew.
    pub fn forget_zeros_of_experts(&mut self, axis: AxisId) {
        let Some((_, experts)) = self.experts_of(axis) else { return };
        let sites: Vec<_> = experts.experts.iter().flat_map(Expert::sites).collect();
        sites.into_iter().for_each(|site| self.sites[site].sparsity = None);
    }

    /// As [`Graph::share_experts`], while neither their number nor who leads where is known: the first ones stand for all.
    pub fn share_some_experts(&mut self, axis: AxisId, extent: Extent) {
        let all = self.extent(axis).max;
        let to: Vec<usize> = (0..all).map(|route| route.min(extent.max - 1)).collect();
        self.share_experts(axis, &to);
        self.axes[axis].extent = extent;
    }

    /// Lets the shares of the first `count` experts be sums of the shares of all rows of the router: a matrix `[count, rows]`,
    /// whose site comes back. Which weights these experts have is not said here.
    pub fn mix_experts(&mut self, axis: AxisId, count: usize) -> Option<SiteId> {
        let all = self.extent(axis).max;
        let to: Vec<usize> = (0..all).map(|row| row.min(count - 1)).collect();
        self.share_experts(axis, &to);
        let (id, experts) = self.experts_of(axis)?;
        let (router, routes) = (experts.router, experts.routes_axis());
        let layer = self.tree[self.sites[router].node].parent?;
        let of = self.sites[router].views().next().map(|view| self.params[view.param].clone())?;
        let name = of.name.with_suffix("weight", "transfer_weight");
        let dims = vec![axis.into(), routes.into()];
        let dtype = DType::F32;
        let param = self.params.push(Param { name, dims, dtype, aliases: Vec::new(), ..of });
        let node = self.tree.child(layer, "transfer", None);
        let weight = Weight::Dense(View::whole(param));
        let kind = SiteKind::Token;
        let site =
            self.sites.push(Site { node, kind, weight, bias: None, transposed: false, sparsity: None });
        self.tree.set_site(node, site);
        if let Op::Experts(experts) = &mut self.ops[id].op {
            experts.transfer = Some(site);
        }
        Some(site)
    }

    /// Gives the router of experts further rows `[count, hidden]`, behind which nothing is, of all of which a token chooses `top_k`.
    /// The new param comes back.
    pub fn insert_nulls(&mut self, axis: AxisId, count: usize, top_k: usize) -> Option<ParamId> {
        let (id, experts) = self.experts_of(axis)?;
        let router = experts.router;
        let (node, ins) = (self.sites[router].node, self.site_dims(router).1);
        let layer = self.tree[node].parent?;
        let of = self.sites[router].views().next().map(|view| self.params[view.param].clone())?;
        let node = self.tree.child(layer, "null_router", None);
        let extent = Extent::exact(count);
        let nulls = self.axes.push(Axis { role: Role::Nulls, extent, node: layer, key: None });
        let name = of.name.with_suffix("weight", "null_weight");
        let dims = vec![nulls.into(), ins];
        let param = self.params.push(Param { name, dims, aliases: Vec::new(), ..of });
        let weight = Weight::Dense(View::whole(param));
        let kind = SiteKind::Linear;
        let site =
            self.sites.push(Site { node, kind, weight, bias: None, transposed: false, sparsity: None });
        self.tree.set_site(node, site);
        if let Op::Experts(experts) = &mut self.ops[id].op {
            (experts.nulls, experts.top_k) = (Some(Nulls { axis: nulls, router: site }), top_k);
        }
        Some(param)
    }

    /// Why an architecture's config cannot say how tokens find their experts here.
    pub(super) fn rerouted(&self) -> Option<CannotSay> {
        self.ops.node_weights().find_map(|made| {
            let Op::Experts(experts) = &made.op else { return None };
            let key = self.axes[experts.axis].key.clone().unwrap_or_else(|| "architectures".into());
            let path = self.axis_path(experts.axis);
            let extent = self.extent(experts.axis);
            let why = match experts {
                Experts { transfer: Some(_), .. } => {
                    format!("shares of `{path}` are sums of the router's shares")
                }
                Experts { routes: Some(routes), .. } => {
                    format!("{} rows of the router lead to {extent} of `{path}`", routes.to.len())
                }
                Experts { skip_below: Some(_), .. } => {
                    format!("the second of `{path}` is left out where its gate is small")
                }
                Experts { nulls: Some(nulls), .. } => {
                    format!("{} of `{path}` do nothing", self.extent(nulls.axis))
                }
                _ => return None,
            };
            Some(CannotSay { key, why })
        })
    }
}
