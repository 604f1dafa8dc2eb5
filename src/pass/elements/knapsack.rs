//! The most score for a cost: exact where elements have at most two costs, by density with true costs elsewhere.
//!
//! With heads and neurons of equal layers each head costs the same and each neuron costs the same. Then for every number of
//! heads the best neurons that still fit are known, and the best of these pairs is the optimum (Kwon et al., 2022,
//! arXiv:2204.09656, algorithm 1, with the pairs above the budget left out). Where costs differ by layer, or one axis changes
//! the price of another as the hidden width does, elements go by score over cost, and each trial is priced with the whole
//! graph.

use std::collections::BTreeMap;

use super::choose::{Limits, blocks};
use crate::graph::{Extent, Graph};
use crate::pass::{CostMeasure, Traded};

/// Stretches of the curve of what budgets keep.
const POINTS: u64 = 16;

/// Axes to choose from. All counts in here are of blocks: elements that go together by rank.
pub(super) struct Axes<'a> {
    graph: &'a Graph,
    measure: CostMeasure,
    batch: u64,
    paths: Vec<&'a str>,
    /// Scores of each axis's blocks, best first.
    scores: Vec<Vec<f64>>,
    floors: Vec<usize>,
    /// Elements of a block.
    multiples: Vec<usize>,
}

impl<'a> Axes<'a> {
    pub(super) fn new(
        graph: &'a Graph,
        scores: &'a BTreeMap<String, Vec<f64>>,
        limits: &BTreeMap<String, Limits>,
        measure: CostMeasure,
        batch: u64,
    ) -> Self {
        let limits: Vec<Limits> = scores.keys().map(|path| limits[path]).collect();
        Self {
            graph,
            measure,
            batch,
            paths: scores.keys().map(String::as_str).collect(),
            scores: scores
                .values()
                .zip(&limits)
                .map(|(scores, limits)| blocks(scores, limits.multiple))
                .collect(),
            floors: limits.iter().map(|limits| limits.floor / limits.multiple).collect(),
            multiples: limits.iter().map(|limits| limits.multiple).collect(),
        }
    }

    /// Numbers of elements of numbers of blocks.
    fn elements(&self, counts: &[usize]) -> Vec<usize> {
        counts.iter().zip(&self.multiples).map(|(blocks, multiple)| blocks * multiple).collect()
    }

    /// The model's cost with that many blocks on each axis.
    fn cost(&self, counts: &[usize]) -> u64 {
        cost_with(self.graph, self.paths.iter().copied().zip(self.elements(counts)), self.measure, self.batch)
    }

    /// How many blocks of each axis stay, so that the cost is at most `at_most`. Floors are kept even above it.
    pub(super) fn within(&self, at_most: u64) -> Vec<usize> {
        let full = self.full();
        if self.cost(&full) <= at_most {
            return full;
        }
        let costs = self.unit_costs();
        let at_floors = self.cost(&self.floors);
        match kinds(self, &costs, at_floors) {
            Some(kinds) => exact(self, &costs, &kinds, at_most.saturating_sub(at_floors)),
            None => by_density(self, &costs, at_most),
        }
    }

    /// Numbers of elements by path.
    pub(super) fn counted(&self, counts: &[usize]) -> BTreeMap<String, usize> {
        self.paths.iter().map(|&path| path.to_owned()).zip(self.elements(counts)).collect()
    }

    /// What budgets from the least to all that there is would keep.
    pub(super) fn curve(&self) -> Vec<Traded> {
        let (least, most) = (self.cost(&self.floors), self.cost(&self.full()));
        let sum = |counts: &[usize]| -> f64 {
            self.scores.iter().zip(counts).map(|(scores, &count)| scores[..count].iter().sum::<f64>()).sum()
        };
        let all = sum(&self.full());
        let budget = |point: u64| least + (most - least.min(most)) / POINTS * point;
        let point = |point: u64| {
            let counts = if point == POINTS { self.full() } else { self.within(budget(point)) };
            Traded { cost: self.cost(&counts), score: if all > 0.0 { sum(&counts) / all } else { 1.0 } }
        };
        let mut curve: Vec<Traded> = (0..=POINTS).map(point).collect();
        curve.dedup_by_key(|traded| traded.cost);
        curve
    }

