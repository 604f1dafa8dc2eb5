//! Whether a graph holds together: every number leads to something, every operation fits its operands.
//!
//! What the builder makes and passes leave does. A graph that comes from a file may have been edited.

mod members;
mod operations;

use std::collections::BTreeSet;

use super::Graph;
use super::axis::{AxisId, Dim, Extent, Role};
use super::param::{NamePart, Param, Rest, Site, SiteId, SiteKind, View, Weight};

/// No tree is deeper; paths are made by recursion.
const DEEPEST: usize = 32;

type Checked = Result<(), String>;

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(otherwise()) }
}

impl Graph {
    /// The first thing found that does not hold.
    pub fn validate(&self) -> Checked {
        self.valid_tree()?;
        self.valid_axes()?;
        self.valid_params()?;
        self.sites.iter().try_for_each(|(id, site)| self.valid_site(id, site))?;
        ensure(!petgraph::algo::is_cyclic_directed(&*self.ops), || "operations form a circle".into())?;
        self.ops.node_indices().try_for_each(|op| self.valid_op(op))?;
        self.valid_members()
    }

    fn valid_tree(&self) -> Checked {
        let mut seen = BTreeSet::new();
        let mut open = vec![(self.tree.root(), None, 0)];
        while let Some((id, parent, depth)) = open.pop() {
            let node = self.tree.get(id).ok_or("a child in the tree is missing")?;
            ensure(seen.insert(id), || format!("`{}` stands twice in the tree", node.name))?;
            ensure(node.parent == parent, || format!("`{}` has another parent", node.name))?;
            ensure(depth < DEEPEST, || format!("the tree is deeper than {DEEPEST}"))?;
            let site = node.site.map(|site| self.sites.get(site).is_some_and(|site| site.node == id));
            ensure(site != Some(false), || format!("`{}` has a weight that is not there", node.name))?;
            let is_element =
                |member: (AxisId, usize)| self.is_member(member) && self.axes[member.0].role.is_list();
            let member = node.member.is_none_or(is_element);
            ensure(member, || format!("`{}` is an element of a list that has it not", node.name))?;
            open.extend(node.children.iter().map(|&child| (child, Some(id), depth + 1)));
        }
        ensure(seen.len() == self.tree.iter().count(), || "a node hangs outside of the tree".into())
    }

    fn valid_axes(&self) -> Checked {
        for (_, axis) in self.axes.iter() {
            ensure(self.tree.get(axis.node).is_some(), || format!("{} belong to nothing", axis.role))?;
            // How many tokens there are may depend on them.
            let exact = axis.extent.known().map(Extent::exact) == Some(axis.extent)
                || axis.role == Role::Tokens && axis.extent.min <= axis.extent.max;
            ensure(exact, || format!("{} have no exact number", axis.role))?;
        }
        let known = self.facts.iter().flat_map(|fact| fact.formula.axes()).all(|axis| self.is_axis(axis));
        ensure(known, || "the config speaks of an axis that is not there".into())
    }

    fn is_axis(&self, axis: AxisId) -> bool {
        self.axes.get(axis).is_some()
    }

    fn is_member(&self, (axis, index): (AxisId, usize)) -> bool {
        self.axes.get(axis).is_some_and(|axis| index < axis.extent.max)
    }

    fn are_dims(&self, dims: &[Dim]) -> bool {
        dims.iter().flat_map(|dim| &dim.0).all(|&axis| self.is_axis(axis))
    }

    fn valid_params(&self) -> Checked {
        let mut names = BTreeSet::new();
        for (_, param) in self.params.iter() {
            let name = param.name.resolve();
            let is_there = |part: &NamePart| match *part {
                NamePart::Text(_) => true,
                NamePart::Member(axis, index) => self.is_member((axis, index)),
            };
            let valid = param.name.0.iter().all(is_there) && self.are_dims(&param.dims);
            ensure(valid, || format!("`{name}` has an axis that is not there"))?;
            ensure(names.insert(name.clone()), || format!("`{name}` stands twice"))?;
        }
        Ok(())
    }

    fn valid_site(&self, id: SiteId, site: &Site) -> Checked {
        let node = self.tree.get(site.node).filter(|node| node.site == Some(id));
        ensure(node.is_some(), || "a weight has no place in the tree".into())?;
        let path = || self.tree.path(site.node);
        for view in site.views() {
            ensure(self.is_view(view), || format!("`{}` is a part of a tensor that is not there", path()))?;
        }
        let dims = |view| self.free_dims(view).len();
        let dense = |view| match site.kind {
            SiteKind::Linear => dims(view) == 2,
            SiteKind::Conv | SiteKind::Embedding => dims(view) >= 2,
            SiteKind::Norm | SiteKind::Scale => dims(view) == 1,
            SiteKind::Token => dims(view) >= 1,
        };
        let fits = match &site.weight {
            Weight::Dense(view) => dense(view),
            Weight::Factored { left, right, rest } => {
                let rests = rest.as_ref().is_none_or(|Rest { view, rows }| {
                    let (out, ins) = self.site_dims(id);
                    let (counted, inner) = self.matrix_dims(view, false);
                    let below = rows.last().is_none_or(|last| *last < self.dim_extent(&out));
                    dims(view) == 2
                        && inner == ins
                        && self.dim_extent(&counted) == rows.len()
                        && below
                        && rows.windows(2).all(|pair| pair[0] < pair[1])
                });
                let inner = |view, outside: fn((Dim, Dim)) -> Dim| outside(self.matrix_dims(view, false));
                rests
                    && dims(left) == 2
                    && dims(right) == 2
                    && inner(left, |dims| dims.1) == inner(right, |dims| dims.0)
            }
        };
        let (out, _) = self.site_dims(id);
        let bias = site.bias.as_ref().is_none_or(|bias| self.free_dims(bias) == [out]);
        ensure(fits && bias, || format!("the weight of `{}` has other dims than it needs", path()))
    }

    /// Fixed axes are the tensor's, each once, and lie outside of the free ones of their dim.
    fn is_view(&self, view: &View) -> bool {
        let Some(Param { dims, buffer: false, .. }) = self.params.get(view.param) else { return false };
        let is_fixed = |axis: &AxisId| view.fixed.iter().any(|(fixed, _)| fixed == axis);
        let outside =
            |Dim(axes): &Dim| axes.iter().skip_while(|axis| is_fixed(axis)).all(|axis| !is_fixed(axis));
        let once = |&(axis, index): &(AxisId, usize)| {
            let fixed = view.fixed.iter().filter(|(other, _)| *other == axis).count();
            let carried = dims.iter().flat_map(|dim| &dim.0).filter(|other| **other == axis).count();
            fixed == 1 && carried == 1 && self.is_member((axis, index))
        };
        dims.iter().all(outside) && view.fixed.iter().all(once)
    }
}
