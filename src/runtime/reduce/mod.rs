//! Fewer tokens: for each sample which rows stay and what each is made of, then the rows themselves.
//!
//! Rules read tokens of one sample alone, so that neither padding nor the batch decides anything.

mod chosen;
mod merged;
mod picture;
mod ranked;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use super::Failure;
use super::interpret::Value;
use super::kernel::attention::{Heads, Operands, mass, shares};
use super::op::{self, Combination, Host};
use super::rows::Rows;
use crate::graph::{Reduction, ReductionRule};

/// What is left of the tokens of one sample.
#[derive(Debug, Clone, Default, PartialEq)]
struct Left {
    /// For each token that is left the tokens that it is made of, each with its weight.
    parts: Vec<Vec<(usize, f32)>>,
    /// How many tokens each stands for.
    sizes: Vec<f32>,
}

/// Tokens of one sample.
#[derive(Clone, Copy)]
struct Tokens<'a> {
    /// `[count, width]`
    features: &'a [f32],
    width: usize,
    count: usize,
    /// How many tokens each stands for; none where each is its own.
    sizes: Option<&'a [f32]>,
    protected: usize,
}

impl Tokens<'_> {
    fn size(&self, token: usize) -> f32 {
        self.sizes.map_or(1.0, |sizes| sizes[token])
    }

    /// Tokens as they are, in this order.
    fn kept(&self, order: impl IntoIterator<Item = usize>) -> Left {
        let order: Vec<usize> = order.into_iter().collect();
        Left {
            sizes: order.iter().map(|&token| self.size(token)).collect(),
            parts: order.into_iter().map(|token| vec![(token, 1.0)]).collect(),
        }
    }
}

/// Tokens after a reduction. Where nothing goes, they are what they were.
///
/// # Errors
/// Where the tensors are not of f32: an error of ours.
pub fn reduced(of: &Reduction, heads: Heads, x: &Value, [query, key]: [&Value; 2]) -> Result<Value, Failure> {
    if let ReductionRule::Picture(rule) = of.rule {
        return picture::pictured(of, rule, heads, x, [query, key]);
    }
    let (features, query, key) =
        (x.tensor.contiguous()?, query.tensor.contiguous()?, key.tensor.contiguous()?);
    let (of_features, of_query, of_key) = (Host::of(&features)?, Host::of(&query)?, Host::of(&key)?);
    let (all_features, sizes) = (of_features.values(), x.rows.sizes());
    let log_sizes = if of.attention.by_size { x.rows.log_sizes() } else { None };
    let operands = Operands {
        query: of_query.values(),
        key: of_key.values(),
        value: &[],
        bias: log_sizes.as_ref().map(|sizes| sizes.as_slice()),
    };
    let width = x.tensor.dims()[1];
    let ranges = x.rows.ranges();
    if ranges.iter().all(|range| of.after(range.len()) == range.len()) {
        return Ok(x.clone());
    }
    let left: Vec<Left> = ranges
        .par_iter()
        .map(|range| {
            let tokens = Tokens {
                features: &all_features[range.start * width..range.end * width],
                width,
                count: range.len(),
                sizes: sizes.map(|sizes| &sizes[range.clone()]),
                protected: of.protected.min(range.len()),
            };
            let keys = || {
                mean_keys(
                    heads,
                    &operands.key[range.start * heads.key_width()..range.end * heads.key_width()],
                )
            };
            let attention = Attended { heads, range, operands };
            left(of, tokens, keys, &attention)
        })
        .collect();
    let rows = Rows::of(left.iter().map(|left| left.parts.len()));
    let has_sizes = sizes.is_some() || of.rule.makes_sizes();
    let rows = match has_sizes {
        true => rows.with_sizes(left.iter().flat_map(|left| left.sizes.iter().copied()).collect()),
        false => rows,
    };
    let starts = ranges.iter().map(|range| range.start);
    let parts = left.iter().zip(starts).flat_map(|(left, start)| {
        left.parts.iter().map(move |parts| parts.iter().map(move |&(token, weight)| (start + token, weight)))
    });
    let tensor = op::combine(&features, Arc::new(Combination::new(parts)))?;
    Ok(Value { tensor, rows: Arc::new(rows) })
}

