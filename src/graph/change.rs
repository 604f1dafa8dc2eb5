//! What passes do to a graph: keep some elements of an axis, bound an axis, factor a weight, change a type.

use petgraph::Direction;
use petgraph::visit::EdgeRef;

use super::axis::{Axis, AxisId, Dim, Extent, Role};
use super::op::Op;
use super::param::{Name, NamePart, Param, Rest, SiteId, Sparsity, View, Weight};
use super::tree::NodeId;
use super::{Graph, OpId, ParamId};
use crate::tensor::DType;

/// A part of a factored weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Left,
    Right,
}

impl Part {
    /// `query.weight` becomes `query.weight_left`.
    fn name(self, dense: &Name) -> Name {
        match self {
            Part::Left => dense.with_suffix("weight", "weight_left"),
            Part::Right => dense.with_suffix("weight", "weight_right"),
        }
    }
}

impl Graph {
    /// Keeps the elements `keep` (ascending) of an axis, in every tensor, name, operation and place of the tree.
    pub fn keep(&mut self, axis: AxisId, keep: &[usize]) {
        debug_assert!(keep.is_sorted(), "kept elements stay in order");
        let renumber = |index: usize| keep.binary_search(&index).ok();
        if keep.len() < self.axes[axis].extent.max {
            self.forget_sparsity(axis);
        }
        self.axes[axis].extent = Extent::exact(keep.len());
        if self.axes[axis].role == Role::Vocab {
            self.renumber_placeholder(keep);
        }
        if self.axes[axis].role.is_list() {
            self.drop_members(axis, renumber);
            self.renumber_members(axis, |index| renumber(index).expect("dropped members are gone"));
            self.forget_unused_axes();
        }
    }

    /// A picture's placeholder is a token by its number, which changes with the vocabulary.
    fn renumber_placeholder(&mut self, keep: &[usize]) {
        if !self.ops.node_weights().any(|made| matches!(made.op, Op::InsertPicture { .. })) {
            return;
        }
        for made in self.ops.node_weights_mut() {
            if let Op::InsertPicture { placeholder } = &mut made.op
                && let Ok(number) = keep.binary_search(&(*placeholder as usize))
            {
                *placeholder = number as u32;
            }
        }
    }

    /// Says that an axis will have an extent within bounds, while which elements stay is not known.
    ///
    /// Of axes whose elements are whole tensors the last ones are taken out, to stand for those that will be.
    pub fn resize(&mut self, axis: AxisId, extent: Extent) {
        if extent.min < self.axes[axis].extent.max {
            self.forget_sparsity(axis);
        }
        let keep: Vec<usize> = (0..extent.max).collect();
        self.keep(axis, &keep);
        self.axes[axis].extent = extent;
    }

    /// Elements of the axis go. A pattern holds for the outputs that are left, but not in groups that lose inputs;
    /// a number of zeros holds for the matrix that was counted.
    fn forget_sparsity(&mut self, axis: AxisId) {
        let left = |id: SiteId| {
            let sparsity = self.sites[id].sparsity?;
            let (outs, ins) = self.site_dims(id);
            match (ins.contains(axis), outs.contains(axis)) {
                (true, _) => Some((id, None)),
                (false, true) => {
                    Some((id, sparsity.pattern().map(|(keep, of)| Sparsity::Pattern { keep, of })))
                }
                (false, false) => None,
            }
        };
        let left: Vec<(SiteId, Option<Sparsity>)> = self.sites.ids().filter_map(left).collect();
        left.into_iter().for_each(|(id, sparsity)| self.sites[id].sparsity = sparsity);
    }

    fn drop_members(&mut self, axis: AxisId, renumber: impl Fn(usize) -> Option<usize>) {
        let gone = |&(of, index): &(AxisId, usize)| of == axis && renumber(index).is_none();
        let nodes: Vec<NodeId> = self
            .tree
            .iter()
            .filter(|(_, node)| node.member.as_ref().is_some_and(gone))
            .map(|(id, _)| id)
            .collect();
        for node in nodes {
            if self.tree.get(node).is_some() {
                self.drop_node(node);
            }
        }
        self.params.retain(|_, param| !param.name.members().any(|member| gone(&member)));
        let dead: Vec<SiteId> = self
            .sites
            .iter()
            .filter(|(_, site)| site.views().any(|view| view.fixed.iter().any(gone)))
            .map(|(id, _)| id)
            .collect();
        for site in dead {
            let node = self.sites[site].node;
            if self.tree.get(node).is_some() {
                self.drop_node(node);
            }
        }
        self.drop_experts();
        self.follow_tokens();
    }

    /// Takes out a tree node with the blocks, operations and sites below it.
    fn drop_node(&mut self, node: NodeId) {
        let below = self.tree.below(node);
        for block in &self.blocks.clone() {
            if below.contains(&block.node) {
                self.bypass(block.output, block.input);
            }
        }
        self.blocks.retain(|block| !below.contains(&block.node));
        let removed = self.tree.remove(node);
        self.ops.retain_nodes(|ops, op| !removed.contains(&ops[op].node));
        self.sites.retain(|_, site| !removed.contains(&site.node));
    }

