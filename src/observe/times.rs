//! How long a model's operations take here, measured one by one: the table that a recipe bounds latency with.

use std::collections::BTreeMap;
use std::time::Instant;

use super::{blank, run_once};
use crate::diagnostic::Diagnostic;
use crate::graph::{Graph, Grid, OpId, SiteId, Times};
use crate::pass::Progress;
use crate::runtime::op::{linear, tensor};
use crate::runtime::{Batch, Blind, Failure, Gates, Loaded, Model, Rows, Value, Values};
use crate::weights::Version;

/// Shares of an extent, in eighths, at which times are taken.
const EIGHTHS: [usize; 5] = [1, 2, 4, 6, 8];

/// What is measured shorter than this is repeated until it is not, in seconds.
const LONG_ENOUGH: f64 = 1e-3;

/// Measures a model for a batch of the size that its graph is for: products and attention at the model's extents and at smaller
/// ones, and a whole pass, what is left of which is the share of everything else. Of `runs` times the median counts.
///
/// # Errors
/// Where weights cannot be read.
pub fn measure_times(
    version: &Version,
    batch: usize,
    runs: usize,
    progress: &dyn Progress,
) -> Result<Times, Diagnostic> {
    let graph = &version.graph;
    let tokens = graph.text_tokens().map(|axis| graph.extent(axis).max);
    let mut times = Times::new(tokens, batch as u64, rayon::current_num_threads());
    let timing = Timing::new(version, batch, runs)?;
    timing.operations(&mut times.operations, progress).map_err(Failure::told)?;
    let whole = timing.whole().map_err(Failure::told)?;
    drop(timing);
    // A recipe may convert attention, and asks for its time then: what is known already is not measured again.
    let mut flowing = version.clone();
    let converted =
        (0..graph.blocks.len()).filter(|&layer| flowing.graph.convert_to_flow(layer) == Ok(true)).count();
    if converted > 0 {
        let timing = Timing::new(&flowing, batch, runs)?;
        timing.operations(&mut times.operations, progress).map_err(Failure::told)?;
    }
    // What the operations with times of their own make up, and the rest for each byte.
    let mut graph = graph.clone();
    graph.set_times(times.clone());
    let cost = graph.cost(batch as u64);
    let left = whole * 1e9 - cost.nanoseconds.max as f64;
    times.rest = left.max(0.0) / cost.activation_bytes.max.max(1) as f64;
    Ok(times)
}

struct Timing<'a> {
    model: Model<'a>,
    weights: Loaded,
    batch: Batch,
    runs: usize,
}

impl<'a> Timing<'a> {
    fn new(version: &'a Version, batch: usize, runs: usize) -> Result<Self, Diagnostic> {
        let model = Model::new(version);
        let weights = model.load().map_err(Failure::told)?;
        Ok(Self { batch: blank(&version.graph, batch), weights, model, runs })
    }

    fn graph(&self) -> &Graph {
        &self.model.version.graph
    }

    /// Adds the times of operations that are not among them.
    fn operations(&self, found: &mut BTreeMap<String, Grid>, progress: &dyn Progress) -> Result<(), Failure> {
        let graph = self.graph();
        // Equal shapes take equal times, whatever they are for.
        let mut known: BTreeMap<[usize; 3], Grid> = BTreeMap::new();
        for op in graph.schedule() {
            for (node, site) in graph.timed(op) {
                let place = graph.timed_place(op, node);
                if found.contains_key(&place) {
                    continue;
                }
                progress.start(&format!("time {place}"), None);
                let grid = match site {
                    None => self.attention(op)?,
                    Some(site) => {
                        let shape = self.shape(op, site);
                        match known.get(&shape) {
                            Some(grid) => grid.clone(),
                            None => known.entry(shape).or_insert(self.product(shape)?).clone(),
                        }
                    }
                };
                progress.finish();
                found.insert(place, grid.growing());
            }
        }
        Ok(())
    }

    /// Rows, inputs and outputs of a product.
    fn shape(&self, op: OpId, site: SiteId) -> [usize; 3] {
        let graph = self.graph();
        let (outs, ins) = graph.site_dims(site);
        let value = &graph.ops[op].value;
        let rows: usize =
            value.split_last().map_or(1, |(_, rows)| rows.iter().map(|dim| graph.dim_extent(dim)).product());
        [rows * self.batch.samples(), graph.dim_extent(&ins), graph.dim_extent(&outs)]
    }

