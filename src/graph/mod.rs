//! A model as the compiler sees it: operations joined by values, every dimension an axis. Nothing here holds weights.
//!
//! A query weight is `[heads head_dim, hidden]`. Removing a head is one change of one axis, and every tensor that
//! carries the axis follows: rows of query, key and value, their biases, columns of the output projection.
//! Layers and experts are axes too; their elements are whole tensors, whose names carry their number.

mod arena;
mod axis;
mod between;
mod builder;
mod change;
mod cost;
mod expert_routes;
mod export;
mod flow;
mod inspect;
mod layout;
mod live;
mod op;
mod param;
mod picture;
mod places;
mod projections;
mod reduction;
mod runnable;
mod shared;
#[cfg(test)]
mod tests;
mod tidy;
mod times;
mod token_rules;
mod tree;
mod valid;

use std::collections::BTreeSet;

use petgraph::stable_graph::{NodeIndex, StableDiGraph};
use petgraph::visit::EdgeRef;
use serde::{Deserialize, Serialize};

pub use arena::{Arena, Id};
pub use axis::{Axis, AxisId, Dim, Extent, Role};
pub use between::Between;
pub use builder::{Bias, BuildError, Builder, Header, Member, Size, Value};
pub use change::Part;
pub use cost::{Cost, Costs};
pub use export::{CannotSay, Fact, Formula};
pub use flow::NotFlow;
pub use layout::Factors;
pub use op::{
    Activation, Attention, AttentionKind, Expert, Experts, GroupLimit, Nulls, Op, OpNode, Rope, RopeScaling,
    Routes, Scoring,
};
pub use param::{Name, NamePart, Param, ParamId, Rest, Site, SiteId, SiteKind, Sparsity, View, Weight};
pub use picture::PictureRule;
pub(crate) use picture::{key_tokens, left_of_picture};
pub use places::Places;
pub use projections::Projection;
pub use reduction::{NotReduced, Reduction, ReductionRule, TokenCount, TokenScore};
pub use shared::Shared;
pub use times::{Grid, Times};
pub use token_rules::{ByEnergy, EnergyKernel, EnergyPairing, RankStart, Ranking};
pub use tree::{Node, NodeId, Tree};

/// The number of an operation.
pub type OpId = NodeIndex;

/// See the module's text. A copy shares each part with the graph that it was made of, until one of them changes it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Graph {
    /// The family that it came from, for people: `bert`, `llama`.
    pub family: String,
    /// An edge's number is the place of the operand.
    pub ops: Shared<StableDiGraph<OpNode, usize>>,
    pub tree: Shared<Tree>,
    pub axes: Shared<Arena<Axis>>,
    pub params: Shared<Arena<Param>>,
    pub sites: Shared<Arena<Site>>,
    /// Residual blocks, which can be taken out: their input then stands for their output.
    pub blocks: Shared<Vec<Block>>,
    /// How the architecture's config states the extents.
    pub facts: Shared<Vec<Fact>>,
    /// How long operations take, where a recipe names a table: of a machine, and no part of the model.
    #[serde(skip)]
    pub times: Option<Shared<Times>>,
}

/// A layer: the operations under a tree node between one value and the next of equal dims.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Block {
    pub node: NodeId,
    pub input: OpId,
    pub output: OpId,
}

impl Graph {
    pub fn extent(&self, axis: AxisId) -> Extent {
        self.axes[axis].extent
    }

    /// Whether a copy is certainly of the same shapes and types: nothing of it was changed but what is known of zeros.
    /// May say no where a change was undone.
    pub fn has_shapes_of(&self, other: &Self) -> bool {
        let Self { ops, tree, axes, params, .. } = self;
        ops.is_same(&other.ops)
            && tree.is_same(&other.tree)
            && axes.is_same(&other.axes)
            && params.is_same(&other.params)
    }

    /// Operands of an operation, in their order.
    pub fn operands(&self, op: OpId) -> Vec<OpId> {
        let mut edges: Vec<(usize, OpId)> = self
            .ops
            .edges_directed(op, petgraph::Direction::Incoming)
            .map(|edge| (*edge.weight(), edge.source()))
            .collect();
        edges.sort_unstable();
        edges.into_iter().map(|(_, operand)| operand).collect()
    }

    /// Operations, operands before users, in one fixed order.
    pub fn schedule(&self) -> Vec<OpId> {
        petgraph::algo::toposort(&*self.ops, None).expect("a model's graph has no cycle")
    }

    /// `layers[3].attention.heads`: where the axis is, and what it counts.
    pub fn axis_path(&self, axis: AxisId) -> String {
        let Axis { node, role, .. } = &self.axes[axis];
        match self.tree.path(*node) {
            path if path.is_empty() => role.name().to_string(),
            path => format!("{path}.{role}"),
        }
    }

    /// The axis's dims as people read them: `[heads=12 head_dim=32, hidden=384]`.
    pub fn dims_text(&self, dims: &[Dim]) -> String {
        let dim_text = |dim: &Dim| -> String {
            let axes = dim.0.iter().map(|&axis| {
                let axis = &self.axes[axis];
                format!("{}={}", axis.role, axis.extent)
            });
            if dim.0.is_empty() { "1".into() } else { axes.collect::<Vec<_>>().join(" ") }
        };
        format!("[{}]", dims.iter().map(dim_text).collect::<Vec<_>>().join(", "))
    }

    /// Sites at the node and below, in tree order.
    pub fn sites_below(&self, node: NodeId) -> Vec<SiteId> {
        self.tree.below(node).into_iter().filter_map(|node| self.tree[node].site).collect()
    }

    /// Sites that look a table up by token, position or type, and heads that are tied to one: their params.
    pub fn embedded(&self) -> BTreeSet<ParamId> {
        let tables = self.sites.iter().filter(|(_, site)| site.kind == SiteKind::Embedding);
        tables.flat_map(|(_, site)| site.views().map(|view| view.param)).collect()
    }

    /// What `weights` means without a selector: linear and convolution weights that are no embedding.
    pub fn matrices(&self) -> Vec<SiteId> {
        let embedded = self.embedded();
        let counts =
            |site: &Site| site.kind.is_matrix() && !site.views().any(|view| embedded.contains(&view.param));
        self.sites.iter().filter(|(_, site)| counts(site)).map(|(id, _)| id).collect()
    }

    /// Axes of a role that belong to the node or to one below it, in order of making.
    pub fn axes_below(&self, node: NodeId, role: Role) -> Vec<AxisId> {
        self.axes
            .iter()
            .filter(|(_, axis)| axis.role == role)
            .filter(|(_, axis)| self.tree.above(axis.node).any(|above| above == node))
            .map(|(id, _)| id)
            .collect()
    }

    /// Counted parameters in the order of the model.
    pub fn weights(&self) -> impl Iterator<Item = (ParamId, &Param)> {
        self.params.iter().filter(|(_, param)| !param.buffer)
    }

    /// The param of a checkpoint name.
    pub fn param_named(&self, name: &str) -> Option<ParamId> {
        self.params.iter().find(|(_, param)| param.name.resolve() == name).map(|(id, _)| id)
    }
}
