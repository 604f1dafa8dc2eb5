//! Fewer tokens of a picture, in a model that reads it beside a text.
//!
//! The picture's tokens stand among the text's from one place on. They go before a layer, by what the attention of the layer before
//! says, and no token of the text ever goes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::axis::{AxisId, Extent};
use super::op::Op;
use super::param::{SiteId, Weight};
use super::reduction::{NotReduced, Place, ReductionRule, TokenCount};
use super::{Graph, OpId};

/// Which of a picture's tokens go before a layer. Those that stay keep their order.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PictureRule {
    /// Those that the last token attends to least, on average over heads. What stays keeps its place: a position is that of the whole
    /// sequence. FastV, arXiv:2403.06764, section 4.
    LastQuery,
    /// Those that the text behind the picture hardly attends to: less than `global` of what it attends to the picture, all its tokens
    /// together, and less than `individual` by each of them. Key tokens stay: this share of the patches, marked where the tower
    /// that sees the picture ends. Places are counted anew. MustDrop, arXiv:2411.10803, section 3.3.
    ByText { global: f64, individual: f64, key: f64 },
    /// Windows of a picture's patches whose mean cosine of pairs is `similarity` or more become one token each, behind the class
    /// token and before the patches that stay. MustDrop, section 3.2.
    MergeWindows {
        /// Rows and columns of a window.
        window: usize,
        similarity: f64,
        /// Rows and columns of the picture.
        grid: [usize; 2],
    },
    /// None goes: this share of the patches, rounded up, those that the class token attends to most, are key tokens from here on.
    /// MustDrop, section 3.2.
    Keys { share: f64 },
}

impl PictureRule {
    /// Whether it is of the tower that sees the picture, before the text comes in.
    pub fn sees(self) -> bool {
        matches!(self, Self::MergeWindows { .. } | Self::Keys { .. })
    }
}

/// How many tokens of a value are of the picture, and how many of those are key tokens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pictured {
    all: Extent,
    keys: Extent,
}

/// How many patches are key tokens. A share such as 8 % of 25 is 2.0000000000000004 in floating point.
pub(crate) fn key_tokens(share: f64, patches: usize) -> usize {
    ((share * patches as f64 - 1e-9).ceil().max(0.0) as usize).min(patches)
}

/// How many of a picture's tokens stay.
pub(crate) fn left_of_picture(keep: TokenCount, tokens: usize) -> usize {
    let left = match keep {
        TokenCount::Less(gone) => tokens.saturating_sub(gone),
        TokenCount::Share(share) => key_tokens(share, tokens),
        TokenCount::Exactly(all) => all.min(tokens),
        // Not found out yet; no rule of pictures is learned.
        TokenCount::Open => tokens,
    };
    left.max(tokens.min(1))
}

impl Graph {
    /// Puts a rule at the end of the layer before the one of this number.
    pub(super) fn reduce_picture(
        &mut self,
        layer: usize,
        keep: TokenCount,
        rule: &PictureRule,
    ) -> Result<AxisId, NotReduced> {
        let place = self.before(layer)?;
        if let Some(why) = self.needs_places(place.stream) {
            return Err(NotReduced::Needed(why));
        }
        let inserted = |op: OpId| matches!(self.ops[op].op, Op::InsertPicture { .. });
        let has_picture = self.ops.node_indices().any(|op| inserted(op) && self.reads(place.stream, op));
        let is_seen = self.behind(place.stream).into_iter().any(inserted);
        let rule = match *rule {
            rule if rule.sees() && !is_seen => {
                let why = "its tokens are no picture's that go among a text's later";
                return Err(NotReduced::NoPicture(why.into()));
            }
            rule if !rule.sees() && !has_picture => {
                return Err(NotReduced::NoPicture("none of its tokens are a picture's".into()));
            }
            PictureRule::MergeWindows { window, similarity, .. } => {
                let grid = self.grid(&place, window)?;
                PictureRule::MergeWindows { window, similarity, grid }
            }
            rule => rule,
        };
        if let PictureRule::ByText { key, .. } = rule {
            self.mark_keys(key)?;
        }
        let axis = self.put_at_end(&place, keep, rule)?;
        self.follow_tokens();
        Ok(axis)
    }