    fn product(&self, [rows, inputs, outputs]: [usize; 3]) -> Result<Grid, Failure> {
        let (inputs, outputs) = (points(inputs), points(outputs));
        let time = |ins: usize, outs: usize| -> Result<f64, Failure> {
            let x = tensor(vec![0.5; rows * ins], (rows, ins))?;
            let weight = tensor(vec![0.25; outs * ins], (outs, ins))?;
            self.nanoseconds(|| {
                linear(&x, &weight, None)?;
                Ok(())
            })
        };
        let row = |&ins: &usize| outputs.iter().map(|&outs| time(ins, outs)).collect();
        let nanoseconds = inputs.iter().map(row).collect::<Result<_, Failure>>()?;
        Ok(Grid { inputs, outputs, nanoseconds })
    }

    /// The operation itself, with fewer heads.
    fn attention(&self, op: OpId) -> Result<Grid, Failure> {
        let graph = self.graph();
        let operands = graph.operands(op);
        let widths: Vec<usize> = operands
            .iter()
            .map(|&operand| graph.ops[operand].value.last().map_or(1, |dim| graph.dim_extent(dim)))
            .collect();
        let (kv_heads, query) = (self.kv_heads(op), widths[0]);
        let positions: usize = {
            let value = &graph.ops[op].value;
            value[..value.len() - 1].iter().map(|dim| graph.dim_extent(dim)).product()
        };
        let rows = Rows::of(std::iter::repeat_n(positions, self.batch.samples()));
        let heads = points(kv_heads);
        let time = |heads: &usize| -> Result<f64, Failure> {
            let mut values = Values::new();
            for (&operand, width) in operands.iter().zip(&widths) {
                let width = width / kv_heads * heads;
                let tensor = tensor(vec![0.5; rows.count() * width], (rows.count(), width))?;
                values.insert(operand, Value { tensor, rows: rows.clone().into() });
            }
            let run = || {
                let gates = Gates::default();
                self.model.again(&[op], &self.weights, &self.batch, &gates, &mut values.clone(), &mut Blind)
            };
            self.nanoseconds(run)
        };
        let nanoseconds = vec![heads.iter().map(time).collect::<Result<_, Failure>>()?];
        Ok(Grid {
            inputs: vec![1],
            outputs: heads.iter().map(|heads| query / kv_heads * heads).collect(),
            nanoseconds,
        })
    }

    /// Heads that have a key of their own.
    fn kv_heads(&self, op: OpId) -> usize {
        let graph = self.graph();
        let Some(key) = graph.operands(op).get(1).and_then(|&key| graph.ops[key].value.last()) else {
            return 1;
        };
        let head_dim = key.0.last().map_or(1, |&axis| graph.extent(axis).max).max(1);
        (graph.dim_extent(key) / head_dim).max(1)
    }

    /// Seconds of a whole pass.
    fn whole(&self) -> Result<f64, Failure> {
        Ok(self.nanoseconds(|| run_once(&self.model, &self.weights, &self.batch))? / 1e9)
    }

    /// The median time of something, after once that is not counted.
    fn nanoseconds(&self, run: impl Fn() -> Result<(), Failure>) -> Result<f64, Failure> {
        let seconds = |times: usize| -> Result<f64, Failure> {
            let begun = Instant::now();
            (0..times).try_for_each(|_| run())?;
            Ok(begun.elapsed().as_secs_f64() / times as f64)
        };
        let times = (LONG_ENOUGH / seconds(1)?.max(1e-9)).ceil().clamp(1.0, 1e5) as usize;
        let mut found: Vec<f64> = (0..self.runs.max(1)).map(|_| seconds(times)).collect::<Result<_, _>>()?;
        found.sort_by(f64::total_cmp);
        Ok(found[found.len() / 2] * 1e9)
    }
}

/// Some shares of an extent, each once.
fn points(extent: usize) -> Vec<usize> {
    let mut points: Vec<usize> =
        EIGHTHS.iter().map(|eighths| (extent * eighths).div_ceil(8).max(1)).collect();
    points.dedup();
    points
}
