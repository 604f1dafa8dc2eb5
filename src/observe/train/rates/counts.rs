//! What numbers of tokens cost: a sum of squares and multiples of each.

use crate::graph::{Graph, NotReduced, Op, OpId, ReductionRule, TokenCount};
use crate::pass::CostMeasure;

/// Halvings of the range in which the factor of a budget lies.
const HALVINGS: usize = 40;

/// The cost of a model by how many tokens are left behind each of some layers. What lies between one and the next costs a multiple
/// of their number, attention of its square, whatever the other numbers are.
#[derive(Debug, Clone)]
pub struct Counts {
    /// How many tokens there are in front of the first of the layers.
    pub tokens: usize,
    pub protected: usize,
    /// What does not depend on them.
    fixed: f64,
    /// For each layer what a token costs behind it, and what a pair of tokens.
    parts: Vec<[f64; 2]>,
}

impl Counts {
    /// Puts a reduction that keeps all tokens into each layer.
    ///
    /// # Errors
    /// A layer that cannot have fewer tokens, and why.
    pub fn new(
        graph: &mut Graph,
        layers: &[String],
        measure: CostMeasure,
        batch: u64,
        by_size: bool,
    ) -> Result<Self, (String, NotReduced)> {
        let number =
            |path: &String| graph.blocks.iter().position(|block| graph.tree.path(block.node) == *path);
        let numbers: Vec<usize> = layers.iter().filter_map(number).collect();
        for (&number, path) in numbers.iter().zip(layers) {
            let rule = ReductionRule::MergeByAttention { kept: usize::MAX };
            let put = graph.reduce_tokens(number, TokenCount::Less(0), rule, by_size);
            put.map_err(|why| (path.clone(), why))?;
        }
        let protected = graph.reductions().first().map_or(0, |(_, reduction)| reduction.protected);
        let first = numbers.first().and_then(|&number| tokens_of(graph, number)).unwrap_or(0);
        let all = vec![TokenCount::Exactly(first); numbers.len()];
        let mut cost = |counts: &[TokenCount]| {
            graph.recount_tokens(&numbers, counts);
            measure.of(&graph.cost(batch)).max as f64
        };
        let whole = cost(&all);
        // From layer `at` on fewer tokens, minus from the one behind on: what the part between costs less.
        let mut differences = |left: usize| -> Vec<f64> {
            let mut of = |at: usize| {
                let counts: Vec<TokenCount> = (0..numbers.len())
                    .map(|number| TokenCount::Exactly(if number < at { first } else { left }))
                    .collect();
                cost(&counts)
            };
            let costs: Vec<f64> = (0..=numbers.len()).map(&mut of).collect();
            costs.windows(2).map(|pair| pair[0] - pair[1]).collect()
        };
        let (few, more) = (protected + 1, (first / 2).max(protected + 2));
        let (from_few, from_more) = (differences(few), differences(more));
        graph.recount_tokens(&numbers, &all);
        let slope = |difference: f64, left: usize| difference / (left as f64 - first as f64);
        let parts: Vec<[f64; 2]> = from_few
            .into_iter()
            .zip(from_more)
            .map(|(at_few, at_more)| {
                let (at_few, at_more) = (slope(at_few, few), slope(at_more, more));
                let pair = (at_more - at_few) / (more - few) as f64;
                [at_more - pair * (more + first) as f64, pair]
            })
            .collect();
        let made = Self { tokens: first, protected, fixed: 0.0, parts };
        let of_tokens = made.cost(&vec![first as f64; numbers.len()]);
        Ok(Self { fixed: whole - of_tokens, ..made })
    }

    /// The cost where so many tokens are left behind each layer.
    pub fn cost(&self, left: &[f64]) -> f64 {
        let of = |(&left, &[one, pair]): (&f64, &[f64; 2])| one * left + pair * left * left;
        self.fixed + left.iter().zip(&self.parts).map(of).sum::<f64>()
    }

    /// The cost where one token is left beside the protected ones.
    pub fn least(&self) -> f64 {
        self.cost(&vec![(self.protected + 1) as f64; self.parts.len()])
    }

    /// How many tokens are left behind each layer: never more than before.
    pub fn left(&self, lists: &[[usize; 2]]) -> Vec<f64> {
        let mut before = self.tokens;
        let least = |list: &[usize; 2]| {
            before = before.min(list[0]).min(list[1]);
            before as f64
        };
        lists.iter().map(least).collect()
    }