    /// Lets users of `output`, blocks among them, read `input` instead.
    fn bypass(&mut self, output: OpId, input: OpId) {
        let users: Vec<(OpId, usize)> = self
            .ops
            .edges_directed(output, Direction::Outgoing)
            .map(|edge| (edge.target(), *edge.weight()))
            .collect();
        for (user, operand) in users {
            self.ops.add_edge(input, user, operand);
        }
        for block in self.blocks.iter_mut() {
            if block.input == output {
                block.input = input;
            }
        }
    }

    fn drop_experts(&mut self) {
        let sites = &self.sites;
        for op in self.ops.node_weights_mut() {
            if let Op::Experts(experts) = &mut op.op {
                experts.experts.retain(|expert| expert.sites().all(|site| sites.get(site).is_some()));
            }
        }
    }

    fn renumber_members(&mut self, axis: AxisId, renumber: impl Fn(usize) -> usize) {
        self.tree.renumber(axis, &renumber);
        for (_, param) in self.params.iter_mut() {
            for part in &mut *param.name.0 {
                if let NamePart::Member(of, index) = part
                    && *of == axis
                {
                    *index = renumber(*index);
                }
            }
        }
        for (_, site) in self.sites.iter_mut() {
            for (of, index) in site.views_mut().flat_map(|view| &mut view.fixed) {
                if *of == axis {
                    *index = renumber(*index);
                }
            }
        }
    }

    /// Axes of dropped layers and experts go, and what the config said of them.
    fn forget_unused_axes(&mut self) {
        let tree = &self.tree;
        self.axes.retain(|_, axis| tree.get(axis.node).is_some());
        let axes = &self.axes;
        self.facts.retain(|fact| fact.formula.axes().all(|axis| axes.get(axis).is_some()));
    }

    /// Whether the weight of a site is a tensor of its own: not tied, not fused with others, not factored already.
    pub fn can_factor(&self, site: SiteId) -> bool {
        let Weight::Dense(view) = &self.sites[site].weight else { return false };
        let readers = self.sites.iter().flat_map(|(_, site)| site.views());
        view.fixed.is_empty() && readers.filter(|other| other.param == view.param).count() == 1
    }

    /// Replaces a dense linear weight by `left [out, rank]` times `right [rank, in]`, named after it.
    ///
    /// The new axis comes back; `None`, and nothing changes, where the site [can not](Self::can_factor) be factored.
    pub fn factor(&mut self, site: SiteId, rank: Extent) -> Option<AxisId> {
        if !self.can_factor(site) {
            return None;
        }
        let Weight::Dense(view) = self.sites[site].weight.clone() else { return None };
        let node = self.sites[site].node;
        let (out, ins) = self.matrix_dims(&view, self.sites[site].transposed);
        let rank = self.axes.push(Axis { role: Role::Rank, extent: rank, node, key: None });
        let dense = self.params.remove(view.param)?;
        let mut part = |side: Part, dims: Vec<Dim>| -> View {
            let name = side.name(&dense.name);
            View::whole(self.params.push(Param { name, dims, aliases: Vec::new(), ..dense.clone() }))
        };
        let left = part(Part::Left, vec![out, rank.into()]);
        let right = part(Part::Right, vec![rank.into(), ins]);
        let site = &mut self.sites[site];
        site.weight = Weight::Factored { left, right, rest: None };
        // Factors are made by us and stored as `[out, in]`, whatever the dense weight was.
        site.transposed = false;
        site.sparsity = None;
        Some(rank)
    }

    /// Adds rows to the factors of a site, `weight_rest [rows, in]`: those of these outputs, ascending. The new param comes back.
    pub fn add_rest(&mut self, site: SiteId, rows: Vec<usize>) -> Option<ParamId> {
        let Weight::Factored { right, rest: None, .. } = &self.sites[site].weight else { return None };
        let (of, ins) = (self.params[right.param].clone(), self.site_dims(site).1);
        let (node, extent) = (self.sites[site].node, Extent::exact(rows.len()));
        let axis = self.axes.push(Axis { role: Role::RestRows, extent, node, key: None });
        let name = of.name.with_suffix("weight_right", "weight_rest");
        let param = self.params.push(Param { name, dims: vec![axis.into(), ins], ..of });
        if let Weight::Factored { rest, .. } = &mut self.sites[site].weight {
            *rest = Some(Rest { view: View::whole(param), rows });
        }
        Some(param)
    }

    /// The first weight whose rows beside its factors are numbered by outputs that `after` has less of.
    pub fn rest_unsettled(&self, after: &Graph) -> Option<SiteId> {
        let settled = |id: SiteId| {
            let outs = self.site_dims(id).0;
            outs.0
                .iter()
                .all(|&axis| after.axes.get(axis).is_none_or(|now| now.extent == self.axes[axis].extent))
        };
        let has_rest = |site: &super::Site| matches!(site.weight, Weight::Factored { rest: Some(_), .. });
        let mut ids = self.sites.iter().filter(|(_, site)| has_rest(site)).map(|(id, _)| id);
        ids.find(|&id| after.sites.get(id).is_some() && !settled(id))
    }

    /// Changes the storage type of a float parameter.
    pub fn cast(&mut self, param: ParamId, dtype: DType) {
        let was = self.params[param].dtype;
        if was.is_float() && was != dtype {
            self.params[param].dtype = dtype;
        }
    }
}
