//! Every set of experts tried: which ones a layer can do without, by what its output loses (NAEE).

use std::collections::BTreeMap;

use candle_core::Tensor;
use rayon::prelude::*;
use serde_json::json;

use super::super::{axes, read_batches};
use super::seeing::Seeing;
use crate::diagnostic::{Diagnostic, numbers};
use crate::graph::{AxisId, Experts, Graph, SiteId};
use crate::pass::{Context, Data, Finding, Kept, Work, WorkKind};
use crate::runtime::op::Host;
use crate::runtime::{Edit, Failure, Loaded, Model, Routed, Segment, Watch, expert_output};

/// More sets of one layer are not tried.
pub const MOST_SUBSETS: usize = 10_000;

/// How many sets of `keep` there are of `all`; `None` above [`MOST_SUBSETS`].
pub fn subsets(all: usize, keep: usize) -> Option<usize> {
    let mut count: usize = 1;
    for taken in 0..keep.min(all - keep) {
        count = count * (all - taken) / (taken + 1);
        if count > MOST_SUBSETS {
            return None;
        }
    }
    Some(count)
}

/// Keeps the sets of experts with which layers lose the least of their output.
#[derive(Debug)]
pub struct ChooseSubset {
    seeing: Seeing,
    /// How many stay of each axis of experts, by path.
    keep: BTreeMap<String, usize>,
}

impl ChooseSubset {
    pub fn new(graph: &Graph, data: Data, keep: &BTreeMap<String, usize>) -> Self {
        Self { seeing: Seeing::new(graph, data), keep: keep.clone() }
    }
}

impl Work for ChooseSubset {
    fn kind(&self) -> WorkKind {
        WorkKind::Select
    }

    fn describe(&self) -> String {
        let layers = numbers::things(self.keep.len(), "layer");
        format!("the experts that {layers} need most on {}", self.seeing.data.name)
    }

    fn arguments(&self) -> serde_json::Value {
        self.seeing.arguments(json!({ "sets of experts": self.keep }))
    }

    fn reads(&self) -> Vec<String> {
        self.seeing.reads.clone()
    }

    fn data(&self) -> Vec<Data> {
        vec![self.seeing.data.clone()]
    }

    fn run(&self, at: &Context<'_>) -> Result<Finding, Diagnostic> {
        let graph = &at.version.graph;
        let paths: Vec<String> = self.keep.keys().cloned().collect();
        let of = axes(graph, &paths);
        let trial = |(path, &axis): (&String, &AxisId)| {
            let (_, experts) = graph.experts_of(axis)?;
            Some((axis, Trial::new(experts.clone(), self.keep[path])))
        };
        let trials: BTreeMap<AxisId, Trial> = of.iter().filter_map(trial).collect();
        let routers: Vec<SiteId> = trials.values().map(|trial| trial.of.router).collect();
        let mut trying = Trying { trials, inputs: BTreeMap::new() };
        let batches = read_batches(at, &self.seeing.data, None)?;
        let model = Model::new(at.version);
        model.edit(&batches, &mut trying, model.last_block(&routers)).map_err(Failure::told)?;
        let kept = of.into_iter().map(|(path, axis)| (path, trying.trials[&axis].best()));
        Ok(Finding::Kept(Kept { stay: kept.collect(), ..Kept::default() }))
    }
}

/// The sets of one layer, and what each lost so far: the sum over tokens of the squared distance to the output of all experts.
struct Trial {
    of: Experts,
    sets: Vec<Vec<usize>>,
    lost: Vec<f64>,
}

impl Trial {
    fn new(of: Experts, keep: usize) -> Self {
        let sets = sets(of.experts.len(), keep);
        let lost = vec![0.0; sets.len()];
        Self { of, sets, lost }
    }

    /// Of equal losses the first set.
    fn best(&self) -> Vec<usize> {
        let best =
            (0..self.sets.len()).reduce(|best, it| if self.lost[it] < self.lost[best] { it } else { best });
        best.map_or_else(Vec::new, |best| self.sets[best].clone())
    }

