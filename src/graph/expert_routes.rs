//! Experts that several rows of their router lead to: what merging makes of a graph.

use super::axis::{Axis, AxisId, Dim, Extent, Role};
use super::export::CannotSay;
use super::op::{Expert, Experts, Op, Routes};
use super::{Graph, OpId};

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
        let (router, before) = (experts.router, experts.routes.clone());
        let routes = match before {
            Some(Routes { axis, to: first }) => {
                Routes { axis, to: first.into_iter().map(|expert| to[expert]).collect() }
            }
            None => Routes { axis: self.split_routes(axis, router), to: to.to_vec() },
        };
        let count = routes.to.iter().max().map_or(0, |last| last + 1);
        if let Op::Experts(experts) = &mut self.ops[id].op {
            experts.routes = Some(routes);
        }
        self.keep(axis, &(0..count).collect::<Vec<_>>());
    }

    /// Gives the rows of a router an axis of their own.
    fn split_routes(&mut self, experts: AxisId, router: super::SiteId) -> AxisId {
        let extent = self.axes[experts].extent;
        let node = self.sites[router].node;
        let routes = self.axes.push(Axis { role: Role::Routes, extent, node, key: None });
        let params: Vec<_> = self.sites[router].views().map(|view| view.param).collect();
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

    /// Why an architecture's config cannot say how tokens find their experts here.
    pub(super) fn rerouted(&self) -> Option<CannotSay> {
        self.ops.node_weights().find_map(|made| {
            let Op::Experts(experts) = &made.op else { return None };
            let key = self.axes[experts.axis].key.clone().unwrap_or_else(|| "architectures".into());
            let path = self.axis_path(experts.axis);
            let why = match (&experts.routes, experts.skip_below) {
                (Some(routes), _) => {
                    let (rows, extent) = (routes.to.len(), self.extent(experts.axis));
                    format!("{rows} rows of the router lead to {extent} of `{path}`")
                }
                (None, Some(_)) => format!("the second of `{path}` is left out where its gate is small"),
                (None, None) => return None,
            };
            Some(CannotSay { key, why })
        })
    }
}
