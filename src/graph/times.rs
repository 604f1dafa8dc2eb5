//! How long operations take, as measured once on some machine: with it a recipe bounds time as it bounds FLOPs, from shapes.
//!
//! Products and attention are grids of measured points between which times are interpolated; what lies below the smallest point
//! takes as long as that one (a call costs something, however small), and what lies above the largest grows as the last stretch
//! does. All other operations together are a time for each byte that they make. Tables of this kind stand in for a machine in
//! Kwon et al. (2022, arXiv:2204.09656) and in NViT (arXiv:2110.04869).

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::between::Between;
use super::op::Op;
use super::param::{SiteId, Weight};
use super::tree::NodeId;
use super::{Graph, OpId, Shared};

/// The version of the format.
const SCHEMA: u32 = 1;

/// A table of measured times, for one input, one number of threads and the shapes of one model and smaller ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Times {
    pub schema: u32,
    /// Tokens of each text; of a picture none, its size says it.
    pub tokens: Option<usize>,
    pub batch: u64,
    pub threads: usize,
    /// By place in the tree, numbers of layers and experts left out: `layers[*].mlp.up`, `layers[*].attention`; and what an attention
    /// takes once it is converted, `layers[*].attention as flow`.
    pub operations: BTreeMap<String, Grid>,
    /// Nanoseconds for each byte that any operation makes.
    pub rest: f64,
}

/// Measured points: of a product by inputs and outputs, of attention (with one input) by the width of the queries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Grid {
    /// Ascending.
    pub inputs: Vec<usize>,
    /// Ascending.
    pub outputs: Vec<usize>,
    /// Nanoseconds, `[inputs, outputs]`.
    pub nanoseconds: Vec<Vec<f64>>,
}

impl Times {
    pub fn new(tokens: Option<usize>, batch: u64, threads: usize) -> Self {
        Self { schema: SCHEMA, tokens, batch, threads, operations: BTreeMap::new(), rest: 0.0 }
    }

    /// Reads a table.
    ///
    /// # Errors
    /// Why it is none.
    pub fn read(text: &str) -> Result<Self, String> {
        let times: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if times.schema != SCHEMA {
            return Err(format!("it is of version {}, and version {SCHEMA} is known", times.schema));
        }
        let sound = |time: &f64| time.is_finite() && *time >= 0.0;
        if times.batch == 0 || !sound(&times.rest) {
            return Err("it is for no input, or has a time that is no time".into());
        }
        match times.operations.iter().find(|(_, grid)| !grid.is_sound()) {
            Some((place, _)) => Err(format!("the points of `{place}` are no grid of times")),
            None => Ok(times),
        }
    }
}

impl Grid {
    /// What is measured need not grow with the size; what is bounded has to. Each time is at least that of any smaller shape.
    #[must_use]
    pub fn growing(mut self) -> Self {
        for input in 0..self.inputs.len() {
            for output in 0..self.outputs.len() {
                let left = output.checked_sub(1).map_or(0.0, |left| self.nanoseconds[input][left]);
                let above = input.checked_sub(1).map_or(0.0, |above| self.nanoseconds[above][output]);
                let own = &mut self.nanoseconds[input][output];
                *own = own.max(left).max(above);
            }
        }
        self
    }

    fn is_sound(&self) -> bool {
        let ascend = |points: &[usize]| !points.is_empty() && points.windows(2).all(|pair| pair[0] < pair[1]);
        let rows = |row: &Vec<f64>| {
            row.len() == self.outputs.len() && row.iter().all(|time| time.is_finite() && *time >= 0.0)
        };
        ascend(&self.inputs)
            && ascend(&self.outputs)
            && self.nanoseconds.len() == self.inputs.len()
            && self.nanoseconds.iter().all(rows)
    }

