//! `optin`: how far an element's absence bends the way of the hidden states through the layers behind it.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::criterion;
use crate::diagnostic::Diagnostic;
use crate::graph::{AxisId, Graph, Op, OpId, SiteId};
use crate::observe::axes;
use crate::pass::{Context, Count, Criterion, Data, UnitScores};
use crate::runtime::kernel::product::{Into, Matrix, Threads, product};
use crate::runtime::op::{Host, tensor};
use crate::runtime::{Batch, Failure, Gates, Model, Value, Values, Watch, batches, log_sum_exp, readers};

/// What softens the probabilities that are compared.
const TEMPERATURE: f64 = 4.0;

criterion! {
    /// How much the results of later layers change when an element is out (OPTIN). No labels and no gradients.
    ///
    /// An element is taken out, the samples go through the layers from its own on, and at each later layer the feed-forward
    /// result is compared with what it was: rows are normalized, and the squared differences of all cosines between `rows` of them
    /// are summed. Elements of the last layer are compared at that layer. Where the model gives logits, the divergence of its
    /// softened probabilities counts too, scaled so that over all elements it has `kl_weight` times the size of the states' part. Heads
    /// and neurons are not scaled against each other: what a head changes more than a neuron is why it is worth its cost.
    ///
    /// The cost is a run of the later layers for each element: take few samples for wide models.
    ///
    /// ```tamis
    /// data calib = text("calib.jsonl", samples: 32)
    /// prune heads, neurons of layers[*] by optin(calib) to 60% flops
    /// ```
    ///
    /// The Need for Speed: Pruning Transformers with One Recipe, arXiv:2403.17921; without its code's ramps over the numbers of
    /// elements, which make scores depend on their order.
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
    }
}

impl Criterion for Optin {
    fn describe(&self) -> String {
        let samples = self.samples.map_or_else(String::new, |Count(samples)| format!(", samples: {samples}"));
        let (data, rows, kl_weight) = (self.data.reader.describe(), self.rows.0, self.kl_weight);
        format!("optin({data}{samples}, rows: {rows}, kl_weight: {kl_weight})")
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
        let graph = &at.version.graph;
        let axes = axes(graph, paths);
        let samples = at.samples(&self.data)?.take(self.samples.map_or(usize::MAX, |Count(samples)| samples));
        // One batch: states of all samples are compared with each other.
        let made = batches(samples, usize::MAX, 1).map_err(Failure::told)?;
        let Some(batch) = made.first() else { return Ok(BTreeMap::new()) };
        let changes = self.changes(at, batch, &axes).map_err(Failure::told)?;
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
        let graph = &at.version.graph;
        let model = Model::new(at.version);
        let weights = model.load()?;
        let (schedule, mut teacher) = (graph.schedule(), Seen::new(graph, self.rows.0));
        let mut values = Values::new();
        model.again(&schedule, &weights, batch, &Gates::default(), &mut values, &mut teacher)?;
        let mut changes = BTreeMap::new();
        for (path, &axis) in axes {
            let sites = readers(graph, axis);
            let own =
                model.segments.iter().find(|segment| sites.iter().any(|site| segment.sites.contains(site)));
            let block = own.and_then(|segment| segment.block);
            let behind = behind(graph, &schedule, &sites);
            let extent = graph.extent(axis).max;
            let run = |element: usize| -> Result<Change, Failure> {
                let mut seen = Seen::new(graph, self.rows.0);
                let gates = without(graph, axis, extent, element)?;
                // Nothing before the element's readers knows that it is out.
                model.again(&behind, &weights, batch, &gates, &mut values.clone(), &mut seen)?;
                Ok(teacher.change(&seen, block))
            };
            let of_axis: Vec<Change> =
                (0..extent).into_par_iter().map(run).collect::<Result<_, Failure>>()?;
            changes.insert(path.clone(), of_axis);
        }
        Ok(changes)
    }
}

/// The operations at some sites, and all that use what these make.
fn behind(graph: &Graph, schedule: &[OpId], sites: &[SiteId]) -> Vec<OpId> {
    let mut found: Vec<OpId> = Vec::new();
    for &op in schedule {
        let reads = graph.ops[op].op.sites().iter().any(|site| sites.contains(site));
        if reads || graph.operands(op).iter().any(|operand| found.contains(operand)) {
            found.push(op);
        }
    }
    found
}

/// Gates of 1, and of 0 for one element.
fn without(graph: &Graph, axis: AxisId, extent: usize, element: usize) -> Result<Gates, Failure> {
    let factors = (0..extent).map(|at| f32::from(u8::from(at != element))).collect();
    let mut gates = Gates::default();
    gates.put(graph, axis, &tensor(factors, (1, extent))?);
    Ok(gates)
}

/// What is compared: cosines between rows of each layer's feed-forward result, and the logits.
struct Seen {
    /// The number of the layer whose feed-forward result an operation is.
    layer_of: BTreeMap<OpId, usize>,
    rows: usize,
    cosines: BTreeMap<usize, Vec<f32>>,
    logits: Option<(Vec<f32>, usize)>,
}

impl Seen {
    fn new(graph: &Graph, rows: usize) -> Self {
        Self { layer_of: fed(graph), rows, cosines: BTreeMap::new(), logits: None }
    }

