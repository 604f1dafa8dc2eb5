//! What is compared: cosines between rows of each layer's feed-forward result, and softened probabilities.

use std::collections::BTreeMap;

use super::Change;
use crate::graph::{Graph, Op, OpId, SiteId};
use crate::runtime::kernel::product::{Into, Matrix, Threads, product};
use crate::runtime::op::Host;
use crate::runtime::{Batch, Failure, Gates, Loaded, Model, Value, Values, Watch, divergence};

/// What softens the probabilities that are compared.
pub(super) const TEMPERATURE: f64 = 4.0;

/// A model at work on a batch, with nothing out.
pub(super) struct Whole<'a> {
    model: &'a Model<'a>,
    weights: Loaded,
    batch: &'a Batch,
    pub(super) schedule: Vec<OpId>,
    /// The layer whose feed-forward result an operation is.
    pub(super) fed: BTreeMap<OpId, usize>,
    /// How many rows are compared at most.
    pub(super) most: usize,
    pub(super) values: Values,
    pub(super) seen: Seen,
}

impl<'a> Whole<'a> {
    pub(super) fn of(model: &'a Model<'a>, batch: &'a Batch, most: usize) -> Result<Self, Failure> {
        let graph = &model.version.graph;
        let (weights, schedule, fed) = (model.load()?, graph.schedule(), fed(graph));
        let (mut values, mut seen) = (Values::new(), Seen::new(&fed, most));
        model.again(&schedule, &weights, batch, &Gates::default(), &mut values, &mut seen)?;
        Ok(Self { model, weights, batch, schedule, fed, most, values, seen })
    }

    pub(super) fn graph(&self) -> &Graph {
        &self.model.version.graph
    }

    pub(super) fn run(
        &self,
        ops: &[OpId],
        gates: &Gates,
        values: &mut Values,
        watch: &mut dyn Watch,
    ) -> Result<(), Failure> {
        self.model.again(ops, &self.weights, self.batch, gates, values, watch)
    }

    /// The layer that has some of these sites.
    pub(super) fn layer_of(&self, sites: &[SiteId]) -> Option<usize> {
        let has = |site: &SiteId| sites.contains(site);
        self.model.segments.iter().find(|segment| segment.sites.iter().any(has))?.block
    }

    /// The first layer that an element of a layer is compared at: the next one, of the last one itself.
    pub(super) fn first_compared(&self, layer: Option<usize>) -> usize {
        layer.map_or(0, |layer| (layer + 1).min(self.last_layer()))
    }

    pub(super) fn last_layer(&self) -> usize {
        self.fed.values().copied().max().unwrap_or(0)
    }

    /// The operations at some sites, and all that use what these make, in their order.
    pub(super) fn behind(&self, sites: &[SiteId]) -> Vec<OpId> {
        let graph = self.graph();
        let mut found: Vec<OpId> = Vec::new();
        for &op in &self.schedule {
            let reads = graph.ops[op].op.sites().iter().any(|site| sites.contains(site));
            if reads || graph.operands(op).iter().any(|operand| found.contains(operand)) {
                found.push(op);
            }
        }
        found
    }
}

/// What was seen of a run.
pub(super) struct Seen {
    fed: BTreeMap<OpId, usize>,
    most: usize,
    cosines: BTreeMap<usize, Vec<f32>>,
    logits: Option<(Vec<f32>, usize)>,
}

impl Seen {
    pub(super) fn new(fed: &BTreeMap<OpId, usize>, most: usize) -> Self {
        Self { fed: fed.clone(), most, cosines: BTreeMap::new(), logits: None }
    }

    /// How another run differs, at the layers from `first` on.
    pub(super) fn change(&self, other: &Self, first: usize) -> Change {
        let differences = |(layer, theirs): (&usize, &Vec<f32>)| match other.cosines.get(layer) {
            Some(ours) => theirs.iter().zip(ours).map(|(a, b)| f64::from(a - b).powi(2)).sum(),
            None => 0.0,
        };
        let states = self.cosines.range(first..).map(differences).sum();
        let answers = match (&self.logits, &other.logits) {
            (Some((theirs, width)), Some((ours, _))) => softened(theirs, ours, *width),
            _ => 0.0,
        };
        Change { states, answers }
    }
}

impl Watch for Seen {
    fn made(&mut self, op: OpId, value: &Value) -> Result<(), Failure> {
        if let Some(&layer) = self.fed.get(&op) {
            self.cosines.insert(layer, Compared::of(value, self.most)?.cosines());
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

/// The rows of a value that are compared, evenly spaced and normalized; a row of zeros stays one.
pub(super) struct Compared {
    /// `[rows, width]`
    pub(super) rows: Vec<f32>,
    /// The number of each in the value, and what it was multiplied by.
    pub(super) from: Vec<(usize, f32)>,
    pub(super) width: usize,
}

impl Compared {
    pub(super) fn of(value: &Value, most: usize) -> Result<Self, Failure> {
        let tensor = value.tensor.contiguous()?;
        let (rows, width) = tensor.dims2()?;
        Ok(Self::chosen(Host::of(&tensor)?.values(), rows, width, most))
    }

    fn chosen(values: &[f32], rows: usize, width: usize, most: usize) -> Self {
        let count = rows.min(most);
        let mut found = Self { rows: Vec::with_capacity(count * width), from: Vec::new(), width };
        for at in 0..count {
            let number = at * rows / count;
            let row = &values[number * width..][..width];
            let size = row.iter().map(|it| f64::from(*it).powi(2)).sum::<f64>().sqrt();
            let scale = if size > 0.0 { 1.0 / size } else { 0.0 };
            found.rows.extend(row.iter().map(|it| (f64::from(*it) * scale) as f32));
            found.from.push((number, scale as f32));
        }
        found
    }

    /// Cosines between all of them, `[rows, rows]`; a row of zeros has none with any.
    fn cosines(&self) -> Vec<f32> {
        let count = self.from.len();
        let mut found = vec![0.0; count * count];
        let matrix = Matrix::rows(&self.rows, count, self.width, self.width);
        product((&mut found, count), Into::Replace, 1.0, matrix, matrix.transposed(), Threads::One);
        found
    }
}

/// `T^2 KL(p || q)` of softened probabilities, as a mean over rows.
fn softened(p: &[f32], q: &[f32], width: usize) -> f64 {
    let rows = p.chunks_exact(width).zip(q.chunks_exact(width));
    let count = p.len() / width.max(1);
    let of_row = |(p, q)| divergence(p, q, TEMPERATURE);
    TEMPERATURE.powi(2) * rows.map(of_row).sum::<f64>() / count.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked case of the method's card: rows (1,0), (0,1) against (1,0), (1,1)/sqrt 2 differ by 1.
    #[test]
    fn cosines_of_the_worked_case_differ_by_one() {
        let cosines = |values: &[f32]| Compared::chosen(values, 2, 2, 768).cosines();
        let change = |theirs: &[f32], ours: &[f32]| -> f64 {
            cosines(theirs).iter().zip(cosines(ours)).map(|(a, b)| f64::from(a - b).powi(2)).sum()
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
