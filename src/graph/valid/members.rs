//! Whether elements of lists can go: what is in a layer is used in that layer only, but for its result.

use petgraph::visit::{EdgeRef, IntoEdgeReferences};

use super::super::axis::{AxisId, Dim, Role};
use super::super::op::Op;
use super::super::tree::NodeId;
use super::super::{Graph, OpId};
use super::{Checked, ensure};

/// The elements of lists that a thing belongs to.
type Members = Vec<(AxisId, usize)>;

fn within(outer: &Members, inner: &Members) -> bool {
    outer.iter().all(|member| inner.contains(member))
}

impl Graph {
    pub(super) fn valid_members(&self) -> Checked {
        self.params_keep_to_members()?;
        self.sites_keep_to_members()?;
        self.ops_keep_to_members()?;
        self.valid_blocks()
    }

    fn members(&self, node: NodeId) -> Members {
        self.tree.above(node).filter_map(|node| self.tree[node].member).collect()
    }

    /// Axes go with the node that they belong to.
    fn axes_outlive(&self, dims: &[Dim], members: &Members) -> bool {
        let axes = dims.iter().flat_map(|dim| &dim.0);
        // Tokens flow on from the layer where they became fewer; when it goes, what is behind has others.
        let flows = |axis: AxisId| self.axes[axis].role == Role::Tokens;
        axes.into_iter().all(|&axis| flows(axis) || within(&self.members(self.axes[axis].node), members))
    }

    fn params_keep_to_members(&self) -> Checked {
        for (_, param) in self.params.iter() {
            let fits = self.axes_outlive(&param.dims, &param.name.members().collect());
            ensure(fits, || format!("`{}` has axes of another layer", param.name.resolve()))?;
        }
        Ok(())
    }

    fn sites_keep_to_members(&self) -> Checked {
        for (_, site) in self.sites.iter() {
            let members = self.members(site.node);
            let fits = site.views().all(|view| {
                let name = self.params[view.param].name.members().collect();
                let mut parts = view.fixed.iter().filter(|(axis, _)| self.axes[*axis].role.is_list());
                within(&name, &members) && parts.all(|part| members.contains(part))
            });
            ensure(fits, || format!("`{}` is a tensor of another layer", self.tree.path(site.node)))?;
        }
        Ok(())
    }

    fn ops_keep_to_members(&self) -> Checked {
        for made in self.ops.node_weights() {
            let members = self.members(made.node);
            let place = |site| self.members(self.sites[site].node);
            let fits = match &made.op {
                Op::Experts(experts) => {
                    let inside = |(index, expert): (usize, &super::super::Expert)| {
                        let mut own = vec![(experts.axis, index)];
                        own.extend(&members);
                        expert.sites().all(|site| place(site) == own)
                    };
                    experts.deciding().all(|site| place(site) == members)
                        && experts.experts.iter().enumerate().all(inside)
                }
                op => op.sites().into_iter().all(|site| place(site) == members),
            };
            let outlives = self.axes_outlive(&made.value, &members);
            ensure(fits && outlives, || {
                format!("an operation of `{}` is of another layer", self.tree.path(made.node))
            })?;
        }
        Ok(())
    }

    /// What leaves a layer is its block's output, and a block's input comes from outside.
    fn valid_blocks(&self) -> Checked {
        for block in &self.blocks {
            let there = self.tree.get(block.node).is_some_and(|node| node.member.is_some())
                && [block.input, block.output].iter().all(|&op| self.ops.contains_node(op));
            ensure(there, || "a block is of nothing".into())?;
            let inside = |op: OpId| self.tree.above(self.ops[op].node).any(|node| node == block.node);
            let ends = !inside(block.input) && inside(block.output);
            // A layer may have fewer tokens behind it than in front.
            let alike = self.ops[block.input].value.last() == self.ops[block.output].value.last();
            ensure(ends && alike, || format!("`{}` cannot be taken out", self.tree.path(block.node)))?;
        }
        for edge in self.ops.edge_references() {
            let (from, to) = (edge.source(), edge.target());
            let members = self.members(self.ops[from].node);
            let is_output = || self.blocks.iter().any(|block| block.output == from);
            let kept = within(&members, &self.members(self.ops[to].node)) || is_output();
            ensure(kept, || format!("`{}` is read from outside", self.tree.path(self.ops[from].node)))?;
        }
        Ok(())
    }
}
