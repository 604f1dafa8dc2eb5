//! How many tokens each layer keeps, learned under a budget with the weights as they are (DiffRate, arXiv:2305.17997).
//!
//! For each layer and both ways to lose tokens there is a distribution over how many stay. Its mean, rounded up, is what stays; a
//! token of rank i is masked as 0 or 1, and has the gradient of the probability that so many stay. The loss is the cross entropy
//! and how far the cost is from the budget.

mod counts;
mod spread;

use std::path::Path;
use std::sync::Arc;

use serde_json::json;

pub use counts::{Counts, learnable};
use spread::Spread;

use super::order::{Order, batches};
use super::state::{self, Saved};
use super::{Progressed, state_dir};
use crate::diagnostic::{Diagnostic, codes, numbers};
use crate::graph::{Graph, ReductionRule, TokenCount};
use crate::observe::gradients::no_logits;
use crate::observe::outputs::classes_of;
use crate::pass::{Context, CostBound, Data, Finding, Length, Sample, Statistics, Training, Work, WorkKind};
use crate::runtime::op::{Host, cross_entropy};
use crate::runtime::{Batch, Failure, Loaded, Masks, Model, masked_logits};
use crate::tensor::descent::{Descent, Moments, Stride};
use crate::weights::Version;

/// How rates are learned.
#[derive(Debug, Clone, PartialEq)]
pub struct Rating {
    /// Learning rates of the first step and of the last; half a cosine leads from one to the other.
    pub rates: [f64; 2],
    /// What the squared distance from the budget, as a share of it, counts beside the cross entropy.
    pub weight: f64,
    /// Samples of a step.
    pub batch: usize,
    /// Steps between two states from which a stopped run goes on.
    pub checkpoint: usize,
    pub seed: u64,
}

/// Learns how many tokens layers keep.
#[derive(Debug)]
pub struct LearnRates {
    pub data: Data,
    pub length: Length,
    /// Paths, in their order.
    pub layers: Vec<String>,
    pub bound: CostBound,
    /// The batch that costs are stated for.
    pub cost_batch: u64,
    pub rating: Rating,
    pub by_size: bool,
    /// Everything that is read.
    pub reads: Vec<String>,
}

impl Work for LearnRates {
    fn kind(&self) -> WorkKind {
        WorkKind::Train
    }

    fn describe(&self) -> String {
        let layers = numbers::things(self.layers.len(), "layer");
        format!("tokens of {layers} on {} for {}", self.data.name, self.length.describe())
    }

    fn arguments(&self) -> serde_json::Value {
        let length = match self.length {
            Length::Epochs(epochs) => json!({ "epochs": epochs }),
            Length::Steps(steps) => json!({ "steps": steps }),
        };
        let Rating { rates, weight, batch, seed, .. } = &self.rating;
        json!({
            "train": {
                "data": self.data.reader.describe(),
                "length": length,
                "rates": rates,
                "weight": weight,
                "batch": batch,
                "seed": seed,
            },
            "learn tokens": self.layers,
            "bound": self.bound,
            "cost batch": self.cost_batch,
            "by size": self.by_size,
        })
    }

    fn reads(&self) -> Vec<String> {
        self.reads.clone()
    }

    fn data(&self) -> Vec<Data> {
        vec![self.data.clone()]
    }

    fn memory(&self, graph: &Graph) -> u64 {
        4 * graph.weights().map(|(_, param)| graph.elements(param) as u64).sum::<u64>()
    }