    /// Nanoseconds of a product of so many inputs and outputs.
    pub fn at(&self, inputs: u64, outputs: u64) -> f64 {
        let (input, down) = stretch(&self.inputs, inputs);
        let (output, right) = stretch(&self.outputs, outputs);
        let of_row = |row: usize| {
            let row = &self.nanoseconds[row];
            between(row[output], row[(output + 1).min(row.len() - 1)], right)
        };
        between(of_row(input), of_row((input + 1).min(self.inputs.len() - 1)), down).max(0.0)
    }
}

fn between(from: f64, to: f64, share: f64) -> f64 {
    from + (to - from) * share
}

/// The stretch of points that a number lies on, and how far along it: more than 1 behind the last point, 0 before the first.
fn stretch(points: &[usize], number: u64) -> (usize, f64) {
    let last = points.len() - 1;
    let next = points.partition_point(|&point| (point as u64) <= number).clamp(1, last.max(1));
    let (from, to) = (points[next - 1] as f64, points[next.min(last)] as f64);
    match to > from {
        true => (next - 1, ((number as f64 - from) / (to - from)).max(0.0)),
        false => (0, 0.0),
    }
}

impl Graph {
    /// States how long operations take.
    pub fn set_times(&mut self, times: Times) {
        self.times = Some(Shared::new(times));
    }

    /// Nanoseconds of what an operation takes beside its products and attention, for a batch; 0 without a table.
    pub(super) fn rest_nanoseconds(&self, op: OpId, batch: u64) -> Between {
        let Some(times) = &self.times else { return Between::default() };
        let bytes = self.product(&self.ops[op].value) * 4 * batch;
        bytes.map(|bytes| (bytes as f64 * times.rest).round() as u64)
    }

    /// Nanoseconds of an operation's products and attention for a batch, where they belong; none without a table.
    pub(super) fn nanoseconds_by_node(&self, op: OpId, batch: u64) -> Vec<(NodeId, Between)> {
        let Some(times) = &self.times else { return Vec::new() };
        let made = &self.ops[op];
        let share = batch as f64 / times.batch as f64;
        let scaled = |time: Between| time.map(|time| (time as f64 * share).round() as u64);
        let time = |(node, site): (NodeId, Option<SiteId>)| {
            let time = match (site, &made.op) {
                (Some(site), Op::Experts(experts)) if experts.deciding().all(|other| other != site) => {
                    self.shared(self.product_time(times, node, site), experts)
                }
                (Some(site), _) => self.product_time(times, node, site),
                (None, _) => self.attention_time(times, op),
            };
            (node, scaled(time))
        };
        self.timed(op).into_iter().map(time).collect()
    }

    /// What of an operation has a time of its own: products by their sites, and attention.
    pub fn timed(&self, op: OpId) -> Vec<(NodeId, Option<SiteId>)> {
        let made = &self.ops[op];
        let site = |site: SiteId| (self.sites[site].node, Some(site));
        match made.op {
            Op::Linear(_) | Op::Patches(_) | Op::Experts(_) => made
                .op
                .sites()
                .into_iter()
                .filter(|&site| self.sites[site].kind.is_matrix())
                .map(site)
                .collect(),
            Op::Attention(_) => vec![(made.node, None)],
            _ => Vec::new(),
        }
    }

    /// `layers[*].mlp.up`: a place without the numbers of layers and experts.
    pub fn place_of_all(&self, node: NodeId) -> String {
        let mut place = String::new();
        for part in self.tree.path(node).split_inclusive(']') {
            match part.rsplit_once('[') {
                Some((front, _)) => write!(place, "{front}[*]").expect("a string takes everything"),
                None => place.push_str(part),
            }
        }
        place
    }

    /// The name that a table has for one of an operation's [timed](Self::timed) parts.
    pub fn timed_place(&self, op: OpId, node: NodeId) -> String {
        let place = self.place_of_all(node);
        if self.is_flow(op) { place + " as flow" } else { place }
    }