    /// How a student differs, at the layers behind the one whose element is out.
    fn change(&self, student: &Self, block: Option<usize>) -> Change {
        let last = self.layer_of.values().copied().max().unwrap_or(0);
        let first = block.map_or(0, |block| (block + 1).min(last));
        let differences = |(layer, theirs): (&usize, &Vec<f32>)| match student.cosines.get(layer) {
            Some(ours) => theirs.iter().zip(ours).map(|(a, b)| f64::from(a - b).powi(2)).sum(),
            None => 0.0,
        };
        let states = self.cosines.range(first..).map(differences).sum();
        let answers = match (&self.logits, &student.logits) {
            (Some((theirs, width)), Some((ours, _))) => softened(theirs, ours, *width),
            _ => 0.0,
        };
        Change { states, answers }
    }
}

impl Watch for Seen {
    fn made(&mut self, op: OpId, value: &Value) -> Result<(), Failure> {
        if let Some(&layer) = self.layer_of.get(&op) {
            let tensor = value.tensor.contiguous()?;
            let (rows, width) = tensor.dims2()?;
            self.cosines.insert(layer, cosines(Host::of(&tensor)?.values(), rows, width, self.rows));
        }
        Ok(())
    }

    fn output(&mut self, name: &str, value: &Value, _: &Batch) -> Result<(), Failure> {
        if name == "logits" {
            let tensor = value.tensor.contiguous()?;
            let width = tensor.dims2()?.1;
            self.logits = Some((Host::of(&tensor)?.values().to_vec(), width));
        }
        Ok(())
    }
}

/// The feed-forward result of each layer: of what its last addition adds, what was made last.
fn fed(graph: &Graph) -> BTreeMap<OpId, usize> {
    let schedule = graph.schedule();
    let place: BTreeMap<OpId, usize> = schedule.iter().enumerate().map(|(at, op)| (*op, at)).collect();
    let of_block = |(number, block): (usize, &crate::graph::Block)| {
        let inside = graph.tree.below(block.node);
        let adds = |op: &&OpId| graph.ops[**op].op == Op::Add && inside.contains(&graph.ops[**op].node);
        let last = schedule.iter().rfind(adds)?;
        Some((graph.operands(*last).into_iter().max_by_key(|operand| place[operand])?, number))
    };
    graph.blocks.iter().enumerate().filter_map(of_block).collect()
}

/// Cosines between some rows, `[rows, rows]`; a row of zeros has none with any.
fn cosines(values: &[f32], rows: usize, width: usize, most: usize) -> Vec<f32> {
    let count = rows.min(most);
    let mut chosen = Vec::with_capacity(count * width);
    for at in 0..count {
        let row = &values[at * rows / count * width..][..width];
        let size = row.iter().map(|it| f64::from(*it).powi(2)).sum::<f64>().sqrt();
        let scale = if size > 0.0 { 1.0 / size } else { 0.0 };
        chosen.extend(row.iter().map(|it| (f64::from(*it) * scale) as f32));
    }
    let mut found = vec![0.0; count * count];
    let matrix = Matrix::rows(&chosen, count, width, width);
    product((&mut found, count), Into::Replace, 1.0, matrix, matrix.transposed(), Threads::One);
    found
}

/// `T^2 KL(p || q)` of softened probabilities, as a mean over rows.
fn softened(p: &[f32], q: &[f32], width: usize) -> f64 {
    let rows = p.chunks_exact(width).zip(q.chunks_exact(width));
    let count = p.len() / width.max(1);
    let of_row = |(p, q): (&[f32], &[f32])| {
        let soft = |row: &[f32]| -> Vec<f32> { row.iter().map(|it| it / TEMPERATURE as f32).collect() };
        let (p, q) = (soft(p), soft(q));
        let (of_p, of_q) = (log_sum_exp(&p), log_sum_exp(&q));
        let term = |(p, q): (&f32, &f32)| {
            let (p, q) = (f64::from(*p) - of_p, f64::from(*q) - of_q);
            p.exp() * (p - q)
        };
        p.iter().zip(&q).map(term).sum::<f64>().max(0.0)
    };
    TEMPERATURE.powi(2) * rows.map(of_row).sum::<f64>() / count.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked case of the method's card: rows (1,0), (0,1) against (1,0), (1,1)/sqrt 2 differ by 1.
    #[test]
    fn cosines_of_the_worked_case_differ_by_one() {
        let change = |theirs: &[f32], ours: &[f32]| -> f64 {
            let (theirs, ours) = (cosines(theirs, 2, 2, 768), cosines(ours, 2, 2, 768));
            theirs.iter().zip(&ours).map(|(a, b)| f64::from(a - b).powi(2)).sum()
        };
        assert!((change(&[1.0, 0.0, 0.0, 1.0], &[1.0, 0.0, 1.0, 1.0]) - 1.0).abs() < 1e-6);
        // Turned and scaled rows are at the same angles.
        assert!(change(&[1.0, 0.0, 1.0, 1.0], &[0.0, 3.0, -3.0, 3.0]) < 1e-10);
    }

    #[test]
    fn probabilities_are_softened() {
        let logits = |p: f32| [4.0 * p.ln(), 4.0 * (1.0 - p).ln()];
        assert!((softened(&logits(0.7), &logits(0.6), 2) - 0.345_614).abs() < 1e-4);
    }
}
