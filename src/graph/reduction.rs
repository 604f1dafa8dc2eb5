//! Fewer tokens from a place of the model on: how many stay, which, and what becomes of the others.
//!
//! A reduction stands between the attention and the feed-forward of a layer, reads the queries and keys of that attention, and
//! gives every value behind it another token axis. No weight changes.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::Direction;
use petgraph::visit::EdgeRef;
use serde::{Deserialize, Serialize};

use super::axis::{Axis, AxisId, Dim, Extent, Role};
use super::op::{Attention, Op, OpNode};
use super::picture::{PictureRule, Pictured};
use super::token_rules::{ByEnergy, Ranking};
use super::{Block, CannotSay, Graph, OpId};

/// Operands: tokens `[tokens, hidden]`, and query and key of the layer's attention.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reduction {
    /// Tokens in front that always stay: a class token, a distillation token.
    pub protected: usize,
    pub keep: TokenCount,
    pub rule: ReductionRule,
    /// The attention whose queries and keys it reads.
    pub attention: Attention,
}

/// How many tokens stay, of those that are not protected unless it says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenCount {
    /// So many go; where tokens are merged in pairs, half of them at most.
    Less(usize),
    /// This share stays, rounded up.
    Share(f64),
    /// So many stay, protected ones among them.
    Exactly(usize),
    /// As many as the run will find; all of them at most.
    Open,
}

/// Which tokens go, and where. Of equal scores the first token has the better one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReductionRule {
    /// Tokens at even places, each with the most similar one at an odd place: the most similar pairs become one, by the cosine of
    /// keys averaged over heads. Token Merging (ToMe), arXiv:2210.09461, section 3.
    MergePairs,
    /// Tokens that are like many others are paired, the rest stays. Of those sorted by energy, even places go to odd ones.
    /// PiToMe, arXiv:2405.16148, algorithm 1.
    MergeByEnergy(ByEnergy),
    /// The tokens that the first one attends to least go into those that they are most like by their features, and before that
    /// all but `kept` are dropped. DiffRate, arXiv:2305.17997, section 3.
    MergeByAttention { kept: usize },
    /// The tokens of the lowest scores go.
    Drop {
        score: TokenScore,
        /// Whether those that go are added up, times their scores, in one token at the end. EViT, arXiv:2202.07800, equation 3.
        fuse: bool,
        /// Whether those that stay are sorted by their scores; else they keep their order.
        sorted: bool,
    },
    /// Tokens that are like more important ones go, then those of the lowest page rank. Zero-TPrune, arXiv:2305.17328, section 3.
    DropByRank(Ranking),
    /// Of a picture's tokens, in a model that reads a text beside it.
    Picture(PictureRule),
}

/// What a token is worth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenScore {
    /// How much the first token attends to it, on average over heads.
    FirstAttention,
    /// How much all tokens attend to it, on average over heads. PoWER-BERT, arXiv:2001.08950, section 3.2.
    AttentionMass,
    /// Chance: number i is that of the token at place i, of the sequence with this start.
    Random { start: u64 },
}

impl ReductionRule {
    /// Whether tokens that go become a part of others.
    pub fn merges(&self) -> bool {
        match self {
            Self::Picture(rule) => matches!(rule, PictureRule::MergeWindows { .. }),
            Self::Drop { .. } | Self::DropByRank(_) => false,
            Self::MergePairs | Self::MergeByEnergy(_) | Self::MergeByAttention { .. } => true,
        }
    }

    /// Whether tokens have sizes from then on.
    pub fn makes_sizes(&self) -> bool {
        match self {
            Self::MergePairs | Self::MergeByAttention { .. } => true,
            Self::MergeByEnergy(energy) => !energy.restart,
            Self::Drop { .. } | Self::DropByRank(_) | Self::Picture(_) => false,
        }
    }
}

