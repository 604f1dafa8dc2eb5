//! Sets of experts bred by what the whole model answers with them, and then mixtures of experts (EEP, its two phases).

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::judge::Judge;
use super::merge::{Mixing, write_mixtures};
use super::seeing::Seeing;
use crate::diagnostic::{Diagnostic, numbers};
use crate::graph::Graph;
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
    seeing: Seeing,
    /// How many stay of each axis of experts, by path.
    keep: BTreeMap<String, usize>,
    breeding: Breeding,
}

impl EvolveSets {
    pub fn new(graph: &Graph, data: Data, keep: &BTreeMap<String, usize>, breeding: Breeding) -> Self {
        Self { seeing: Seeing::new(graph, data), keep: keep.clone(), breeding }
    }
}

/// For each axis the experts that stay, ascending.
pub type Sets = BTreeMap<String, Vec<usize>>;

impl Work for EvolveSets {
    fn kind(&self) -> WorkKind {
        WorkKind::Select
    }

    fn describe(&self) -> String {
        let Breeding { population, iterations, .. } = self.breeding;
        let tried = numbers::things(population + iterations, "set");
        format!("the best of {tried} of experts on {}", self.seeing.data.name)
    }

    fn arguments(&self) -> Json {
        let Breeding { population, iterations, seed } = self.breeding;
        self.seeing.arguments(json!({
            "evolve experts": self.keep,
            "population": population,
            "iterations": iterations,
            "seed": seed,
        }))
    }

    fn reads(&self) -> Vec<String> {
        self.seeing.reads.clone()
    }

    fn data(&self) -> Vec<Data> {
        vec![self.seeing.data.clone()]
    }

    fn memory(&self, graph: &Graph) -> u64 {
        Judge::memory(graph)
    }

    fn run(&self, at: &Context<'_>) -> Result<Finding, Diagnostic> {
        let judge = Judge::new(at, &self.seeing.data, &self.keep)?;
        let chance = &mut Chance::new(self.breeding.seed);
        let mut known =
            evolve(&judge.all(), &self.keep, self.breeding, chance, |sets| judge.loss_of_sets(sets))?;
        let (_, stay) = known.swap_remove(0);
        Ok(Finding::Kept(Kept { stay, ..Kept::default() }))
    }
}

/// Makes each expert that stays a mixture of all, and its share one of the shares of all, so that the model loses least.
#[derive(Debug)]
pub struct EvolveMixtures {
    seeing: Seeing,
    into: BTreeMap<String, usize>,
    breeding: Breeding,
    /// Children of mixtures, after those of sets.
    mixtures: usize,
}

impl EvolveMixtures {
    pub fn new(
        graph: &Graph,
        data: Data,
        into: &BTreeMap<String, usize>,
        breeding: Breeding,
        mixtures: usize,
    ) -> Self {
        Self { seeing: Seeing::new(graph, data), into: into.clone(), breeding, mixtures }
    }
}

impl Work for EvolveMixtures {
    fn kind(&self) -> WorkKind {
        WorkKind::Select
    }

    fn describe(&self) -> String {
        let Breeding { population, iterations, .. } = self.breeding;
        let tried = numbers::things(population + iterations, "set");
        let mixtures = numbers::things(self.mixtures, "mixture");
        format!("the best of {tried} and {mixtures} of experts on {}", self.seeing.data.name)
    }

    fn arguments(&self) -> Json {
        let Breeding { population, iterations, seed } = self.breeding;
        self.seeing.arguments(json!({
            "mix experts": self.into,
            "population": population,
            "iterations": iterations,
            "mixtures": self.mixtures,
            "seed": seed,
        }))
    }

    fn reads(&self) -> Vec<String> {
        self.seeing.reads.clone()
    }

    fn data(&self) -> Vec<Data> {
        vec![self.seeing.data.clone()]
    }

    fn memory(&self, graph: &Graph) -> u64 {
        // Once more as columns, and what mixtures are made of them.
        3 * Judge::memory(graph)
    }

    fn run(&self, at: &Context<'_>) -> Result<Finding, Diagnostic> {
        let chance = &mut Chance::new(self.breeding.seed);
        let sets = Judge::new(at, &self.seeing.data, &self.into)?;
        let all = sets.all();
        let known = evolve(&all, &self.into, self.breeding, chance, |it| sets.loss_of_sets(it))?;
        drop(sets);
        let judge = Judge::of_mixtures(at, &self.seeing.data, &self.into)?;
        let judged = |(_, sets): (f64, Sets)| -> Result<(f64, Mixtures), Diagnostic> {
            let mixtures =
                sets.iter().map(|(path, set)| (path.clone(), Mixing::of_set(set, all[path]))).collect();
            Ok((judge.loss_of_mixtures(&mixtures)?, mixtures))
        };
        let known = known.into_iter().map(judged).collect::<Result<Vec<_>, _>>()?;
        let loss = |mixtures: &Mixtures| judge.loss_of_mixtures(mixtures);
        let mut known = breed(known, self.mixtures, chance, blended, loss)?;
        let (_, mixtures) = known.swap_remove(0);
        write_mixtures(at, &mixtures)
    }
}