    /// Puts a rule at the end of a layer; the next one begins behind it.
    fn put_at_end(
        &mut self,
        place: &Place,
        keep: TokenCount,
        rule: PictureRule,
    ) -> Result<AxisId, NotReduced> {
        let output = place.stream;
        let (made, axis) = self.put_reduction(place, keep, ReductionRule::Picture(rule))?;
        for block in self.blocks.iter_mut() {
            for end in [&mut block.input, &mut block.output] {
                if *end == output {
                    *end = made;
                }
            }
        }
        Ok(axis)
    }

    /// Marks the key tokens of the picture, where the last layer ends that the text's tower reads.
    fn mark_keys(&mut self, share: f64) -> Result<(), NotReduced> {
        let marked = self.ops.node_weights().find_map(|made| match &made.op {
            Op::ReduceTokens(of) => match of.rule {
                ReductionRule::Picture(PictureRule::Keys { share }) => Some(share),
                _ => None,
            },
            _ => None,
        });
        match marked {
            _ if share <= 0.0 => return Ok(()),
            Some(marked) if marked == share => return Ok(()),
            Some(marked) => {
                let why = format!(
                    "{} of the patches are key tokens already",
                    crate::diagnostic::numbers::share(marked)
                );
                return Err(NotReduced::NoPicture(why));
            }
            None => {}
        }
        let is_seen = |&number: &usize| {
            let behind = self.behind(self.blocks[number].output);
            behind.into_iter().any(|op| matches!(self.ops[op].op, Op::InsertPicture { .. }))
        };
        let last = (0..self.blocks.len()).rev().find(is_seen);
        let none = || {
            NotReduced::NoPicture("no layer sees the picture whose attention could say what is key".into())
        };
        let place = self.end_of(last.ok_or_else(none)?)?;
        self.put_at_end(&place, TokenCount::Share(1.0), PictureRule::Keys { share })?;
        Ok(())
    }

    /// The end of the layer before one.
    fn before(&self, layer: usize) -> Result<Place, NotReduced> {
        let none =
            || NotReduced::NoPicture("no layer stands before it whose attention could say which".into());
        let number = layer.checked_sub(1).ok_or_else(none)?;
        match self.blocks[number].output == self.blocks[layer].input {
            true => self.end_of(number),
            false => Err(none()),
        }
    }

    /// The end of a layer.
    fn end_of(&self, number: usize) -> Result<Place, NotReduced> {
        let block = self.blocks[number].clone();
        if matches!(self.ops[block.output].op, Op::ReduceTokens(_)) {
            return Err(NotReduced::Already);
        }
        let attention = self.attention_of(&block).ok_or(NotReduced::NoPlace)?;
        // The rule reads the attention's tokens and the stream's as the same ones.
        let tokens = |op: OpId| self.ops[op].value.first();
        match tokens(attention) == tokens(block.output) {
            true => Ok(Place { stream: block.output, block, attention }),
            false => Err(NotReduced::Already),
        }
    }

    /// What behind a value cannot do with tokens that carry their places.
    fn needs_places(&self, stream: OpId) -> Option<String> {
        let needs = |op: OpId| -> Option<String> {
            let place = self.tree.path(self.ops[op].node);
            match &self.ops[op].op {
                Op::Attention(of) if of.window.is_some() || of.relative.is_some() => {
                    Some(format!("`{place}` reads how far tokens are apart"))
                }
                Op::LatentAttention => Some(format!("`{place}` is only counted")),
                Op::Positions { .. } | Op::GridPositions { .. } if self.reads(op, stream) => {
                    Some(format!("`{place}` has a row for each token"))
                }
                _ => None,
            }
        };
        self.behind(stream).into_iter().find_map(needs)
    }

