//! Sets of experts bred by what the whole model answers with them (EEP, the phase that prunes).

use std::collections::BTreeMap;

use serde_json::json;

use super::super::{axes, scored};
use crate::diagnostic::{Diagnostic, numbers};
use crate::graph::Graph;
use crate::pass::elements::everything;
use crate::pass::{Context, Data, Finding, Kept, Work, WorkKind};
use crate::tensor::random::Stream;

/// How sets are bred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breeding {
    /// Random sets to begin with.
    pub population: usize,
    /// Children, one after the other.
    pub iterations: usize,
    pub seed: u64,
}

/// Keeps the sets of experts with which the model loses least on labelled samples, or text.
#[derive(Debug)]
pub struct EvolveSets {
    data: Data,
    /// How many stay of each axis of experts, by path.
    keep: BTreeMap<String, usize>,
    breeding: Breeding,
    reads: Vec<String>,
}

impl EvolveSets {
    pub fn new(graph: &Graph, data: Data, keep: &BTreeMap<String, usize>, breeding: Breeding) -> Self {
        Self { data, keep: keep.clone(), breeding, reads: everything(graph) }
    }
}

/// For each axis the experts that stay, ascending.
type Sets = BTreeMap<String, Vec<usize>>;

impl Work for EvolveSets {
    fn kind(&self) -> WorkKind {
        WorkKind::Select
    }

    fn describe(&self) -> String {
        let Breeding { population, iterations, .. } = self.breeding;
        let tried = numbers::things(population + iterations, "set");
        format!("the best of {tried} of experts on {}", self.data.name)
    }

    fn arguments(&self) -> serde_json::Value {
        let Breeding { population, iterations, seed } = self.breeding;
        json!({
            "evolve experts": self.keep,
            "data": self.data.reader.describe(),
            "population": population,
            "iterations": iterations,
            "seed": seed,
        })
    }

    fn reads(&self) -> Vec<String> {
        self.reads.clone()
    }

    fn data(&self) -> Vec<Data> {
        vec![self.data.clone()]
    }

    fn run(&self, at: &Context<'_>) -> Result<Finding, Diagnostic> {
        let graph = &at.version.graph;
        let paths: Vec<String> = self.keep.keys().cloned().collect();
        let axes = axes(graph, &paths);
        let all: BTreeMap<String, usize> =
            axes.iter().map(|(path, &axis)| (path.clone(), graph.extent(axis).max)).collect();
        let loss = |sets: &Sets| {
            let mut version = at.version.clone();
            axes.iter().for_each(|(path, &axis)| version.keep(axis, &sets[path]));
            Ok(scored(&Context { version: &version, ..*at }, &self.data)?.mean_loss())
        };
        let chance = Chance::new(self.breeding.seed);
        let stay = evolve(&all, &self.keep, self.breeding, chance, loss)?;
        Ok(Finding::Kept(Kept { stay, ..Kept::default() }))
    }
}

/// Starts from random sets; each child of two of the better ones takes the place of the worst, if it is better.
fn evolve(
    all: &BTreeMap<String, usize>,
    keep: &BTreeMap<String, usize>,
    breeding: Breeding,
    mut chance: Chance,
    mut loss: impl FnMut(&Sets) -> Result<f64, Diagnostic>,
) -> Result<Sets, Diagnostic> {
    /// The share of sets that have children, of layers that come from the second parent, of layers with a new expert.
    const PARENTS: f64 = 0.6;
    const CROSSED: f64 = 0.3;
    const CHANGED: f64 = 0.25;
    let mut known: Vec<(f64, Sets)> = Vec::new();
    for _ in 0..breeding.population.max(1) {
        let sets: Sets = all.iter().map(|(path, &all)| (path.clone(), chance.set(all, keep[path]))).collect();
        known.push((loss(&sets)?, sets));
    }
    for _ in 0..breeding.iterations {
        known.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let parents = ((known.len() as f64 * PARENTS).ceil() as usize).max(1);
        let (one, other) = (chance.below(parents), chance.below(parents));
        let mut child = known[one].1.clone();
        for (path, set) in &mut child {
            if chance.happens(CROSSED) {
                set.clone_from(&known[other].1[path]);
            }
            if chance.happens(CHANGED) {
                chance.exchange(set, all[path]);
            }
        }
        if known.iter().any(|(_, sets)| *sets == child) {
            continue;
        }
        let lost = loss(&child)?;
        if let Some(worst) = known.last_mut().filter(|worst| lost < worst.0) {
            *worst = (lost, child);
        }
    }
    known.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    Ok(known.swap_remove(0).1)
}

/// Numbers in a row from a seed.
struct Chance {
    stream: Stream,
    next: u64,
}

impl Chance {
    fn new(seed: u64) -> Self {
        Self { stream: Stream::new(seed, "evolution"), next: 0 }
    }

    fn uniform(&mut self) -> f64 {
        self.next += 1;
        f64::from(self.stream.uniform(self.next))
    }

    fn happens(&mut self, probability: f64) -> bool {
        self.uniform() < probability
    }

    fn below(&mut self, count: usize) -> usize {
        ((self.uniform() * count as f64) as usize).min(count - 1)
    }

    /// `keep` numbers below `all`, ascending.
    fn set(&mut self, all: usize, keep: usize) -> Vec<usize> {
        let mut free: Vec<usize> = (0..all).collect();
        let mut set: Vec<usize> = (0..keep).map(|_| free.swap_remove(self.below(free.len()))).collect();
        set.sort_unstable();
        set
    }

    /// One number of a set for one that is not in it.
    fn exchange(&mut self, set: &mut [usize], all: usize) {
        let others: Vec<usize> = (0..all).filter(|it| !set.contains(it)).collect();
        if others.is_empty() {
            return;
        }
        let place = self.below(set.len());
        set[place] = others[self.below(others.len())];
        set.sort_unstable();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bred(seed: u64, iterations: usize) -> (Sets, f64) {
        let all = BTreeMap::from([("a".to_string(), 8), ("b".to_string(), 8)]);
        let keep = BTreeMap::from([("a".to_string(), 3), ("b".to_string(), 4)]);
        // The sum of numbers: the first ones are best, and no set is better than 0 + 1 + 2 + 0 + 1 + 2 + 3.
        let loss = |sets: &Sets| sets.values().flatten().sum::<usize>() as f64;
        let breeding = Breeding { population: 10, iterations, seed };
        let found = evolve(&all, &keep, breeding, Chance::new(seed), |sets| Ok(loss(sets))).unwrap();
        let lost = loss(&found);
        (found, lost)
    }

    #[test]
    fn children_are_better_and_the_same_seed_breeds_the_same() {
        let (found, lost) = bred(7, 400);
        assert_eq!(lost, 9.0, "{found:?}");
        assert_eq!((found["a"].len(), found["b"].len()), (3, 4));
        assert!(bred(7, 0).1 > lost);
        assert_eq!(bred(3, 20), bred(3, 20));
    }
}