    fn run(&self, at: &Context<'_>) -> Result<Finding, Diagnostic> {
        let mut version = at.version.clone();
        let counts =
            Counts::new(&mut version.graph, &self.layers, self.bound.measure, self.cost_batch, self.by_size)
                .expect("the step was lowered on this graph");
        let samples: Vec<Sample> = at.samples(&self.data)?.collect::<Result<_, _>>()?;
        if samples.is_empty() {
            let message = format!("`{}` has no sample to learn from", self.data.name);
            return Err(Diagnostic::at(&codes::DATA_INVALID, self.data.span, message));
        }
        let mut learner = Learner::new(self, &version, &counts)?;
        let mut order = Order::of(samples.len(), self.rating.batch, self.rating.seed);
        let steps = self.length.steps(order.steps_in_epoch());
        let dir = state_dir(at);
        let mut done = match at.lasting.then(|| Saved::open(&dir)).flatten() {
            Some(saved) => learner.restore(saved)?,
            None => Progressed::default(),
        };
        at.progress.steps(&format!("learn {}", self.describe()), steps as u64);
        while done.step < steps {
            let chosen = order.of_step(done.step).iter().map(|&sample| samples[sample].clone()).collect();
            let loss = learner.step(&batches(chosen, usize::MAX)?, done.step, steps)?;
            done.step += 1;
            done.note(loss, steps);
            at.progress.step(done.step as u64, &format!("loss {loss:.4}"));
            if at.lasting && done.step < steps && done.step.is_multiple_of(self.rating.checkpoint) {
                learner.save(&done, &dir)?;
            }
        }
        at.progress.finish();
        let _ = std::fs::remove_dir_all(&dir);
        let lists = counts.within(&learner.lists(), self.bound.at_most);
        let found = self.layers.iter().cloned().zip(lists);
        let found = found.map(|(path, list)| (path, list.iter().map(|&count| count as f64).collect()));
        let training = Training {
            on: self.data.name.clone(),
            samples: samples.len(),
            weights: 0,
            arguments: self.arguments(),
            steps: done.step,
            planned: steps,
            curve: done.curve,
            ..Training::default()
        };
        Ok(Finding::Learned { numbers: Statistics(found.collect()), training: Box::new(training) })
    }
}

/// Puts learned numbers, or as yet unknown ones, into the layers of a graph.
pub fn put_rates(graph: &mut Graph, layers: &[String], by_size: bool, found: Option<&Statistics>) {
    for path in layers {
        let number = graph.blocks.iter().position(|block| graph.tree.path(block.node) == *path);
        let Some(number) = number else { continue };
        let (kept, keep) = match found {
            Some(found) => {
                let [prune, merge] = [0, 1].map(|at| found.0[path][at] as usize);
                (prune, TokenCount::Exactly(prune.min(merge)))
            }
            None => (usize::MAX, TokenCount::Open),
        };
        let put = graph.reduce_tokens(number, keep, ReductionRule::MergeByAttention { kept }, by_size);
        debug_assert!(put.is_ok(), "the step was lowered on this graph: {put:?}");
    }
}

/// What is learned, on its way.
struct Learner<'a> {
    work: &'a LearnRates,
    model: Model<'a>,
    weights: Loaded,
    counts: &'a Counts,
    /// For each layer the distribution of what is left once tokens are dropped, and once they are merged.
    spreads: Vec<[Learned; 2]>,
}

/// A distribution and how it moves.
struct Learned {
    spread: Spread,
    moments: Moments,
}

/// Steps as the authors take them: AdamW without decay.
const DESCENT: Descent = Descent::AdamW { betas: [0.9, 0.999], eps: 1e-8, decay: 0.0 };

impl<'a> Learner<'a> {
    fn new(work: &'a LearnRates, version: &'a Version, counts: &'a Counts) -> Result<Self, Diagnostic> {
        let model = Model::new(version);
        let weights = model.load().map_err(Failure::told)?;
        let free = counts.tokens - counts.protected;
        let learned = || Learned { spread: Spread::even(free), moments: DESCENT.moments(free) };
        let spreads = work.layers.iter().map(|_| [learned(), learned()]).collect();
        Ok(Self { work, model, weights, counts, spreads })
    }

    /// What is left in each layer, protected tokens among them: once tokens are dropped, and once they are merged.
    fn lists(&self) -> Vec<[usize; 2]> {
        let left = |learned: &Learned| self.counts.protected + learned.spread.left();
        self.spreads.iter().map(|both| both.each_ref().map(left)).collect()
    }