    /// Rows and columns of the picture whose patches are the tokens at a place, in windows.
    fn grid(&self, place: &Place, window: usize) -> Result<[usize; 2], NotReduced> {
        let of = self.ops.node_indices().find_map(|op| match self.ops[op].op {
            Op::Patches(site) if self.reads(place.stream, op) => Some((op, site)),
            _ => None,
        });
        let Some((op, site)) = of else {
            return Err(NotReduced::NoPicture("its tokens are not patches".into()));
        };
        let picture = self.operands(op).first().map(|&pixels| self.ops[pixels].value.clone());
        let side = |at: usize| {
            let whole = picture.as_ref().and_then(|dims| dims.get(at)).map_or(0, |dim| self.dim_extent(dim));
            whole / self.kernel(site)[at - 1].max(1)
        };
        let grid = [side(1), side(2)];
        let patches = self.extent_of(&self.ops[place.stream].value[0]).known();
        if patches != Some(grid[0] * grid[1] + self.protected_tokens(place.stream)) {
            return Err(NotReduced::Already);
        }
        match window > 1 && grid.iter().all(|side| side.is_multiple_of(window)) {
            true => Ok(grid),
            false => {
                let [rows, columns] = grid;
                let why =
                    format!("{rows} x {columns} patches are not divided into windows of {window} x {window}");
                Err(NotReduced::NoPicture(why))
            }
        }
    }

    /// Height and width of a convolution's kernel.
    fn kernel(&self, site: SiteId) -> [usize; 2] {
        let (Weight::Dense(view) | Weight::Factored { right: view, .. }) = &self.sites[site].weight;
        match self.params[view.param].dims.as_slice() {
            [.., height, width] => [self.dim_extent(height), self.dim_extent(width)],
            _ => [1, 1],
        }
    }

    /// Keeps count of a picture's tokens at an operation. Whether it gave the operation its number of tokens.
    pub(super) fn follow_picture(&mut self, op: OpId, pictured: &mut BTreeMap<OpId, Pictured>) -> bool {
        let operands = self.operands(op);
        let tokens = |graph: &Self, at: usize| {
            let dims = operands.get(at).map(|&operand| graph.ops[operand].value.as_slice());
            dims.and_then(|dims| dims.first()).map_or(Extent::exact(0), |dim| graph.extent_of(dim))
        };
        let before = tokens(self, 0);
        let known = operands.first().and_then(|first| pictured.get(first)).copied();
        let (extent, found) = match &self.ops[op].op {
            Op::Behind(first) => {
                let less = |tokens: usize| tokens.saturating_sub(*first);
                (Extent::between(less(before.min), less(before.max)), known)
            }
            Op::InsertPicture { .. } => {
                let all = tokens(self, 1);
                let keys = operands.get(1).and_then(|picture| pictured.get(picture));
                let keys = keys.map_or(Extent::exact(0), |it| it.keys);
                let both = Extent::between(before.min + all.min, before.max + all.max);
                (both, Some(Pictured { all, keys }))
            }
            Op::ReduceTokens(of) => {
                let ReductionRule::Picture(rule) = of.rule else { return false };
                let front = of.protected;
                match rule {
                    PictureRule::MergeWindows { window, grid: [rows, columns], .. } => {
                        let all = window * window;
                        let merged = (rows * columns / all.max(1)) * all.saturating_sub(1);
                        (Extent::between(before.min.saturating_sub(merged), before.max), known)
                    }
                    PictureRule::Keys { share } => {
                        let keys = |tokens: usize| key_tokens(share, tokens.saturating_sub(front));
                        let keys = Extent::between(keys(before.min), keys(before.max));
                        (before, Some(Pictured { all: before, keys }))
                    }
                    PictureRule::LastQuery | PictureRule::ByText { .. } => {
                        let Some(Pictured { all, keys }) = known else { return false };
                        let (left, keys) = match rule {
                            PictureRule::ByText { .. } => (Extent::between(keys.min, all.max), keys),
                            _ => {
                                let left = |all: usize| left_of_picture(of.keep, all);
                                (Extent::between(left(all.min), left(all.max)), Extent::between(0, keys.max))
                            }
                        };
                        let text = before.min - all.min.min(before.min);
                        let extent = Extent::between(text + left.min, text + left.max);
                        (extent, Some(Pictured { all: left, keys }))
                    }
                }
            }
            _ => {
                if let Some(known) = known {
                    pictured.insert(op, known);
                }
                return false;
            }
        };
        if let Some(found) = found {
            pictured.insert(op, found);
        }
        if let Some(&axis) = self.ops[op].value.first().and_then(|dim| dim.0.first()) {
            self.axes[axis].extent = extent;
        }
        true
    }
}
