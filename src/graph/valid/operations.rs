//! Whether operations fit their operands.

use super::super::axis::Dim;
use super::super::op::{Experts, GroupLimit, Op, OpNode, Scoring};
use super::super::param::{SiteId, Weight};
use super::super::{Graph, OpId};
use super::{Checked, ensure};

impl Graph {
    pub(super) fn valid_op(&self, id: OpId) -> Checked {
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
            (Op::GridPositions { table, grid: [rows, columns], .. }, [x]) => {
                let positions = self.dim_extent(&self.site_dims(*table).0);
                same(x)
                    && value.last() == Some(&self.ins(*table))
                    && rows.checked_mul(*columns).is_some_and(|patches| patches + 1 == positions)
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
                same(x) && value.last().is_some_and(|features| normed(features, &self.site_dims(*site).0))
            }
            (Op::LayerScale(site), [x]) => same(x) && value.last() == Some(&self.site_dims(*site).0),
            (Op::Activation(_) | Op::Scale(_) | Op::Output(_), [x]) => same(x),
            (Op::Attention(_), [query, keys, values]) => {
                same(query) && keys == values && attends(self, query, keys)
            }
            (Op::ReduceTokens(_), [x, query, key]) => {
                value.len() == 2 && x.last() == value.last() && rows(query) == rows(x) && rows(key) == rows(x)
            }
            (Op::LatentAttention, [query, keys, turned]) => self.attends_latently(query, keys, turned, value),
            (Op::Part(first), [x]) => {
                let width = |dims: &[Dim]| dims.last().map_or(0, |dim| self.dim_extent(dim));
                rows(x) == rows(value) && first.checked_add(width(value)).is_some_and(|end| end <= width(x))
            }
            (Op::Experts(experts), [x]) => same(x) && x.last().is_some_and(|x| self.fit_experts(experts, x)),
            (Op::Add | Op::Multiply, [left, right]) => same(left) && same(right),
            (Op::Weigh, [x, weights]) => {
                let one = weights.last().is_some_and(|dim| self.dim_extent(dim) == 1);
                same(x) && one && rows(x) == rows(weights)
            }
            (Op::Token(number), [x]) => {
                let there = x.first().is_some_and(|tokens| *number < self.dim_extent(tokens));
                there && x.len() == 2 && value == &x[1..]
            }
            (Op::Behind(_), [x]) => value.len() == 2 && x.len() == 2 && x.last() == value.last(),
            (Op::InsertPicture { .. }, [text, picture]) => {
                let like = |dims: &[Dim]| dims.len() == 2 && dims.last() == value.last();
                value.len() == 2 && like(text) && like(picture)
            }
            (Op::Mean | Op::Last, [x]) => x.len() == 2 && value == &x[1..],
            _ => false,
        }
    }

    /// The innermost dim of a table, and of a token.
    fn ins(&self, site: SiteId) -> Dim {
        match &self.sites[site].weight {
            Weight::Dense(view) | Weight::Factored { right: view, .. } => {
                self.free_dims(view).pop().unwrap_or_default()
            }
        }
    }

    fn fit_experts(&self, experts: &Experts, features: &Dim) -> bool {
        let count = experts.experts.len();
        let counted = self.axes.get(experts.axis).is_some_and(|axis| axis.extent.max == count);
        let router = self.site_dims(experts.router) == (experts.routes_axis().into(), features.clone());
        let routes = experts.routes.as_ref().map_or(count, |routes| routes.to.len());
        let lead = experts.routes.as_ref().is_none_or(|routes| {
            let counted = self.axes.get(routes.axis).is_some_and(|axis| axis.extent.max == routes.to.len());
            counted && routes.to.iter().all(|&expert| expert < count)
        });
        let skips = experts.skip_below.is_none_or(|share| experts.top_k == 2 && (0.0..=1.0).contains(&share));
        let each = experts.experts.iter().all(|expert| {
            let (inner, ins) = self.site_dims(expert.up);
            let gate = expert.gate.is_none_or(|gate| self.site_dims(gate) == (inner.clone(), ins.clone()));
            gate && ins == *features && self.site_dims(expert.down) == (features.clone(), inner)
        });
        let transfer = experts
            .transfer
            .is_none_or(|site| self.site_dims(site) == (experts.axis.into(), experts.routes_axis().into()));
        let chosen_from = match (experts.transfer, experts.nulls) {
            (Some(_), _) => count,
            (None, Some(nulls)) => routes + self.axes.get(nulls.axis).map_or(0, |axis| axis.extent.max),
            (None, None) => routes,
        };
        counted
            && router
            && (lead || experts.transfer.is_some())
            && skips
            && each
            && transfer
            && self.fit_choice(experts, features)
            && (1..=chosen_from).contains(&experts.top_k)
    }

    /// Whether what changes a router's choice fits it.
    fn fit_choice(&self, experts: &Experts, features: &Dim) -> bool {
        let correction =
            experts.correction.is_none_or(|site| self.site_dims(site).0 == experts.routes_axis().into());
        let nulls = experts
            .nulls
            .is_none_or(|nulls| self.site_dims(nulls.router) == (nulls.axis.into(), features.clone()));
        let limit = experts.limit.is_none_or(|GroupLimit { groups, chosen }| (1..=groups).contains(&chosen));
        // What is not run together is not to be there together.
        let plain =
            experts.scoring == Scoring::Softmax && experts.correction.is_none() && experts.limit.is_none();
        let beside = [experts.nulls.is_some(), experts.transfer.is_some(), experts.skip_below.is_some()];
        let extras = beside.into_iter().filter(|it| *it).count();
        correction && nulls && limit && (plain || extras == 0) && extras <= 1
    }

    /// Heads of `query` as wide as the part of a key that a head has for itself and the part that all share.
    fn attends_latently(&self, query: &[Dim], keys: &[Dim], turned: &[Dim], value: &[Dim]) -> bool {
        let heads = |dims: &[Dim]| match dims {
            [_, Dim(axes)] => axes.split_last().map(|(dim, heads)| (self.extent(*dim).max, heads.to_vec())),
            _ => None,
        };
        let (Some((query, of)), Some((key, keys)), Some((made, values))) =
            (heads(query), heads(keys), heads(value))
        else {
            return false;
        };
        let turned = turned.last().map_or(0, |dim| self.dim_extent(dim));
        of == keys && of == values && query + made == key + turned
    }
}

/// A norm is of all features, or of each head's.
fn normed(features: &Dim, weight: &Dim) -> bool {
    features == weight || !weight.0.is_empty() && features.0.ends_with(&weight.0)
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
