//! What a graph costs: parameters, multiply-accumulates, bytes. Intervals while extents are.
//!
//! MACs count the products of linear, convolution and attention operations (scores and values; causal ones in full).
//! Norms, activations, softmax, biases and lookups are not counted; a patch embedding counts its patches.
//! One MAC is two FLOPs.

use std::ops::{Add, AddAssign, Mul};

use serde::{Deserialize, Serialize};

use super::axis::{AxisId, Dim, Extent, Role};
use super::op::{Experts, Op};
use super::param::{SiteId, Weight};
use super::tree::NodeId;
use super::{Graph, OpId};

/// A number that is known, or known to lie between two (both included).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Between {
    pub min: u64,
    pub max: u64,
}

impl Between {
    pub fn exact(value: u64) -> Self {
        Self { min: value, max: value }
    }

    pub fn known(self) -> Option<u64> {
        (self.min == self.max).then_some(self.min)
    }
}

impl From<Extent> for Between {
    fn from(extent: Extent) -> Self {
        Self { min: extent.min as u64, max: extent.max as u64 }
    }
}

impl Add for Between {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }
}

impl AddAssign for Between {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Mul for Between {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        Self { min: self.min.saturating_mul(other.min), max: self.max.saturating_mul(other.max) }
    }
}

impl Mul<u64> for Between {
    type Output = Self;

    fn mul(self, factor: u64) -> Self {
        self * Between::exact(factor)
    }
}

impl std::iter::Sum for Between {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

/// Costs of a graph or of a part of it, for one input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cost {
    /// Stored weights; a tied one counts once, buffers do not count.
    pub params: Between,
    /// Multiply-accumulates of one forward pass.
    pub macs: Between,
    /// Bytes of the stored weights.
    pub bytes: Between,
    /// Bytes of the values that operations make, in f32.
    pub activation_bytes: Between,
}

impl Cost {
    pub fn flops(&self) -> Between {
        self.macs * 2
    }
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            params: self.params + other.params,
            macs: self.macs + other.macs,
            bytes: self.bytes + other.bytes,
            activation_bytes: self.activation_bytes + other.activation_bytes,
        }
    }
}

impl Graph {
    /// The whole model's cost for a batch.
    pub fn cost(&self, batch: u64) -> Cost {
        let (params, bytes) = self.storage(|_| true);
        let (macs, activations) = self.work(|_| true);
        Cost { params, bytes, macs: macs * batch, activation_bytes: activations * batch }
    }

    /// The cost of what lies at a tree node and below. A tied weight counts where its first site is.
    pub fn cost_below(&self, node: NodeId, batch: u64) -> Cost {
        let below = |other: NodeId| self.tree.above(other).any(|above| above == node);
        let (params, bytes) = self.storage(below);
        let (macs, activations) = self.work(below);
        Cost { params, bytes, macs: macs * batch, activation_bytes: activations * batch }
    }

    fn storage(&self, counts: impl Fn(NodeId) -> bool) -> (Between, Between) {
        let owners = self.owners();
        let sizes = self.weights().filter(|(id, _)| counts(owners[id.index()])).map(|(_, param)| {
            let elements = self.product(&param.dims);
            (elements, elements * param.dtype.size() as u64)
        });
        sizes.fold(Default::default(), |(params, bytes), (p, b)| (params + p, bytes + b))
    }

    /// For each param the node of the first site that reads it; the root for none.
    fn owners(&self) -> Vec<NodeId> {
        let mut owners = vec![None; self.params.bound()];
        for (_, site) in self.sites.iter() {
            for view in site.views() {
                owners[view.param.index()].get_or_insert(site.node);
            }
        }
        // A fused expert stack has a site an expert; it belongs to the layer.
        owners.into_iter().map(|node| node.unwrap_or(self.tree.root())).collect()
    }