impl Reduction {
    /// How many of so many tokens are left.
    pub fn after(&self, tokens: usize) -> usize {
        let protected = self.protected.min(tokens);
        let free = tokens - protected;
        let similar = match self.rule {
            ReductionRule::DropByRank(ranking) => ranking.similar.min(free / 2),
            _ => 0,
        };
        let free = free - similar;
        let left = match self.keep {
            TokenCount::Less(gone) => free - gone.min(free),
            // A share such as 70 % of 10 is 7.000000000000001 in floating point.
            TokenCount::Share(share) => ((share * free as f64 - 1e-9).ceil().max(0.0) as usize).min(free),
            TokenCount::Exactly(all) => all.saturating_sub(protected).min(free),
            TokenCount::Open => free,
        };
        let left = match self.rule {
            // Each pair loses one.
            ReductionRule::MergePairs | ReductionRule::MergeByEnergy(_) => left.max(free - free / 2),
            ReductionRule::MergeByAttention { .. }
            | ReductionRule::Drop { .. }
            | ReductionRule::DropByRank(_)
            | ReductionRule::Picture(_) => left.max(free.min(1)),
        };
        let fused = matches!(self.rule, ReductionRule::Drop { fuse: true, .. }) && left < free;
        protected + left + usize::from(fused)
    }
}

/// Why tokens cannot be reduced in a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotReduced {
    /// No attention followed by a feed-forward, each added to the stream.
    NoPlace,
    /// It has fewer tokens already.
    Already,
    /// Something behind needs every token at its place; what, and where.
    Needed(String),
    /// The rule is of a picture's tokens, and there are none, or they do not lie as it needs them.
    NoPicture(String),
}

/// Where a layer's tokens can be reduced.
pub(super) struct Place {
    pub block: Block,
    /// The stream between attention and feed-forward, or at the layer's end.
    pub stream: OpId,
    pub attention: OpId,
}

impl Graph {
    /// Puts a reduction into the layer of this number. `by_size` lets the attention of later layers weigh a token by how many it
    /// stands for (ToMe's proportional attention).
    ///
    /// # Errors
    /// Why it cannot be; nothing has changed then.
    pub fn reduce_tokens(
        &mut self,
        layer: usize,
        keep: TokenCount,
        rule: ReductionRule,
        by_size: bool,
    ) -> Result<AxisId, NotReduced> {
        if let ReductionRule::Picture(rule) = &rule {
            return self.reduce_picture(layer, keep, rule);
        }
        let place = self.reducible(layer)?;
        let counts_once = |&op: &OpId| self.is_flow(op);
        if let Some(flow) = self.behind(place.stream).into_iter().find(counts_once).filter(|_| by_size) {
            let path = self.tree.path(self.ops[flow].node);
            return Err(NotReduced::Needed(format!(
                "`{path}` is flow attention, which weighs no token by its size"
            )));
        }
        let (made, axis) = self.put_reduction(&place, keep, rule)?;
        if by_size {
            self.weigh_sizes_behind(made);
        }
        self.follow_tokens();
        Ok(axis)
    }

    /// Puts a reduction behind a value; what read the value reads what is left.
    pub(super) fn put_reduction(
        &mut self,
        place: &Place,
        keep: TokenCount,
        rule: ReductionRule,
    ) -> Result<(OpId, AxisId), NotReduced> {
        let Op::Attention(attention) = self.ops[place.attention].op.clone() else {
            return Err(NotReduced::NoPlace);
        };
        let protected = self.protected_tokens(place.stream);
        let operands = self.operands(place.attention);
        let readers: Vec<_> = self
            .ops
            .edges_directed(place.stream, Direction::Outgoing)
            .map(|edge| (edge.id(), edge.target(), *edge.weight()))
            .collect();
        let node = place.block.node;
        let axis = self.axes.push(Axis { role: Role::Tokens, extent: Extent::exact(0), node, key: None });
        let mut value = self.ops[place.stream].value.clone();
        value[0] = axis.into();
        let reduction = Reduction { protected, keep, rule, attention };
        let made = self.ops.add_node(OpNode { op: Op::ReduceTokens(reduction), node, value });
        for (edge, reader, operand) in readers {
            self.ops.remove_edge(edge);
            self.ops.add_edge(made, reader, operand);
        }
        for (number, operand) in [place.stream, operands[0], operands[1]].into_iter().enumerate() {
            self.ops.add_edge(operand, made, number);
        }
        Ok((made, axis))
    }

