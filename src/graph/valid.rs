//! Whether a graph holds together: every number leads to something, every operation fits its operands.
//!
//! What the builder makes and passes leave does. A graph that comes from a file may have been edited.

use std::collections::BTreeSet;

use super::axis::{AxisId, Dim};
use super::op::{Experts, Op, OpNode};
use super::param::{NamePart, Param, Site, SiteId, SiteKind, View, Weight};
use super::{Graph, OpId};

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
        ensure(!petgraph::algo::is_cyclic_directed(&self.ops), || "operations form a circle".into())?;
        self.ops.node_indices().try_for_each(|op| self.valid_op(op))?;
        for block in &self.blocks {
            let there = [block.input, block.output].iter().all(|&op| self.ops.contains_node(op));
            ensure(there && self.tree.get(block.node).is_some(), || "a block is of nothing".into())?;
        }
        Ok(())
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
            let member = node.member.is_none_or(|member| self.is_member(member));
            ensure(member, || format!("`{}` is an element of a list that has it not", node.name))?;
            open.extend(node.children.iter().map(|&child| (child, Some(id), depth + 1)));
        }
        ensure(seen.len() == self.tree.iter().count(), || "a node hangs outside of the tree".into())
    }

    fn valid_axes(&self) -> Checked {
        for (_, axis) in self.axes.iter() {
            ensure(self.tree.get(axis.node).is_some(), || format!("{} belong to nothing", axis.role))?;
            ensure(axis.extent.known().is_some(), || format!("{} have no exact number", axis.role))?;
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
            SiteKind::Norm => dims(view) == 1,
            SiteKind::Token => dims(view) >= 1,
        };
        let fits = match &site.weight {
            Weight::Dense(view) => dense(view),
            Weight::Factored { left, right } => {
                let inner = |view, outside: fn((Dim, Dim)) -> Dim| outside(self.matrix_dims(view, false));
                dims(left) == 2
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

    fn valid_op(&self, id: OpId) -> Checked {
        let OpNode { op, node, value } = &self.ops[id];
        let known = self.tree.get(*node).is_some()
            && self.are_dims(value)
            && op.sites().iter().all(|&site| self.sites.get(site).is_some());
        ensure(known, || "an operation is of something that is not there".into())?;
        let path = self.tree.path(*node);
        let places: Vec<usize> =
            self.ops.edges_directed(id, petgraph::Direction::Incoming).map(|edge| *edge.weight()).collect();
        let in_order = (0..places.len()).all(|place| places.contains(&place));
        ensure(in_order, || format!("an operation of `{path}` lacks an operand"))?;
        let operands: Vec<&[Dim]> =
            self.operands(id).iter().map(|&operand| self.ops[operand].value.as_slice()).collect();
        let fits = self.fits(op, &operands, value);
        ensure(fits, || format!("an operation of `{path}` does not fit its operands: {}", op.name()))
    }

    /// Whether an operation makes a value of these dims from such operands.
    fn fits(&self, op: &Op, operands: &[&[Dim]], value: &[Dim]) -> bool {
        let same = |dims: &[Dim]| dims == value;
        match (op, operands) {
            (Op::TokenIds, []) => value.len() == 1,
            (Op::Pixels, []) => value.len() == 3,
            (Op::Embedding(site), [x]) => value.split_last() == Some((&self.ins(*site), x)),
            (Op::Positions { table: site, .. } | Op::Types(site), [x]) => {
                same(x) && value.last() == Some(&self.ins(*site))
            }
            (Op::Patches(site), [x]) => {
                x.len() == 3 && value.len() == 2 && value.last() == Some(&self.site_dims(*site).0)
            }
            (Op::Prepend(site), [x]) => {
                value.len() == 2 && x.last() == value.last() && value.last() == Some(&self.ins(*site))
            }
            (Op::Linear(site), [x]) => {
                let (out, ins) = self.site_dims(*site);
                rows(x) == rows(value) && x.last() == Some(&ins) && value.last() == Some(&out)
            }
            (Op::LayerNorm { site, .. } | Op::RmsNorm { site, .. }, [x]) => {
                same(x) && value.last() == Some(&self.site_dims(*site).0)
            }
            (Op::Activation(_) | Op::Scale(_) | Op::Output(_), [x]) => same(x),
            (Op::Attention(_), [query, keys, values]) => {
                same(query) && keys == values && attends(self, query, keys)
            }
            (Op::Experts(experts), [x]) => same(x) && x.last().is_some_and(|x| self.fit_experts(experts, x)),
            (Op::Add | Op::Multiply, [left, right]) => same(left) && same(right),
            (Op::Token(number), [x]) => {
                let there = x.first().is_some_and(|tokens| *number < self.dim_extent(tokens));
                there && x.len() == 2 && value == &x[1..]
            }
            (Op::Mean | Op::Last, [x]) => x.len() == 2 && value == &x[1..],
            _ => false,
        }
    }

    /// The innermost dim of a table, and of a token.
    fn ins(&self, site: SiteId) -> Dim {
        match &self.sites[site].weight {
            Weight::Dense(view) | Weight::Factored { right: view, .. } => {
                self.free_dims(view).pop().unwrap_or(Dim(Vec::new()))
            }
        }
    }

    fn fit_experts(&self, experts: &Experts, features: &Dim) -> bool {
        let count = experts.experts.len();
        let counted = self.axes.get(experts.axis).is_some_and(|axis| axis.extent.max == count);
        let router = self.site_dims(experts.router) == (experts.axis.into(), features.clone());
        let each = experts.experts.iter().all(|expert| {
            let (inner, ins) = self.site_dims(expert.up);
            let gate = expert.gate.is_none_or(|gate| self.site_dims(gate) == (inner.clone(), ins.clone()));
            gate && ins == *features && self.site_dims(expert.down) == (features.clone(), inner)
        });
        counted && router && each && (1..=count).contains(&experts.top_k)
    }
}

fn rows(dims: &[Dim]) -> &[Dim] {
    dims.split_last().map_or(&[], |(_, rows)| rows)
}

/// Keys `[tokens, heads head_dim]` for queries `[tokens, heads group head_dim]`.
fn attends(graph: &Graph, query: &[Dim], keys: &[Dim]) -> bool {
    let heads = |dims: &[Dim]| match dims {
        [_, Dim(axes)] if axes.len() > 1 => axes.split_last().map(|(dim, heads)| (*dim, heads.to_vec())),
        _ => None,
    };
    let (Some((dim, queries)), Some((key_dim, keys))) = (heads(query), heads(keys)) else { return false };
    graph.extent(dim) == graph.extent(key_dim) && queries.starts_with(&keys)
}