/// The attention of one sample.
struct Attended<'a> {
    heads: Heads,
    range: &'a Range<usize>,
    operands: Operands<'a>,
}

impl Attended<'_> {
    /// How much some tokens attend to each, on average over heads.
    fn by(&self, queries: Range<usize>) -> Vec<f32> {
        mass(self.heads, self.range, self.operands, queries)
    }

    /// How much each token attends to each, `[count, count]` for each head.
    fn of_heads(&self) -> Vec<Vec<f32>> {
        let heads = 0..self.heads.kv_heads * self.heads.group;
        heads.map(|head| shares(self.heads, self.range, self.operands, head)).collect()
    }
}

/// What is left of one sample. `keys` are `[count, head_dim]` of length 1, averaged over heads.
fn left(of: &Reduction, tokens: Tokens<'_>, keys: impl Fn() -> Vec<f32>, attended: &Attended<'_>) -> Left {
    let after = of.after(tokens.count);
    if after == tokens.count {
        return tokens.kept(0..tokens.count);
    }
    match &of.rule {
        ReductionRule::MergePairs => merged::pairs(tokens, &keys(), tokens.count - after),
        ReductionRule::MergeByEnergy(energy) => {
            merged::by_energy(tokens, &keys(), *energy, tokens.count - after)
        }
        ReductionRule::MergeByAttention { kept } => {
            merged::by_attention(tokens, &attended.by(0..1), *kept, after)
        }
        ReductionRule::Picture(_) => unreachable!("rules of pictures are done apart"),
        ReductionRule::Drop { score, fuse, sorted } => {
            let scores = chosen::scores(*score, tokens.count, |queries| attended.by(queries));
            chosen::best(tokens, &scores, after, *fuse, *sorted)
        }
        ReductionRule::DropByRank(ranking) => {
            let scores = ranked::scores(ranking, &attended.of_heads(), &keys(), tokens.protected);
            chosen::best(tokens, &scores, after, false, false)
        }
    }
}

/// Tokens of one sample merged by attention, with the order in which they were taken.
pub(super) struct Ranked {
    /// For each token that is left those that it is made of, each with its weight.
    pub parts: Vec<Vec<(usize, f32)>>,
    pub sizes: Vec<f32>,
    /// All tokens: protected ones, then the others by how much they are attended to.
    pub order: Vec<usize>,
}

/// What [`ReductionRule::MergeByAttention`] makes of one sample's tokens, `features` being `[tokens, width]`, where `kept` are left
/// once tokens are dropped and `after` once they are merged.
pub(super) fn ranked_and_merged(
    features: &[f32],
    sizes: &[f32],
    attended: &[f32],
    [protected, kept, after]: [usize; 3],
) -> Ranked {
    let count = sizes.len();
    let width = features.len() / count.max(1);
    let tokens = Tokens { features, width, count, sizes: Some(sizes), protected };
    let order = merged::by_rank(tokens, attended);
    let Left { parts, sizes } = merged::into_first(tokens, &order, kept, after);
    Ranked { parts, sizes, order }
}

/// Keys `[rows, kv_heads x head_dim]` averaged over heads, each row of length 1.
fn mean_keys(heads: Heads, keys: &[f32]) -> Vec<f32> {
    let mut mean = vec![0.0; keys.len() / heads.kv_heads.max(1)];
    for (mean, row) in mean.chunks_exact_mut(heads.head_dim).zip(keys.chunks_exact(heads.key_width())) {
        for head in row.chunks_exact(heads.head_dim) {
            mean.iter_mut().zip(head).for_each(|(mean, key)| *mean += key / heads.kv_heads as f32);
        }
    }
    unit_rows(&mut mean, heads.head_dim);
    mean
}

/// Divides rows by their lengths; rows of zeros stay.
fn unit_rows(values: &mut [f32], width: usize) {
    for row in values.chunks_exact_mut(width) {
        let length = row.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
        if length > 0.0 {
            row.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
        }
    }
}

/// Tokens by their scores, the best first; of equal ones the first.
fn by_score(scores: &[f32], tokens: impl IntoIterator<Item = usize>) -> Vec<usize> {
    let mut order: Vec<usize> = tokens.into_iter().collect();
    order.sort_by(|&left, &right| scores[right].total_cmp(&scores[left]));
    order
}