    /// Where tokens can be reduced in a layer.
    fn reducible(&self, layer: usize) -> Result<Place, NotReduced> {
        let block = self.blocks[layer].clone();
        let (stream, attention) = self.between(&block).ok_or(NotReduced::NoPlace)?;
        if matches!(self.ops[stream].op, Op::ReduceTokens(_)) {
            return Err(NotReduced::Already);
        }
        if self.is_flow(attention) {
            return Err(NotReduced::Needed("flow attention has no scores by which tokens could go".into()));
        }
        match self.needs_all_tokens(stream) {
            Some(why) => Err(NotReduced::Needed(why)),
            None => Ok(Place { block, stream, attention }),
        }
    }

    /// The stream between attention and feed-forward of a layer, and the attention.
    fn between(&self, block: &Block) -> Option<(OpId, OpId)> {
        // Norms behind the sum, as BERT has them, belong to it.
        let mut last = block.output;
        while !matches!(self.ops[last].op, Op::Add) {
            last = *self.operands(last).first()?;
        }
        let [left, right] = self.operands(last)[..] else { return None };
        let stream = match (self.reads(left, right), self.reads(right, left)) {
            (true, false) => right,
            (false, true) => left,
            _ => return None,
        };
        let attention = self.attention_of(block)?;
        let fits = stream != block.input && self.reads(stream, attention) && !self.reads(attention, stream);
        fits.then_some((stream, attention))
    }

    /// The attention of a layer; the first, where there are several.
    pub(super) fn attention_of(&self, block: &Block) -> Option<OpId> {
        let inside: BTreeSet<_> = self.tree.below(block.node).into_iter().collect();
        let is_it =
            |&op: &OpId| matches!(self.ops[op].op, Op::Attention(_)) && inside.contains(&self.ops[op].node);
        self.ops.node_indices().find(is_it)
    }

    /// What depends on a value, in the order of numbers; found in one walk, as layers may be many.
    pub(super) fn behind(&self, op: OpId) -> BTreeSet<OpId> {
        let mut walk = petgraph::visit::Dfs::new(&*self.ops, op);
        let reached: BTreeSet<OpId> = std::iter::from_fn(|| walk.next(&*self.ops)).collect();
        reached.into_iter().filter(|&other| other != op).collect()
    }

    /// Whether a value depends on another.
    pub(super) fn reads(&self, value: OpId, other: OpId) -> bool {
        value != other && petgraph::algo::has_path_connecting(&*self.ops, other, value, None)
    }

    /// Tokens in front that something reads by number, or that were put there.
    pub(super) fn protected_tokens(&self, stream: OpId) -> usize {
        let put = self
            .ops
            .node_indices()
            .filter(|&op| matches!(self.ops[op].op, Op::Prepend(_)) && self.reads(stream, op));
        let read = self.ops.node_weights().filter_map(|made| match made.op {
            Op::Token(number) => Some(number + 1),
            _ => None,
        });
        put.count().max(read.max().unwrap_or(0))
    }

    /// What behind a value needs every token at its place.
    fn needs_all_tokens(&self, stream: OpId) -> Option<String> {
        let pooled = |op: OpId| self.ops[op].value.len() < 2;
        let outputs = || self.ops.node_indices().filter(|&op| matches!(self.ops[op].op, Op::Output(_)));
        let needs = |op: OpId| -> Option<String> {
            let place = self.tree.path(self.ops[op].node);
            match &self.ops[op].op {
                Op::Attention(of) if of.causal => {
                    Some(format!("`{place}` is causal: text is made from every token"))
                }
                Op::LatentAttention => {
                    Some(format!("`{place}` reads the places of tokens relative to each other"))
                }
                Op::Attention(of) if of.rope.is_some() || of.window.is_some() || of.relative.is_some() => {
                    Some(format!("`{place}` reads the places of tokens relative to each other"))
                }
                Op::Positions { .. } | Op::GridPositions { .. } => {
                    Some(format!("`{place}` has a row for each token"))
                }
                Op::Last => Some("the last token is read at the end".into()),
                Op::Output(name) if name == "logits" && !pooled(op) => {
                    Some("the head says something of every token".into())
                }
                _ => None,
            }
        };
        let found = self.behind(stream).into_iter().find_map(needs);
        // The hidden states of an encoder may be fewer where something else reads them; alone they are the model's answer.
        let answers = outputs().any(pooled);
        found.or_else(|| {
            (!answers).then(|| "the hidden state of every token is all that the model gives".into())
        })
    }