    fn full(&self) -> Vec<usize> {
        self.scores.iter().map(Vec::len).collect()
    }

    /// What one block of each axis costs when all others are there.
    fn unit_costs(&self) -> Vec<u64> {
        let full = self.full();
        let all = self.cost(&full);
        let without_one = |axis: usize| {
            let mut counts = full.clone();
            if counts[axis] == 0 {
                return 0;
            }
            counts[axis] -= 1;
            all - self.cost(&counts).min(all)
        };
        (0..full.len()).map(without_one).collect()
    }
}

/// The cost of a graph with other extents on some axes, by path.
pub fn cost_with<'p>(
    graph: &Graph,
    counts: impl Iterator<Item = (&'p str, usize)>,
    measure: CostMeasure,
    batch: u64,
) -> u64 {
    let places = graph.places();
    let mut graph = graph.clone();
    for (path, count) in counts {
        if let Some(axis) = places.axis(path)
            && graph.axes.get(axis).is_some()
        {
            graph.resize(axis, Extent::exact(count));
        }
    }
    measure.of(&graph.cost(batch)).max
}

/// The one or two costs that elements have, where costs add up; `None` where they do not or there are more.
fn kinds(axes: &Axes<'_>, costs: &[u64], at_floors: u64) -> Option<Vec<u64>> {
    let full = axes.full();
    let free: u64 = (0..full.len()).map(|axis| (full[axis] - axes.floors[axis]) as u64 * costs[axis]).sum();
    let adds_up = at_floors + free == axes.cost(&full);
    let mut kinds = costs.to_vec();
    kinds.sort_unstable();
    kinds.dedup();
    (adds_up && kinds.len() <= 2).then_some(kinds)
}

/// Every number of the one kind with the most of the other that fits; the first of equal sums.
fn exact(axes: &Axes<'_>, costs: &[u64], kinds: &[u64], budget: u64) -> Vec<usize> {
    let pools: Vec<Vec<(f64, usize)>> = kinds.iter().map(|&kind| pool(axes, costs, kind)).collect();
    let sums: Vec<Vec<f64>> = pools.iter().map(|pool| prefix_sums(pool)).collect();
    let none = vec![0.0];
    let (costly, cheap) = (kinds[kinds.len() - 1], kinds[0]);
    let costly_sums = &sums[kinds.len() - 1];
    let cheap_sums = if kinds.len() == 2 { &sums[0] } else { &none };
    let mut best: Option<(f64, usize, usize)> = None;
    for (n, sum) in costly_sums.iter().enumerate() {
        let Some(rest) = budget.checked_sub(n as u64 * costly) else { break };
        let fits = rest.checked_div(cheap).map_or(usize::MAX, |fits| fits as usize);
        let m = fits.min(cheap_sums.len() - 1);
        let total = sum + cheap_sums[m];
        if best.is_none_or(|(most, ..)| total > most) {
            best = Some((total, n, m));
        }
    }
    let (_, n, m) = best.unwrap_or((0.0, 0, 0));
    let mut counts = axes.floors.clone();
    let chosen = pools[kinds.len() - 1][..n].iter();
    let others = if kinds.len() == 2 { pools[0][..m].iter() } else { [].iter() };
    for &(_, axis) in chosen.chain(others) {
        counts[axis] += 1;
    }
    counts
}

/// Elements of one cost above the floors, best first, each with its axis.
fn pool(axes: &Axes<'_>, costs: &[u64], kind: u64) -> Vec<(f64, usize)> {
    let of_kind = (0..costs.len()).filter(|&axis| costs[axis] == kind);
    let mut pool: Vec<(f64, usize)> = of_kind
        .flat_map(|axis| axes.scores[axis][axes.floors[axis]..].iter().map(move |&score| (score, axis)))
        .collect();
    pool.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    pool
}