    /// Adds what is lost of some tokens: `logits` and products of what each two experts make of the token, `[experts, experts]`.
    fn add(&mut self, logits: &[f32], products: &[Vec<f64>]) {
        let count = self.of.experts.len();
        let all: Vec<usize> = (0..count).collect();
        let (of, lost, sets) = (&self.of, &mut self.lost, &self.sets);
        lost.par_iter_mut().zip(sets).for_each(|(lost, set)| {
            for (logits, products) in logits.chunks_exact(count).zip(products) {
                let mut change = gates(logits, &all, of);
                change.iter_mut().zip(gates(logits, set, of)).for_each(|(change, gate)| *change -= gate);
                *lost += square(&change, products);
            }
        });
    }
}

/// Gates of all experts where only those of a set are there.
fn gates(logits: &[f32], set: &[usize], of: &Experts) -> Vec<f64> {
    let top = set.iter().map(|&it| logits[it]).fold(f32::NEG_INFINITY, f32::max);
    let weight = |it: usize| f64::from(logits[it] - top).exp();
    let mut order = set.to_vec();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    order.truncate(of.top_k);
    let among = if of.renormalize { order.as_slice() } else { set };
    let sum: f64 = among.iter().map(|&it| weight(it)).sum();
    let mut gates = vec![0.0; logits.len()];
    order.iter().for_each(|&it| gates[it] = weight(it) / sum);
    gates
}

/// `change^T products change`.
fn square(change: &[f64], products: &[f64]) -> f64 {
    let rows = products.chunks_exact(change.len().max(1)).zip(change).filter(|(_, it)| **it != 0.0);
    let row = |(row, it): (&[f64], &f64)| it * row.iter().zip(change).map(|(a, b)| a * b).sum::<f64>();
    rows.map(row).sum::<f64>().max(0.0)
}

/// All sets of `keep` numbers below `all`, each ascending, in lexicographic order.
fn sets(all: usize, keep: usize) -> Vec<Vec<usize>> {
    if keep == 0 {
        return vec![Vec::new()];
    }
    let with_last = |last: usize| {
        sets(last, keep - 1).into_iter().map(move |mut set| {
            set.push(last);
            set
        })
    };
    let mut sets: Vec<Vec<usize>> = (keep - 1..all).flat_map(with_last).collect();
    sets.sort_unstable();
    sets
}

struct Trying {
    trials: BTreeMap<AxisId, Trial>,
    /// What came to the routers of the layer that is running, and their logits, batch by batch.
    inputs: BTreeMap<AxisId, Vec<(Tensor, Tensor)>>,
}

impl Watch for Trying {
    fn routed(&mut self, of: &Experts, routed: &Routed<'_>) -> Result<(), Failure> {
        if self.trials.contains_key(&of.axis) {
            let seen = (routed.x.tensor.clone(), routed.logits.contiguous()?);
            self.inputs.entry(of.axis).or_default().push(seen);
        }
        Ok(())
    }
}

impl Edit for Trying {
    /// Changes nothing. Every expert runs once for every token; sets are then a matter of gates.
    fn edit(&mut self, _: &Segment, weights: &mut Loaded) -> Result<bool, Failure> {
        for (axis, inputs) in std::mem::take(&mut self.inputs) {
            let trial = self.trials.get_mut(&axis).expect("inputs are kept of what is tried");
            let count = trial.of.experts.len();
            for (x, logits) in inputs {
                let outputs: Vec<Tensor> = (0..count)
                    .map(|number| Ok(expert_output(weights, &trial.of, number, &x)?.contiguous()?))
                    .collect::<Result<_, Failure>>()?;
                let products = token_products(&outputs)?;
                trial.add(Host::of(&logits)?.values(), &products);
            }
        }
        Ok(false)
    }
}