    /// For each kind of operation that has a time of its own how many there are, and nanoseconds of all of them for a batch.
    pub fn times_by_place(&self, batch: u64) -> BTreeMap<String, (usize, u64)> {
        let mut found: BTreeMap<String, (usize, u64)> = BTreeMap::new();
        for op in self.ops.node_indices() {
            for (node, time) in self.nanoseconds_by_node(op, batch) {
                let (count, sum) = found.entry(self.timed_place(op, node)).or_default();
                (*count, *sum) = (*count + 1, *sum + time.max);
            }
        }
        found
    }

    /// The first place whose time the table does not know.
    pub fn untimed(&self) -> Option<String> {
        let times = self.times.as_ref()?;
        let of = |op: OpId| self.timed(op).into_iter().map(move |(node, _)| self.timed_place(op, node));
        self.schedule().into_iter().flat_map(of).find(|place| !times.operations.contains_key(place))
    }

    fn product_time(&self, times: &Times, node: NodeId, site: SiteId) -> Between {
        let Some(grid) = times.operations.get(&self.place_of_all(node)) else { return Between::default() };
        let (outs, ins) = self.site_dims(site);
        let (outs, ins) = (self.dim(&outs), self.dim(&ins));
        let time = |ins: Between, outs: Between| Between {
            min: grid.at(ins.min, outs.min).round() as u64,
            max: grid.at(ins.max, outs.max).round() as u64,
        };
        match &self.sites[site].weight {
            Weight::Dense(_) => time(ins, outs),
            Weight::Factored { right, rest, .. } => {
                let (rank, _) = self.matrix_dims(right, self.sites[site].transposed);
                let rank = self.dim(&rank);
                let rest = rest.as_ref().map(|rest| time(ins, Between::exact(rest.rows.len() as u64)));
                time(ins, rank) + time(rank, outs) + rest.unwrap_or_default()
            }
        }
    }

    fn attention_time(&self, times: &Times, op: OpId) -> Between {
        let place = self.timed_place(op, self.ops[op].node);
        let (Some(grid), Some(&query)) = (times.operations.get(&place), self.operands(op).first()) else {
            return Between::default();
        };
        let width = self.ops[query].value.last().map_or(Between::exact(1), |dim| self.dim(dim));
        width.map(|width| grid.at(1, width).round() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        let nanoseconds = vec![vec![10.0, 20.0], vec![30.0, 60.0]];
        Grid { inputs: vec![4, 8], outputs: vec![10, 20], nanoseconds }
    }

    #[test]
    fn times_between_points_are_interpolated() {
        let found = [(4, 10), (8, 20), (6, 10), (4, 15), (6, 15)].map(|(ins, outs)| grid().at(ins, outs));
        assert_eq!(found, [10.0, 60.0, 20.0, 15.0, 30.0]);
    }

    #[test]
    fn small_shapes_take_the_least_and_large_ones_grow_on() {
        let found = [(1, 1), (0, 20), (8, 30), (16, 10)].map(|(ins, outs)| grid().at(ins, outs));
        assert_eq!(found, [10.0, 20.0, 90.0, 70.0]);
        let point = Grid { inputs: vec![1], outputs: vec![5], nanoseconds: vec![vec![7.0]] };
        assert_eq!([point.at(1, 1), point.at(9, 9)], [7.0, 7.0]);
    }

    #[test]
    fn no_larger_shape_is_faster() {
        let nanoseconds = vec![vec![10.0, 8.0], vec![12.0, 11.0]];
        let grid = Grid { nanoseconds, ..grid() }.growing();
        assert_eq!(grid.nanoseconds, [[10.0, 10.0], [12.0, 12.0]]);
    }

    #[test]
    fn what_is_no_table_is_refused() {
        let mut times = Times::new(Some(16), 1, 2);
        times.operations.insert("head".into(), grid());
        let text = |times: &Times| serde_json::to_string(times).unwrap();
        assert_eq!(Times::read(&text(&times)), Ok(times.clone()));
        times.operations.insert("head".into(), Grid { outputs: vec![20, 10], ..grid() });
        assert!(Times::read(&text(&times)).unwrap_err().contains("`head`"));
        assert!(Times::read(&text(&Times { schema: 9, ..times })).unwrap_err().contains("version 9"));
    }
}
