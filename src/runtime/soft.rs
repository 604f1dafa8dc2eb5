//! Tokens that are masked in the place of going, so that a loss has a gradient for how many go (DiffRate, arXiv:2305.17997, section 3).
//!
//! All samples keep their rows. After each reduction rows are sorted as if it had been done, those that are left in front; a
//! masked token is no key of any other one. What the first token says is then what the reduced model says, up to the small number
//! that keeps a masked softmax from dividing by zero.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{D, Device, Tensor, Var};

use super::Failure;
use super::interpret::{Value, Values};
use super::model::Model;
use super::op::{Combination, Host, combine, tensor};
use super::reduce::{Ranked, ranked_and_merged};
use super::rows::{Batch, Rows};
use super::watch::{Blind, Gates};
use super::weights::Loaded;
use crate::graph::{Attention, Graph, Op, OpId};

/// What keeps a masked softmax finite; the authors' number.
const EPS: f64 = 1e-6;

/// How a reduction masks: a number for each rank, 0 for those that it takes away and 1 for the others, and how many ranks it leaves.
#[derive(Debug, Clone)]
pub struct Masks {
    /// `[tokens]`, after tokens are dropped.
    pub prune: Tensor,
    /// `[tokens]`, after the others are merged.
    pub merge: Tensor,
    /// How many tokens the first leaves, protected ones among them.
    pub pruned: usize,
    pub merged: usize,
}

impl Masks {
    /// Masks of reductions that leave these numbers once tokens are dropped, and once they are merged, of `tokens` at first.
    ///
    /// Only tokens that are there go. Where a number is no smaller than what there is, its mask is all ones and no variable: so
    /// it is with the authors, and so what is dropped and what is merged differ after a step from equal numbers.
    ///
    /// # Errors
    /// Where a tensor cannot be made: an error of ours.
    pub fn of(tokens: usize, lists: &[[usize; 2]]) -> Result<Vec<Self>, Failure> {
        let mask = |left: usize, there: usize| -> Result<Tensor, Failure> {
            let goes = |rank: usize| (left..there).contains(&rank);
            let mask = tensor((0..tokens).map(|rank| f32::from(u8::from(!goes(rank)))).collect(), tokens)?;
            Ok(if left < there { Var::from_tensor(&mask)?.into_inner() } else { mask })
        };
        let mut there = tokens;
        let masks = lists.iter().map(|&[pruned, merged]| {
            let middle = there.min(pruned);
            let (prune, merge) = (mask(pruned, there)?, mask(merged, middle)?);
            there = middle.min(merged);
            Ok(Self { prune, merge, pruned, merged })
        });
        masks.collect()
    }
}

/// What is known of the tokens of a batch between two operations.
struct State {
    /// `[samples x tokens, 1]`
    mask: Tensor,
    sizes: Vec<f32>,
    /// How many of each sample's rows are there; they are the first ones.
    alive: usize,
    /// What the first token attends to, `[samples x tokens]`, in the attention before.
    attended: Vec<f32>,
    /// How many reductions are done.
    reductions: usize,
}

/// The logits of a batch in which all samples have as many tokens, under masks for each reduction of the model, in their order.
///
/// # Errors
/// Where an operation fails, which is an error of ours.
///
/// # Panics
/// Where a reduction is of another rule than merging by attention, or has no masks.
pub fn masked_logits(
    model: &Model<'_>,
    weights: &Loaded,
    batch: &Batch,
    masks: &[Masks],
) -> Result<Option<Value>, Failure> {
    let graph = &model.version.graph;
    let mut values = Values::new();
    let mut state: Option<State> = None;
    let mut last_use: BTreeMap<OpId, usize> = BTreeMap::new();
    let schedule = graph.schedule();
    for (at, &op) in schedule.iter().enumerate() {
        graph.operands(op).into_iter().for_each(|operand| {
            last_use.insert(operand, at);
        });
    }
    for (at, &op) in schedule.iter().enumerate() {
        let operands: Vec<Value> =
            graph.operands(op).iter().filter_map(|operand| values.get(operand).cloned()).collect();
        match &graph.ops[op].op {
            Op::Attention(of) => {
                let state = state.get_or_insert_with(|| State::new(&operands[0]));
                values.insert(op, state.attend(graph, of, op, &operands)?);
            }
            Op::ReduceTokens(of) => {
                let state = state.as_mut().expect("a reduction stands behind an attention");
                values.insert(op, state.reduce(&operands[0], &masks[state.reductions], of.protected)?);
            }
            Op::Output(name) if name == "logits" => return Ok(operands.into_iter().next()),
            _ => model.again(&[op], weights, batch, &Gates::default(), &mut values, &mut Blind)?,
        }
        for operand in graph.operands(op) {
            if last_use.get(&operand) == Some(&at) {
                values.remove(&operand);
            }
        }
    }
    Ok(None)
}