    /// `weight` times the squared distance of the cost from a bound, as a share of it, and its gradient by the numbers of both lists.
    /// Each number has the gradient of what is left in its layer, be it the smallest one or not: the authors' minimum is a
    /// straight-through one (their `ste_min`), so that the budget pulls at a number before it binds.
    pub fn off(&self, lists: &[[usize; 2]], bound: u64, weight: f64) -> (f64, Vec<[f64; 2]>) {
        let (left, bound) = (self.left(lists), bound.max(1) as f64);
        let off = self.cost(&left) / bound - 1.0;
        let gradient = |(left, [one, pair]): (&f64, &[f64; 2])| {
            [2.0 * weight * off * (one + 2.0 * pair * left) / bound; 2]
        };
        (weight * off * off, left.iter().zip(&self.parts).map(gradient).collect())
    }

    /// The same lists times one factor, up to twice, that the cost is as near to a bound as it can be without being above. Tokens
    /// that are protected stay, and one beside them.
    pub fn within(&self, lists: &[[usize; 2]], bound: u64) -> Vec<[usize; 2]> {
        let times = |factor: f64| -> Vec<[usize; 2]> {
            let of = |count: usize| {
                let free = ((count - self.protected) as f64 * factor + 1e-9).floor().max(1.0) as usize;
                (self.protected + free).min(self.tokens)
            };
            lists.iter().map(|list| list.map(of)).collect()
        };
        let fits = |factor: f64| self.cost(&self.left(&times(factor))) <= bound as f64 + 0.5;
        if fits(2.0) {
            return times(2.0);
        }
        let (mut within, mut above) = (0.0, 2.0);
        for _ in 0..HALVINGS {
            let middle = (within + above) / 2.0;
            match fits(middle) {
                true => within = middle,
                false => above = middle,
            }
        }
        times(within)
    }
}

/// How many tokens a layer begins with, where that is known.
fn tokens_of(graph: &Graph, layer: usize) -> Option<usize> {
    let dim = graph.ops[graph.blocks[layer].input].value.first()?;
    Some(graph.dim_extent(dim))
}

/// Whether numbers can be learned for a model: it takes pictures, all of as many tokens, answers by what a token in front says, and
/// its query heads have keys of their own.
pub fn learnable(graph: &Graph) -> bool {
    let has = |of: fn(&Op) -> bool| graph.ops.node_weights().any(|made| of(&made.op));
    let width = |op: OpId| graph.ops[op].value.last().map_or(0, |dim| graph.dim_extent(dim));
    let is_plain = |op: OpId| match &graph.ops[op].op {
        Op::Attention(of) => {
            let operands = graph.operands(op);
            of.rope.is_none() && of.relative.is_none() && width(operands[0]) == width(operands[1])
        }
        _ => true,
    };
    has(|op| matches!(op, Op::Pixels))
        && has(|op| matches!(op, Op::Token(_)))
        && !has(|op| matches!(op, Op::Mean | Op::GridPositions { .. } | Op::LatentAttention))
        && graph.ops.node_indices().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two layers, 5 tokens: 100 + 3 n + n n behind the first, 2 m behind the second.
    fn counts() -> Counts {
        Counts { tokens: 5, protected: 1, fixed: 100.0, parts: vec![[3.0, 1.0], [2.0, 0.0]] }
    }

    #[test]
    fn numbers_never_rise() {
        assert_eq!(counts().left(&[[4, 3], [5, 4]]), [3.0, 3.0]);
        assert_eq!(counts().left(&[[9, 9], [5, 2]]), [5.0, 2.0]);
    }

    /// At [4, 3] and [5, 4] both layers have 3, by the second number of the first: 100 + 9 + 9 + 6 = 124, which is 0.24 more than
    /// 100. One token more costs 3 + 2 x 3 behind the first layer and 2 behind the second; all numbers of a layer have that gradient.
    #[test]
    fn gradients_reach_every_number() {
        let (off, gradients) = counts().off(&[[4, 3], [5, 4]], 100, 5.0);
        assert!((off - 5.0 * 0.24 * 0.24).abs() < 1e-12);
        let expected = [9.0, 2.0].map(|cost| 2.0 * 5.0 * 0.24 * cost / 100.0);
        for (found, expected) in gradients.iter().zip(expected) {
            assert!(found.iter().all(|found| (found - expected).abs() < 1e-12), "{gradients:?}");
        }
    }

    #[test]
    fn lists_are_scaled_to_a_bound() {
        let counts = counts();
        let cost = |lists: &[[usize; 2]]| counts.cost(&counts.left(lists));
        let lists = [[5, 4], [4, 4]];
        for bound in [114, 120, 130, 135, 200] {
            let found = counts.within(&lists, bound);
            assert!(cost(&found) <= bound as f64, "{bound}: {found:?}");
        }
        assert_eq!(counts.within(&lists, 200), [[5, 5], [5, 5]], "there is room for all of them");
    }
}
