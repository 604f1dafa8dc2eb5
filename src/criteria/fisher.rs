//! `fisher`: what an element's absence does to the loss, to second order.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::criterion;
use crate::diagnostic::Diagnostic;
use crate::graph::Graph;
use crate::observe::{RearrangeUnits, axes, gate_gradients, read_batches};
use crate::pass::{Context, Count, Criterion, Data, UnitScores, Work};

criterion! {
    /// The squared gradient of the loss by a gate on a head, neuron or group of heads, summed over the data: the diagonal of the
    /// empirical Fisher information of the gates.
    ///
    /// A gate is a factor on what an element gives to the next operation; at 1 nothing is changed, at 0 the element is out. The
    /// loss is the cross entropy of the labels, or of the next tokens of a language model. With `batch` above 1 gradients of so
    /// many consecutive samples are averaged before they are squared, as the paper's code does. With `rearrange` units
    /// that go are exchanged for others of their axis where together they cost less: two whose gradients cancel out are better
    /// gone than either alone.
    ///
    /// ```tamis
    /// data train = text("train.jsonl", label: "label", samples: 512)
    /// prune heads, neurons of layers[*] by fisher(train) to 60% flops
    /// ```
    ///
    /// A Fast Post-Training Pruning Framework for Transformers, arXiv:2204.09656.
    Fisher = "fisher"
    {
        /// Samples with labels; of a language model, text.
        data: Data,
        /// How many of them are taken; all where nothing is said.
        samples: Option<Count>,
        /// Samples whose gradients are averaged before they are squared.
        batch: Count = "1",
        /// Whether what goes is chosen anew, axis by axis, by what units do together.
        rearrange: bool = "false",
    }
}

impl Criterion for Fisher {
    fn describe(&self) -> String {
        let samples = self.samples.map_or_else(String::new, |Count(samples)| format!(", samples: {samples}"));
        let rearrange = if self.rearrange { ", rearrange" } else { "" };
        format!("fisher({}{samples}, batch: {}{rearrange})", self.data.reader.describe(), self.batch.0)
    }

    fn data(&self) -> Vec<Data> {
        vec![self.data.clone()]
    }

    fn units(&self) -> Option<&dyn UnitScores> {
        Some(self)
    }

    fn choose_anew(&self, graph: &Graph, axes: &[String]) -> Option<Arc<dyn Work>> {
        let samples = self.samples.map(|Count(samples)| samples);
        let work = || RearrangeUnits::new(graph, self.data.clone(), samples, self.batch.0.max(1), axes);
        self.rearrange.then(|| Arc::new(work()) as Arc<dyn Work>)
    }
}

impl UnitScores for Fisher {
    fn takes(&self, noun: &str) -> bool {
        !matches!(noun, "layers" | "experts" | "vocab")
    }

    fn score(&self, at: &Context<'_>, paths: &[String]) -> Result<BTreeMap<String, Vec<f64>>, Diagnostic> {
        let axes = axes(&at.version.graph, paths);
        let batches = read_batches(at, &self.data, self.samples.map(|Count(samples)| samples))?;
        let asked: Vec<_> = axes.values().copied().collect();
        let mut found = gate_gradients(at, &self.data, &batches, &asked, self.batch.0.max(1))?;
        let mut squares = |axis| found.squares.remove(&axis).unwrap_or_default();
        Ok(axes.into_iter().map(|(path, axis)| (path, squares(axis))).collect())
    }
}