/// For each token the products of what each two experts make of it.
fn token_products(outputs: &[Tensor]) -> Result<Vec<Vec<f64>>, Failure> {
    let hosts: Vec<Host<'_>> = outputs.iter().map(Host::of).collect::<Result<_, _>>()?;
    let Some(first) = outputs.first() else { return Ok(Vec::new()) };
    let (rows, width) = first.dims2()?;
    let values: Vec<&[f32]> = hosts.iter().map(Host::values).collect();
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let of_token = |row: usize| {
        let row = row * width..(row + 1) * width;
        let pairs = values.iter().flat_map(|a| values.iter().map(move |b| (a, b)));
        pairs.map(|(a, b)| dot(&a[row.clone()], &b[row.clone()])).collect()
    };
    Ok((0..rows).into_par_iter().map(of_token).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Activation, Arena, Expert};

    /// Scalar experts y = a x with a = (1, 2, -1), two a token: the case of the method card (NAEE).
    fn trial(keep: usize) -> Trial {
        let mut arena: Arena<crate::graph::Axis> = Arena::default();
        let mut sites: Arena<crate::graph::Site> = Arena::default();
        let node = crate::graph::Tree::default().root();
        let axis = arena.push(crate::graph::Axis {
            role: crate::graph::Role::Experts,
            extent: crate::graph::Extent::exact(3),
            node,
            key: None,
        });
        let param = Arena::default().push(crate::graph::Param {
            name: crate::graph::Name::new(Vec::new()),
            dtype: crate::tensor::DType::F32,
            dims: Vec::new(),
            aliases: Vec::new(),
            buffer: false,
        });
        let site = sites.push(crate::graph::Site {
            node,
            kind: crate::graph::SiteKind::Linear,
            weight: crate::graph::Weight::Dense(crate::graph::View::whole(param)),
            bias: None,
            transposed: false,
            sparsity: None,
        });
        let expert = Expert { gate: None, up: site, down: site };
        let of = Experts::new(axis, site, vec![expert; 3], 2, Activation::Silu);
        let mut trial = Trial::new(of, keep);
        let logits = [2.0, 1.0, 0.0, 0.0, 1.0, 2.0, 1.0, 2.0, 0.0];
        let scalars = [1.0, 2.0, -1.0];
        let products = |x: f64| -> Vec<f64> {
            scalars.iter().flat_map(|a| scalars.iter().map(move |b| a * b * x * x)).collect()
        };
        trial.add(&logits, &[products(1.0), products(2.0), products(-1.0)]);
        trial
    }

    #[test]
    fn losses_are_those_of_the_worked_case() {
        let trial = trial(2);
        assert_eq!(trial.sets, [[0, 1], [0, 2], [1, 2]]);
        // Without expert 2, 1 and 0.
        for (lost, expected) in trial.lost.iter().zip([3.848_469, 1.777_642, 0.116_629]) {
            assert!((lost.sqrt() - expected).abs() < 1e-6, "{} {expected}", lost.sqrt());
        }
        assert_eq!(trial.best(), [1, 2]);
    }

    #[test]
    fn all_sets_are_counted_and_made() {
        assert_eq!(subsets(8, 4), Some(70));
        assert_eq!(sets(8, 4).len(), 70);
        assert_eq!(subsets(64, 32), None);
        assert_eq!(subsets(128, 127), Some(128));
        assert_eq!(sets(3, 3), [[0, 1, 2]]);
    }

    /// Of gates that are not renormalized, those that stay rise: less is in the sum.
    #[test]
    fn gates_are_those_of_the_model_that_is_left() {
        let mut of = trial(2).of;
        let logits = [0.5f32.ln(), 0.3f32.ln(), 0.2f32.ln()];
        let near = |gates: Vec<f64>, expected: [f64; 3]| {
            assert!(gates.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{gates:?}");
        };
        near(gates(&logits, &[0, 1, 2], &of), [0.625, 0.375, 0.0]);
        of.renormalize = false;
        near(gates(&logits, &[0, 1, 2], &of), [0.5, 0.3, 0.0]);
        near(gates(&logits, &[0, 2], &of), [5.0 / 7.0, 0.0, 2.0 / 7.0]);
    }
}