fn prefix_sums(pool: &[(f64, usize)]) -> Vec<f64> {
    let mut sum = 0.0;
    let sums = pool.iter().map(|(score, _)| {
        sum += score;
        sum
    });
    std::iter::once(0.0).chain(sums).collect()
}

/// The densest elements whose true cost fits, then as many more as still do.
fn by_density(axes: &Axes<'_>, costs: &[u64], at_most: u64) -> Vec<usize> {
    let mut order: Vec<(f64, usize)> = (0..costs.len())
        .flat_map(|axis| {
            let price = costs[axis].max(1) as f64;
            axes.scores[axis][axes.floors[axis]..].iter().map(move |score| (score / price, axis))
        })
        .collect();
    order.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let counts_of = |taken: usize| {
        let mut counts = axes.floors.clone();
        order[..taken].iter().for_each(|&(_, axis)| counts[axis] += 1);
        counts
    };
    let (mut fits, mut exceeds) = (0, order.len() + 1);
    while exceeds - fits > 1 {
        let middle = usize::midpoint(fits, exceeds);
        if axes.cost(&counts_of(middle)) <= at_most { fits = middle } else { exceeds = middle }
    }
    fill(axes, counts_of(fits), &order[fits..], at_most)
}

/// Adds elements that are cheap enough for what is left; one refusal rules out the rest of that axis.
fn fill(axes: &Axes<'_>, mut counts: Vec<usize>, rest: &[(f64, usize)], at_most: u64) -> Vec<usize> {
    let mut full = vec![false; counts.len()];
    for &(_, axis) in rest {
        if full[axis] {
            continue;
        }
        counts[axis] += 1;
        if axes.cost(&counts) > at_most {
            counts[axis] -= 1;
            full[axis] = true;
        }
        if full.iter().all(|&full| full) {
            break;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Builder;
    use crate::tensor::DType;

    fn axes<'a>(graph: &'a Graph, scores: &[&[f64]], floors: &[usize]) -> Axes<'a> {
        Axes {
            graph,
            measure: CostMeasure::Macs,
            batch: 1,
            paths: vec!["a", "b"],
            scores: scores.iter().map(|scores| scores.to_vec()).collect(),
            floors: floors.to_vec(),
            multiples: vec![1; scores.len()],
        }
    }

    fn nothing() -> Graph {
        Builder::new("toy", None, DType::F32).finish().expect("an empty graph is sound")
    }

    /// The worked case of the method card: heads of scores (5, 1) cost 10, neurons of (4, 3, 2, 0.5) cost 4, and 21.6 of
    /// 36 may be spent: one head with two neurons, 18.
    #[test]
    fn keeps_one_head_and_two_neurons_of_the_worked_case() {
        let graph = nothing();
        let axes = axes(&graph, &[&[5.0, 1.0], &[4.0, 3.0, 2.0, 0.5]], &[0, 0]);
        assert_eq!(exact(&axes, &[10, 4], &[4, 10], 21), [1, 2]);
    }

    #[test]
    fn agrees_with_trying_everything() {
        let graph = nothing();
        let (a, b) = ([7.0, 6.5, 2.0, 0.1], [5.0, 3.0, 2.5, 2.4, 0.3]);
        let axes = axes(&graph, &[&a, &b], &[1, 0]);
        for budget in 0..60 {
            let counts = exact(&axes, &[9, 5], &[5, 9], budget);
            let value = |n: usize, m: usize| a[..n].iter().sum::<f64>() + b[..m].iter().sum::<f64>();
            let best = (1..=4)
                .flat_map(|n| (0..=5).map(move |m| (n, m)))
                .filter(|&(n, m)| (n as u64 - 1) * 9 + m as u64 * 5 <= budget)
                .map(|(n, m)| value(n, m))
                .fold(0.0, f64::max);
            assert!((value(counts[0], counts[1]) - best).abs() < 1e-12, "budget {budget}");
        }
    }

    #[test]
    fn one_cost_is_a_common_ranking() {
        let graph = nothing();
        let axes = axes(&graph, &[&[3.0, 1.0], &[2.0, 2.5]], &[0, 0]);
        assert_eq!(exact(&axes, &[4, 4], &[4], 11), [1, 1]);
    }
}
