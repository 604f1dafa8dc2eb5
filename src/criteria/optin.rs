//! `optin`: how far an element's absence bends the way of the hidden states through the layers behind it.

mod absence;
mod probes;
mod states;

use std::collections::BTreeMap;

use self::states::Whole;
use crate::criterion;
use crate::diagnostic::Diagnostic;
use crate::graph::{AxisId, Role};
use crate::observe::axes;
use crate::pass::{Context, Count, Criterion, Data, UnitScores};
use crate::runtime::{Batch, Failure, Model, batches};

criterion! {
    /// How much the results of later layers change when an element is out (OPTIN). No labels and no gradients.
    ///
    /// An element is taken out, the samples go through the layers from its own on, and at each later layer the feed-forward
    /// result is compared with what it was: rows are normalized, and the squared differences of all cosines between `rows` of them
    /// are summed. Elements of the last layer are compared at that layer. Where the model gives logits, the divergence of its
    /// softened probabilities counts too, scaled so that over all elements it has `kl_weight` times the size of the states' part. Heads
    /// and neurons are not scaled against each other: what a head changes more than a neuron is why it is worth its cost.
    ///
    /// The cost is a run of the later layers for each element, which is too much for the neurons of a wide model. With `probes`,
    /// neurons are scored to first order instead: what is compared is then a sum of squares of what gradients say, and so many
    /// random combinations of its terms, one backward pass each, estimate it for all neurons at once, with a standard error of
    /// `sqrt(2 / probes)` of a score or less. Heads are taken out one by one in any case: their absence is not small.
    ///
    /// ```tamis
    /// data calib = text("calib.jsonl", samples: 32)
    /// prune heads, neurons of layers[*] by optin(calib) to 60% flops
    /// prune heads, neurons of layers[*] by optin(calib, samples: 4, probes: 64) to 60% flops
    /// ```
    ///
    /// The Need for Speed: Pruning Transformers with One Recipe, arXiv:2403.17921; without its code's ramps over the numbers of
    /// elements, which make scores depend on their order. The estimate is ours.
    Optin = "optin"
    {
        /// What the model is shown.
        data: Data,
        /// How many samples are taken; all where nothing is said.
        samples: Option<Count>,
        /// Rows whose cosines are compared, evenly spaced over all tokens.
        rows: Count = "768",
        /// What the divergence of probabilities counts beside the states.
        kl_weight: f64 = "0.1",
        /// Random probes that estimate the scores of neurons; without, each is taken out once.
        probes: Option<Count>,
        /// Another seed makes other probes.
        seed: u64 = "0",
    }
}

impl Criterion for Optin {
    fn describe(&self) -> String {
        let some = |name: &str, count: Option<Count>| {
            count.map_or_else(String::new, |Count(count)| format!(", {name}: {count}"))
        };
        let (data, rows, kl_weight) = (self.data.reader.describe(), self.rows.0, self.kl_weight);
        let (samples, probes) = (some("samples", self.samples), some("probes", self.probes));
        let seed = self.probes.map_or_else(String::new, |_| format!(", seed: {}", self.seed));
        format!("optin({data}{samples}, rows: {rows}, kl_weight: {kl_weight}{probes}{seed})")
    }

    fn data(&self) -> Vec<Data> {
        vec![self.data.clone()]
    }

    fn units(&self) -> Option<&dyn UnitScores> {
        Some(self)
    }
}

impl UnitScores for Optin {
    fn takes(&self, noun: &str) -> bool {
        matches!(noun, "heads" | "kv_heads" | "neurons")
    }

    fn score(&self, at: &Context<'_>, paths: &[String]) -> Result<BTreeMap<String, Vec<f64>>, Diagnostic> {
        let axes = axes(&at.version.graph, paths);
        let samples = at.samples(&self.data)?.take(self.samples.map_or(usize::MAX, |Count(samples)| samples));
        // One batch: states of all samples are compared with each other.
        let Some(batch) = batches(samples, usize::MAX, 1).next() else { return Ok(BTreeMap::new()) };
        let changes = self.changes(at, &batch?, &axes).map_err(Failure::told)?;
        let sum = |of: fn(&Change) -> f64| changes.values().flatten().map(of).sum::<f64>();
        let (states, answers) = (sum(|change| change.states), sum(|change| change.answers));
        let weight = if answers > 0.0 { self.kl_weight * states / answers } else { 0.0 };
        let score = |change: &Change| change.states + weight * change.answers;
        let scores = changes.into_iter().map(|(path, changes)| (path, changes.iter().map(score).collect()));
        Ok(scores.collect())
    }
}

/// What an element's absence changes.
#[derive(Debug, Clone, Copy, Default)]
struct Change {
    states: f64,
    answers: f64,
}

impl Optin {
    fn changes(
        &self,
        at: &Context<'_>,
        batch: &Batch,
        axes: &BTreeMap<String, AxisId>,
    ) -> Result<BTreeMap<String, Vec<Change>>, Failure> {
        let model = Model::new(at.version);
        let graph = &at.version.graph;
        let whole = Whole::of(&model, batch, self.rows.0)?;
        let estimated = |axis: &AxisId| self.probes.is_some() && graph.axes[*axis].role == Role::Neurons;
        let (by_probes, one_by_one): (Vec<AxisId>, Vec<AxisId>) =
            axes.values().partition(|axis| estimated(axis));
        let mut changes: BTreeMap<AxisId, Vec<Change>> = BTreeMap::new();
        if let Some(Count(probes)) = self.probes {
            changes.extend(whole.estimates(&by_probes, probes, self.seed)?);
        }
        for axis in one_by_one {
            changes.insert(axis, whole.absences(axis)?);
        }
        let of = |(path, axis): (&String, &AxisId)| Some((path.clone(), changes.remove(axis)?));
        Ok(axes.iter().filter_map(of).collect())
    }
}
