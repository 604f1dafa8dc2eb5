//! What a graph costs: parameters, multiply-accumulates, bytes. Intervals while extents are.
//!
//! MACs count the products of linear, convolution and attention operations (scores and values; causal ones in full).
//! Norms, activations, softmax, biases and lookups are not counted; a patch embedding counts its patches.
//! One MAC is two FLOPs.

use std::collections::BTreeSet;
use std::ops::{Add, Mul};

use serde::{Deserialize, Serialize};

use super::axis::{AxisId, Dim, Extent, Role};
use super::between::Between;
use super::op::{Expert, Experts, Op, OpNode};
use super::param::{Param, SiteId, View, Weight};
use super::tree::NodeId;
use super::{Graph, OpId};

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
    /// How long one forward pass takes by a table of measured times; 0 without one.
    pub nanoseconds: Between,
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
            nanoseconds: self.nanoseconds + other.nanoseconds,
        }
    }
}

/// Costs of every part of a tree, by its top node.
#[derive(Debug, Clone)]
pub struct Costs(Vec<Cost>);

impl std::ops::Index<NodeId> for Costs {
    type Output = Cost;

    fn index(&self, node: NodeId) -> &Cost {
        &self.0[node.index()]
    }
}

impl Graph {
    /// The whole model's cost for a batch.
    pub fn cost(&self, batch: u64) -> Cost {
        self.costs(batch)[self.tree.root()]
    }

    /// What lies at each tree node and below. A tied weight counts where its first site is.
    pub fn costs(&self, batch: u64) -> Costs {
        let mut costs = vec![Cost::default(); self.tree.bound()];
        self.add_storage(&mut costs);
        for op in self.ops.node_indices() {
            for (node, macs) in self.macs_by_node(op) {
                costs[node.index()].macs += macs * batch;
            }
            for (node, time) in self.nanoseconds_by_node(op, batch) {
                costs[node.index()].nanoseconds += time;
            }
            let made = &self.ops[op];
            costs[made.node.index()].nanoseconds += self.rest_nanoseconds(op, batch);
            costs[made.node.index()].activation_bytes += self.product(&made.value) * 4 * batch;
        }
        for node in self.tree.below(self.tree.root()).into_iter().rev() {
            if let Some(parent) = self.tree[node].parent {
                costs[parent.index()] = costs[parent.index()] + costs[node.index()];
            }
        }
        Costs(costs)
    }

    /// The parameters that a token meets: all, but of the experts of a layer only as many as are chosen. `None` without experts.
    pub fn active_params(&self) -> Option<Between> {
        let of: Vec<&Experts> = self
            .ops
            .node_weights()
            .filter_map(|made| match &made.op {
                Op::Experts(experts) => Some(experts),
                _ => None,
            })
            .collect();
        let idle = |experts: &&Experts| {
            let count = experts.experts.len().max(1) as u64;
            let all: Between =
                experts.experts.iter().flat_map(Expert::sites).map(|site| self.stored(site)).sum();
            let idle = count.saturating_sub(experts.top_k as u64);
            Between { min: all.min * idle / count, max: all.max * idle / count }
        };
        let idle: Between = of.iter().map(idle).sum();
        let all = self.cost(1).params;
        let active = Between { min: all.min.saturating_sub(idle.max), max: all.max.saturating_sub(idle.min) };
        (!of.is_empty()).then_some(active)
    }

    /// Elements of the tensors of a site.
    fn stored(&self, site: SiteId) -> Between {
        self.sites[site].views().map(|view| self.view(view)).sum()
    }

    /// Each stored weight once: at the first site that reads it, a fused one part by part.
    fn add_storage(&self, costs: &mut [Cost]) {
        let mut add = |node: NodeId, param: &Param, elements: Between| {
            if !param.buffer {
                costs[node.index()].params += elements;
                costs[node.index()].bytes += elements * param.dtype.size() as u64;
            }
        };
        let mut read = vec![false; self.params.bound()];
        let mut parts = BTreeSet::new();
        for (_, site) in self.sites.iter() {
            for view in site.views() {
                let param = &self.params[view.param];
                let first = match view.fixed.is_empty() {
                    true => !read[view.param.index()],
                    false => parts.insert((view.param, &view.fixed)),
                };
                read[view.param.index()] = true;
                if first {
                    add(site.node, param, self.view(view));
                }
            }
        }
        for (_, param) in self.params.iter().filter(|(id, _)| !read[id.index()]) {
            add(self.tree.root(), param, self.product(&param.dims));
        }
    }

    /// Multiply-accumulates of an operation for one sample, where they belong: those of an expert at its node.
    fn macs_by_node(&self, op: OpId) -> Vec<(NodeId, Between)> {
        let made = &self.ops[op];
        let Op::Experts(experts) = &made.op else { return vec![(made.node, self.macs(op))] };
        let rows = self.rows(&made.value);
        let products = experts.deciding().filter(|&site| self.sites[site].kind.is_matrix());
        let router = products.map(|site| (site, rows * self.matrix_macs(site)));
        let each = experts.experts.iter().flat_map(Expert::sites);
        let each = each.map(|site| (site, self.shared(rows * self.matrix_macs(site), experts)));
        router.chain(each).map(|(site, macs)| (self.sites[site].node, macs)).collect()
    }