/// For each axis what experts and shares are made of.
pub type Mixtures = BTreeMap<String, Mixing>;

/// A layer of a child's that is the second parent's.
const CROSSED: f64 = 0.3;

/// Starts from random sets; a child has layers of both parents, with some experts exchanged. The best ones come first.
fn evolve(
    all: &BTreeMap<String, usize>,
    keep: &BTreeMap<String, usize>,
    breeding: Breeding,
    chance: &mut Chance,
    mut loss: impl FnMut(&Sets) -> Result<f64, Diagnostic>,
) -> Result<Vec<(f64, Sets)>, Diagnostic> {
    /// The share of layers with a new expert.
    const CHANGED: f64 = 0.25;
    let mut known: Vec<(f64, Sets)> = Vec::new();
    for _ in 0..breeding.population.max(1) {
        let sets: Sets = all.iter().map(|(path, &all)| (path.clone(), chance.set(all, keep[path]))).collect();
        known.push((loss(&sets)?, sets));
    }
    let child = |chance: &mut Chance, one: &Sets, other: &Sets| {
        let mut child = one.clone();
        for (path, set) in &mut child {
            if chance.happens(CROSSED) {
                set.clone_from(&other[path]);
            }
            if chance.happens(CHANGED) {
                chance.exchange(set, all[path]);
            }
        }
        child
    };
    breed(known, breeding.iterations, chance, child, loss)
}

/// A child has layers of both parents; in some its numbers are moved a little, or rows made to add up to 1.
fn blended(chance: &mut Chance, one: &Mixtures, other: &Mixtures) -> Mixtures {
    const MOVED: f64 = 0.25;
    const NORMALIZED: f64 = 0.1;
    /// The standard deviation of moves.
    const SPREAD: f64 = 0.065;
    let mut child = one.clone();
    for (path, mixing) in &mut child {
        if chance.happens(CROSSED) {
            mixing.clone_from(&other[path]);
        }
        if chance.happens(MOVED) {
            mixing.each(|number| *number += (chance.normal() * SPREAD) as f32);
        }
        if chance.happens(NORMALIZED) {
            mixing.normalize();
        }
    }
    child
}

/// Each child of two of the better ones takes the place of the worst, if it is better. The best ones come first.
fn breed<T: Clone + PartialEq>(
    mut known: Vec<(f64, T)>,
    children: usize,
    chance: &mut Chance,
    child: impl Fn(&mut Chance, &T, &T) -> T,
    mut loss: impl FnMut(&T) -> Result<f64, Diagnostic>,
) -> Result<Vec<(f64, T)>, Diagnostic> {
    /// The share that has children.
    const PARENTS: f64 = 0.6;
    for _ in 0..children {
        known.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let parents = ((known.len() as f64 * PARENTS).ceil() as usize).max(1);
        let (one, other) = (chance.below(parents), chance.below(parents));
        let child = child(chance, &known[one].1, &known[other].1);
        if known.iter().any(|(_, it)| *it == child) {
            continue;
        }
        let lost = loss(&child)?;
        if let Some(worst) = known.last_mut().filter(|worst| lost < worst.0) {
            *worst = (lost, child);
        }
    }
    known.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    Ok(known)
}

/// Numbers in a row from a seed.
struct Chance {
    stream: Stream,
    next: u64,
    normals: Stream,
    next_normal: u64,
}

impl Chance {
    fn new(seed: u64) -> Self {
        let (stream, normals) = (Stream::new(seed, "evolution"), Stream::new(seed, "evolution, moves"));
        Self { stream, next: 0, normals, next_normal: 0 }
    }

    fn normal(&mut self) -> f64 {
        self.next_normal += 1;
        self.normals.normal(self.next_normal)
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
        let found = evolve(&all, &keep, breeding, &mut Chance::new(seed), |sets| Ok(loss(sets))).unwrap();
        let found = found[0].1.clone();
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

    /// Mixtures come nearer to what is wanted, here thrice the first expert; the first ones, sets, are never lost to worse ones.
    #[test]
    fn mixtures_are_better_than_the_sets_that_they_begin_with() {
        let wanted = |mixtures: &Mixtures| {
            let rows = mixtures["a"].experts.iter().zip([3.0, 0.0, 0.0]);
            rows.map(|(it, wanted)| f64::from(it - wanted).powi(2)).sum::<f64>()
        };
        let start: Mixtures = [("a".to_string(), Mixing::of_set(&[0], 3))].into();
        let best = |children: usize| {
            let known = vec![(wanted(&start), start.clone()); 4];
            let mut chance = Chance::new(1);
            breed(known, children, &mut chance, blended, |it| Ok(wanted(it))).unwrap().swap_remove(0).0
        };
        assert_eq!(best(0), 4.0);
        assert!(best(400) < 2.0, "{}", best(400));
        assert_eq!(best(100), best(100));
    }
}