    /// All distributions and what is remembered of them, by name.
    fn state(&mut self) -> impl Iterator<Item = (String, &mut Vec<f32>)> {
        let all = self.spreads.iter_mut().flatten().enumerate();
        all.flat_map(|(at, Learned { spread, moments })| {
            let parts = [
                ("logits", &mut spread.logits),
                ("first", &mut moments.first),
                ("second", &mut moments.second),
            ];
            parts.map(|(name, values)| (format!("{at}.{name}"), values))
        })
    }

    /// # Errors
    /// Where it cannot be written.
    fn save(&mut self, done: &Progressed, dir: &Path) -> Result<(), Diagnostic> {
        let tensors: Vec<_> = self.state().map(|(name, values)| (name, values.clone())).collect();
        state::save(dir, done, &tensors)
    }

    /// Goes on from a state.
    ///
    /// # Errors
    /// Where it cannot be read.
    fn restore(&mut self, saved: Saved) -> Result<Progressed, Diagnostic> {
        for (name, values) in self.state() {
            *values = saved.read(&name)?;
        }
        Ok(saved.done)
    }

    /// One step; the loss before it.
    fn step(&mut self, batches: &[Batch], step: usize, steps: usize) -> Result<f64, Diagnostic> {
        let lists = self.lists();
        let all: usize = batches.iter().map(Batch::samples).sum();
        let tokens = self.counts.tokens;
        let mut by_rank = vec![[vec![0.0; tokens], vec![0.0; tokens]]; lists.len()];
        let mut loss = 0.0;
        for batch in batches {
            let share = batch.samples() as f64 / all.max(1) as f64;
            let of_batch = self.follow(batch, &lists, share, &mut by_rank).map_err(Failure::told)?;
            loss += share * of_batch;
        }
        let (off, by_count) = self.counts.off(&lists, self.work.bound.at_most, self.work.rating.weight);
        let [first, last] = self.work.rating.rates;
        let turn = (std::f64::consts::PI * step as f64 / steps as f64).cos();
        let stride = Stride {
            rate: last + (first - last) * 0.5 * (1.0 + turn),
            number: step as u64 + 1,
            decays: false,
        };
        for ((both, ranks), counts) in self.spreads.iter_mut().zip(&by_rank).zip(&by_count) {
            for ((learned, ranks), by_count) in both.iter_mut().zip(ranks).zip(counts) {
                let gradient = learned.spread.gradient(&ranks[self.counts.protected..], *by_count);
                DESCENT.step(stride, &mut learned.spread.logits, &gradient, &mut learned.moments);
            }
        }
        match (loss + off).is_finite() {
            true => Ok(loss + off),
            false => {
                let message = format!("the loss is not finite in step {} of {steps}", step + 1);
                Err(Diagnostic::new(&codes::TRAINING_DIVERGED, message).help("take a smaller `rate`"))
            }
        }
    }

    /// The cross entropy of a batch; adds its gradients by the masks of ranks, times a share.
    fn follow(
        &self,
        batch: &Batch,
        lists: &[[usize; 2]],
        share: f64,
        by_rank: &mut [[Vec<f64>; 2]],
    ) -> Result<f64, Failure> {
        let masks = Masks::of(self.counts.tokens, lists)?;
        let logits = masked_logits(&self.model, &self.weights, batch, &masks)?;
        let logits = logits.ok_or_else(|| Failure::Told(Box::new(no_logits(&self.work.data))))?;
        let classes = classes_of(batch, &logits, &self.work.data, false);
        let classes = classes.map_err(|error| Failure::Told(Box::new(error)))?;
        let loss = cross_entropy(&logits.tensor, Arc::new(classes), 0.0)?.mean_all()?;
        let found = loss.backward()?;
        for (masks, sums) in masks.iter().zip(by_rank) {
            for (mask, sum) in [&masks.prune, &masks.merge].into_iter().zip(sums) {
                let Some(gradient) = found.get(mask) else { continue };
                let gradient = gradient.contiguous()?;
                let host = Host::of(&gradient)?;
                sum.iter_mut().zip(host.values()).for_each(|(sum, it)| *sum += share * f64::from(*it));
            }
        }
        Ok(f64::from(loss.to_scalar::<f32>()?))
    }
}