    /// Multiply-accumulates of one operation for one sample.
    pub fn macs(&self, op: OpId) -> Between {
        let made = &self.ops[op];
        match &made.op {
            Op::Linear(site) | Op::Patches(site) => self.rows(&made.value) * self.matrix_macs(*site),
            Op::Attention(_) => self.attention_macs(op),
            Op::LatentAttention => self.latent_macs(op),
            Op::Experts(_) => self.macs_by_node(op).into_iter().map(|(_, macs)| macs).sum(),
            Op::TokenIds
            | Op::Pixels
            | Op::Embedding(_)
            | Op::Positions { .. }
            | Op::GridPositions { .. }
            | Op::Types(_)
            | Op::Prepend(_)
            | Op::LayerNorm { .. }
            | Op::RmsNorm { .. }
            | Op::LayerScale(_)
            | Op::Activation(_)
            | Op::ReduceTokens(_)
            | Op::Part(_)
            | Op::Add
            | Op::Multiply
            | Op::Weigh
            | Op::Scale(_)
            | Op::Token(_)
            | Op::Behind(_)
            | Op::InsertPicture { .. }
            | Op::Mean
            | Op::Last
            | Op::Output(_) => Between::default(),
        }
    }

    /// Scores and values: each `query tokens x key tokens x (heads head_dim)`. Flow attention sums the products of keys and values of a
    /// head, and multiplies queries with that: each `tokens x (heads head_dim) x head_dim`; and eight times `tokens x (heads head_dim)` for
    /// what flows.
    fn attention_macs(&self, op: OpId) -> Between {
        let operands = self.operands(op);
        let (Some(&query), Some(&key)) = (operands.first(), operands.get(1)) else {
            return Between::default();
        };
        let query = &self.ops[query].value;
        let key = &self.ops[key].value;
        let width = query.last().map_or(Between::exact(1), |dim| self.dim(dim));
        if self.is_flow(op) {
            let head_dim = key.last().and_then(|dim| dim.0.last());
            let head_dim = head_dim.map_or(Between::exact(1), |&axis| Between::from(self.extent(axis)));
            return self.rows(query) * width * (head_dim * 2 + Between::exact(8));
        }
        self.rows(query) * self.rows(key) * width * 2
    }

    /// Scores over the width of a head's queries, values over that of what comes out.
    fn latent_macs(&self, op: OpId) -> Between {
        let operands = self.operands(op);
        let &[query, key, _] = operands.as_slice() else { return Between::default() };
        let (query, key) = (&self.ops[query].value, &self.ops[key].value);
        let width = |dims: &[Dim]| dims.last().map_or(Between::exact(1), |dim| self.dim(dim));
        self.rows(query) * self.rows(key) * (width(query) + width(&self.ops[op].value))
    }

    /// The share of a product, or of its time, that an expert does: `top_k` of them run for a token. With null experts any of
    /// the chosen may be one.
    pub(super) fn shared(&self, macs: Between, experts: &Experts) -> Between {
        let count = experts.experts.len().max(1) as u64;
        let active = (experts.top_k as u64).min(count);
        let least = experts.nulls.map_or(active, |nulls| {
            active.min((experts.top_k as u64).saturating_sub(self.extent(nulls.axis).max as u64))
        });
        let share = |macs: u64, active: u64| macs.saturating_mul(active) / count;
        Between { min: share(macs.min, least), max: share(macs.max, active) }
    }

    /// Products for one row of inputs.
    fn matrix_macs(&self, site: SiteId) -> Between {
        match &self.sites[site].weight {
            Weight::Dense(view) => self.view(view),
            Weight::Factored { left, right, rest } => {
                let rest = rest.as_ref().map_or(Between::default(), |rest| self.view(&rest.view));
                self.view(left) + self.view(right) + rest
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

    /// Elements of a view: its axes that are not fixed.
    fn view(&self, view: &View) -> Between {
        let fixed = |axis: &AxisId| view.fixed.iter().any(|(other, _)| other == axis);
        let axes = self.params[view.param].dims.iter().flat_map(|dim| &dim.0).filter(|axis| !fixed(axis));
        axes.map(|&axis| Between::from(self.extent(axis))).fold(Between::exact(1), Mul::mul)
    }

    pub(super) fn product(&self, dims: &[Dim]) -> Between {
        dims.iter().map(|dim| self.dim(dim)).fold(Between::exact(1), Mul::mul)
    }

    pub(super) fn dim(&self, dim: &Dim) -> Between {
        dim.0.iter().map(|&axis| Between::from(self.extent(axis))).fold(Between::exact(1), Mul::mul)
    }

    /// The axis of text tokens, whose extent the input decides; none for pictures.
    pub fn text_tokens(&self) -> Option<AxisId> {
        self.ops.node_weights().find_map(|op| match (&op.op, op.value.as_slice()) {
            (Op::TokenIds, [tokens]) => tokens.0.first().copied(),
            _ => None,
        })
    }

    /// How many tokens a text can have at most; `None` where no table of positions ends.
    pub fn most_tokens(&self) -> Option<usize> {
        let text = self.text_tokens()?;
        let of_text = |made: &OpNode| made.value.first().is_some_and(|tokens| tokens.contains(text));
        let rows = |made: &OpNode| match made.op {
            Op::Positions { table, offset } if of_text(made) => {
                let (rows, _) = self.site_dims(table);
                Some(self.dim_extent(&rows).saturating_sub(offset))
            }
            _ => None,
        };
        self.ops.node_weights().filter_map(rows).min()
    }

    /// States the input that costs are for: the number of tokens of a text. Pictures have theirs from the config.
    pub fn set_tokens(&mut self, tokens: usize) {
        if let Some(axis) = self.text_tokens() {
            debug_assert_eq!(self.axes[axis].role, Role::Tokens);
            self.axes[axis].extent = Extent::exact(tokens);
            self.follow_tokens();
        }
    }
}