impl State {
    fn new(x: &Value) -> Self {
        let rows = x.rows.count();
        let mask = Tensor::ones((rows, 1), candle_core::DType::F32, &Device::Cpu).expect("a column of ones");
        Self {
            mask,
            sizes: vec![1.0; rows],
            alive: rows / x.rows.samples().max(1),
            attended: Vec::new(),
            reductions: 0,
        }
    }

    fn attend(
        &mut self,
        graph: &Graph,
        of: &Attention,
        op: OpId,
        operands: &[Value],
    ) -> Result<Value, Failure> {
        let [query, key, value] = operands else { unreachable!("attention has three operands") };
        let samples = query.rows.samples();
        let count = query.rows.count() / samples;
        let by_heads = |place: usize, value: &Value| -> Result<Tensor, Failure> {
            let made = graph.operands(op)[place];
            let innermost = graph.ops[made].value.last().and_then(|dim| dim.0.last().copied());
            let dim = innermost.map_or(1, |axis| graph.extent(axis).max);
            let x = value.tensor.reshape((samples, count, (), dim))?;
            Ok(x.transpose(1, 2)?.contiguous()?)
        };
        let (query, key, value_heads) = (by_heads(0, query)?, by_heads(1, key)?, by_heads(2, value)?);
        let mut scores = (query.matmul(&key.transpose(2, 3)?.contiguous()?)? * of.scale)?;
        if of.by_size {
            let sizes: Vec<f32> = self.sizes.iter().map(|size| size.ln()).collect();
            scores = scores.broadcast_add(&tensor(sizes, (samples, 1, 1, count))?)?;
        }
        let top = scores.max_keepdim(D::Minus1)?.detach();
        let powers = scores.broadcast_sub(&top)?.exp()?;
        // Every token sees itself, be it masked or not.
        let own = Tensor::eye(count, candle_core::DType::F32, &Device::Cpu)?.reshape((1, 1, count, count))?;
        let others = (1.0 - &own)?;
        let policy =
            self.mask.reshape((samples, 1, 1, count))?.broadcast_mul(&others)?.broadcast_add(&own)?;
        let masked = powers.broadcast_mul(&policy)?;
        let sums = (masked.sum_keepdim(D::Minus1)? + EPS)?;
        let shares = (masked + EPS / count as f64)?.broadcast_div(&sums)?;
        let first = shares.detach().narrow(2, 0, 1)?.mean(1)?.contiguous()?;
        self.attended = Host::of(&first)?.values().to_vec();
        let made = shares.matmul(&value_heads)?.transpose(1, 2)?.contiguous()?;
        Ok(value.with(made.reshape((samples * count, ()))?))
    }

    fn reduce(&mut self, x: &Value, masks: &Masks, protected: usize) -> Result<Value, Failure> {
        let samples = x.rows.samples();
        let count = x.rows.count() / samples;
        let kept = masks.pruned.min(self.alive);
        let after = kept.min(masks.merged).max(protected);
        let detached = x.tensor.detach().contiguous()?;
        let (host, width) = (Host::of(&detached)?, x.tensor.dims()[1]);
        let (mut parts, mut order) = (Vec::new(), Vec::new());
        let mut sizes = Vec::with_capacity(self.sizes.len());
        for start in (0..samples * count).step_by(count) {
            let there = start..start + self.alive;
            let Ranked { parts: made, sizes: left, order: ranked } = ranked_and_merged(
                &host.values()[there.start * width..there.end * width],
                &self.sizes[there.clone()],
                &self.attended[there],
                [protected, kept, after],
            );
            // Behind what is left come those that are not, as they are: their masks say what they would have been worth.
            let ranked: Vec<usize> = ranked.into_iter().chain(self.alive..count).collect();
            sizes
                .extend(left.iter().copied().chain(ranked[after..].iter().map(|&at| self.sizes[start + at])));
            let moved = |parts: Vec<(usize, f32)>| -> Vec<(usize, f32)> {
                parts.into_iter().map(|(at, weight)| (start + at, weight)).collect()
            };
            parts.extend(made.into_iter().map(moved));
            parts.extend(ranked[after..].iter().map(|&at| vec![(start + at, 1.0)]));
            order.extend(ranked.into_iter().map(|at| [(start + at, 1.0)]));
        }
        let mask = combine(&self.mask, Arc::new(Combination::new(order)))?.reshape((samples, count))?;
        let mask = mask.broadcast_mul(&masks.prune)?.broadcast_mul(&masks.merge)?;
        self.mask = mask.reshape((samples * count, 1))?;
        (self.sizes, self.alive) = (sizes, after);
        self.reductions += 1;
        let tensor = combine(&x.tensor, Arc::new(Combination::new(parts)))?;
        Ok(Value { tensor, rows: Arc::new(Rows::of(std::iter::repeat_n(count, samples))) })
    }
}