    /// Lets attention behind a reduction weigh keys by the sizes of their tokens, and what reads that attention too.
    fn weigh_sizes_behind(&mut self, reduction: OpId) {
        for op in self.behind(reduction) {
            if let Op::Attention(of) | Op::ReduceTokens(Reduction { attention: of, .. }) =
                &mut self.ops[op].op
            {
                of.by_size = true;
            }
        }
    }

    /// Gives every value the token axis of what it is made from, and each reduced axis its number of tokens.
    pub(super) fn follow_tokens(&mut self) {
        let follows = |op: &Op| matches!(op, Op::ReduceTokens(_) | Op::InsertPicture { .. });
        if !self.ops.node_weights().any(|made| follows(&made.op)) {
            return;
        }
        let mut pictured: BTreeMap<OpId, Pictured> = BTreeMap::new();
        for op in self.schedule() {
            let Some(&first) = self.operands(op).first() else { continue };
            if self.follow_picture(op, &mut pictured) {
                continue;
            }
            let tokens = match self.ops[first].value.as_slice() {
                [tokens, _] => tokens.clone(),
                _ => continue,
            };
            match &self.ops[op].op {
                Op::ReduceTokens(reduction) => {
                    let Extent { min, max, .. } = self.extent_of(&tokens);
                    let least = match reduction.keep {
                        TokenCount::Open => min.min(reduction.protected + 1),
                        _ => reduction.after(min),
                    };
                    let extent = Extent::between(least, reduction.after(max));
                    let axis = self.ops[op].value[0].0[0];
                    self.axes[axis].extent = extent;
                }
                Op::Prepend(_) => {}
                _ if self.ops[op].value.len() == 2 => self.ops[op].value[0] = tokens,
                _ => {}
            }
        }
    }

    /// Lets the reductions of some layers keep other numbers of tokens.
    pub fn recount_tokens(&mut self, layers: &[usize], counts: &[TokenCount]) {
        // Pictures' tokens go at the end of the layer before.
        let nodes = |before: usize| -> Vec<_> {
            layers.iter().map(|&layer| self.blocks[layer.saturating_sub(before)].node).collect()
        };
        let (own, before) = (nodes(0), nodes(1));
        for made in self.ops.node_weights_mut() {
            let Op::ReduceTokens(reduction) = &mut made.op else { continue };
            let nodes = if matches!(reduction.rule, ReductionRule::Picture(_)) { &before } else { &own };
            if let Some(at) = nodes.iter().position(|node| *node == made.node) {
                reduction.keep = counts[at];
            }
        }
        self.follow_tokens();
    }

    /// The most tokens that any layer begins with.
    pub fn most_layer_tokens(&self) -> usize {
        let of = |block: &Block| self.ops[block.input].value.first().map_or(0, |dim| self.dim_extent(dim));
        self.blocks.iter().map(of).max().unwrap_or(0)
    }

    /// Why no config can say this model, where tokens become fewer on its way.
    pub(super) fn fewer_tokens(&self) -> Option<CannotSay> {
        let (layer, _) = *self.reductions().first()?;
        let path = self.tree.path(self.blocks[layer].node);
        Some(CannotSay { key: "architectures".into(), why: format!("tokens become fewer in `{path}`") })
    }

    pub(super) fn extent_of(&self, dim: &Dim) -> Extent {
        match dim.0.as_slice() {
            [axis] => self.extent(*axis),
            _ => Extent::exact(self.dim_extent(dim)),
        }
    }

    /// The reductions in the order in which they run, with the layer of each.
    pub fn reductions(&self) -> Vec<(usize, &Reduction)> {
        let of = |op: OpId| {
            let Op::ReduceTokens(reduction) = &self.ops[op].op else { return None };
            let layer = self.blocks.iter().position(|block| block.node == self.ops[op].node)?;
            Some((layer, reduction))
        };
        self.schedule().into_iter().filter_map(of).collect()
    }
}