    fn work(&self, counts: impl Fn(NodeId) -> bool) -> (Between, Between) {
        let mut macs = Between::default();
        let mut activations = Between::default();
        for op in self.ops.node_indices() {
            let made = &self.ops[op];
            if counts(made.node) {
                macs += self.macs(op);
                activations += self.product(&made.value) * 4;
            }
        }
        (macs, activations)
    }

    /// Multiply-accumulates of one operation for one sample.
    pub fn macs(&self, op: OpId) -> Between {
        let made = &self.ops[op];
        match &made.op {
            Op::Linear(site) => self.rows(&made.value) * self.matrix_macs(*site),
            Op::Patches(site) => self.rows(&made.value) * self.matrix_macs(*site),
            Op::Attention(_) => self.attention_macs(op),
            Op::Experts(experts) => self.rows(&made.value) * self.expert_macs(experts),
            Op::TokenIds
            | Op::Pixels
            | Op::Embedding(_)
            | Op::Positions { .. }
            | Op::Types(_)
            | Op::Prepend(_)
            | Op::LayerNorm { .. }
            | Op::RmsNorm { .. }
            | Op::Activation(_)
            | Op::Add
            | Op::Multiply
            | Op::First
            | Op::Mean
            | Op::Last
            | Op::Output(_) => Between::default(),
        }
    }

    /// Scores and values: each `query tokens x key tokens x (heads head_dim)`.
    fn attention_macs(&self, op: OpId) -> Between {
        let operands = self.operands(op);
        let (Some(&query), Some(&key)) = (operands.first(), operands.get(1)) else {
            return Between::default();
        };
        let query = &self.ops[query].value;
        let key = &self.ops[key].value;
        let width = query.last().map_or(Between::exact(1), |dim| self.dim(dim));
        self.rows(query) * self.rows(key) * width * 2
    }

    /// The router, and `top_k` experts of mean size.
    fn expert_macs(&self, experts: &Experts) -> Between {
        let all: Between = experts
            .experts
            .iter()
            .flat_map(super::op::Expert::sites)
            .map(|site| self.matrix_macs(site))
            .sum();
        let count = experts.experts.len().max(1) as u64;
        let active = experts.top_k as u64;
        let chosen = Between { min: all.min * active / count, max: all.max * active / count };
        self.matrix_macs(experts.router) + chosen
    }

    /// Products for one row of inputs.
    fn matrix_macs(&self, site: SiteId) -> Between {
        match &self.sites[site].weight {
            Weight::Dense(view) => self.product(&self.free_dims(view)),
            Weight::Factored { left, right } => {
                self.product(&self.free_dims(left)) + self.product(&self.free_dims(right))
            }
        }
    }

    /// Rows of a value: all dims but the last, except that a value without tokens is one row.
    fn rows(&self, value: &[Dim]) -> Between {
        match value.split_last() {
            Some((_, rows)) => self.product(rows),
            None => Between::exact(1),
        }
    }

    fn product(&self, dims: &[Dim]) -> Between {
        dims.iter().map(|dim| self.dim(dim)).fold(Between::exact(1), Mul::mul)
    }

    fn dim(&self, dim: &Dim) -> Between {
        dim.0.iter().map(|&axis| Between::from(self.extent(axis))).fold(Between::exact(1), Mul::mul)
    }

    /// The axis of text tokens, whose extent the input decides; none for pictures.
    pub fn text_tokens(&self) -> Option<AxisId> {
        self.ops.node_weights().find_map(|op| match (&op.op, op.value.as_slice()) {
            (Op::TokenIds, [tokens]) => tokens.0.first().copied(),
            _ => None,
        })
    }

    /// States the input that costs are for: the number of tokens of a text. Pictures have theirs from the config.
    pub fn set_tokens(&mut self, tokens: usize) {
        if let Some(axis) = self.text_tokens() {
            debug_assert_eq!(self.axes[axis].role, Role::Tokens);
            self.axes[axis].extent = Extent::exact(tokens);
        }
    }
}
