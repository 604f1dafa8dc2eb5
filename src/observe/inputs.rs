//! What linear operations are given: sums over rows, for each input.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::read_batches;
use crate::diagnostic::{Diagnostic, numbers};
use crate::graph::{Graph, SiteId};
use crate::pass::elements::everything;
use crate::pass::{Context, Data, Finding, Masking, Statistics, Work, WorkKind};
use crate::runtime::op::{Host, tensor};
use crate::runtime::{Edit, Failure, Loaded, Matrix, Model, Segment, Value, Watch};
use crate::tensor::{DType, MatrixView};
use crate::weights::MatrixBlock;

/// What is summed over the rows that an operation sees, in f64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Statistic {
    /// Squares of each input.
    Squares,
    /// Absolute values of each input.
    Absolutes,
    /// The mean of the absolute values of each input over the rows of a sample.
    MeanAbsolutes,
    /// Products of each input with each: `X^T X`, row after row.
    Products,
}

const AGREE: &str = "the checker and the run agree on paths";

/// Sums over the inputs of some weights.
#[derive(Debug)]
pub struct ObserveInputs {
    pub data: Data,
    pub statistic: Statistic,
    /// Paths of the weights.
    pub sites: Vec<String>,
    /// How each layer is masked before the next one is observed; without, the model is observed as it is.
    pub mask: Option<Arc<dyn Masking>>,
    /// All that is read.
    reads: Vec<String>,
}

impl ObserveInputs {
    pub fn new(
        graph: &Graph,
        data: Data,
        statistic: Statistic,
        sites: &[String],
        mask: Option<Arc<dyn Masking>>,
    ) -> Self {
        Self { data, statistic, sites: sites.to_vec(), mask, reads: everything(graph) }
    }
}

impl Work for ObserveInputs {
    fn kind(&self) -> WorkKind {
        WorkKind::Observe
    }

    fn describe(&self) -> String {
        let what = match self.statistic {
            Statistic::Squares => "input norms",
            Statistic::Absolutes | Statistic::MeanAbsolutes => "input sizes",
            Statistic::Products => "input products",
        };
        let weights = numbers::things(self.sites.len(), "weight");
        let masked = if self.mask.is_some() { ", layer by layer" } else { "" };
        format!("{what} of {weights} on {}{masked}", self.data.name)
    }

    fn arguments(&self) -> serde_json::Value {
        json!({
            "observe": self.statistic,
            "data": self.data.reader.describe(),
            "sites": self.sites,
            "masked": self.mask.as_ref().map(|mask| mask.arguments()),
        })
    }

    fn reads(&self) -> Vec<String> {
        self.reads.clone()
    }

    fn data(&self) -> Vec<Data> {
        vec![self.data.clone()]
    }

    /// What is seen of a model as it is, is seen of all places in one run.
    fn merged(&self, other: &dyn Work) -> Option<Arc<dyn Work>> {
        let (ours, theirs) = (self.arguments(), other.arguments());
        let same = |key: &str| theirs.get(key) == ours.get(key);
        if self.mask.is_some() || !(same("observe") && same("data") && same("masked")) {
            return None;
        }
        let asked = theirs.get("sites")?.as_array()?.iter().filter_map(serde_json::Value::as_str);
        let known: BTreeSet<&str> = self.sites.iter().map(String::as_str).collect();
        let more = asked.filter(|path| !known.contains(path)).map(str::to_owned);
        let sites = self.sites.iter().cloned().chain(more).collect();
        let (data, reads) = (self.data.clone(), self.reads.clone());
        Some(Arc::new(Self { data, statistic: self.statistic, sites, mask: None, reads }))
    }

    fn run(&self, at: &Context<'_>) -> Result<Finding, Diagnostic> {
        let (graph, places) = (&at.version.graph, at.version.graph.places());
        let batches = read_batches(at, &self.data, None)?;
        let numbered = self.sites.iter().map(|path| (places.site(path).expect(AGREE), path));
        let mut observing = Observing {
            graph,
            statistic: self.statistic,
            paths: numbered.collect(),
            mask: self.mask.as_deref(),
            sums: BTreeMap::new(),
        };
        let model = Model::new(at.version);
        let last = model.last_block(&observing.paths.keys().copied().collect::<Vec<_>>());
        model.edit(&batches, &mut observing, last).map_err(Failure::told)?;
        let mut sums = observing.sums;
        for path in &self.sites {
            // An expert that no token was routed to has seen nothing.
            let site = places.site(path).expect(AGREE);
            let inputs = graph.dim_extent(&graph.site_dims(site).1);
            let len = if self.statistic == Statistic::Products { inputs * inputs } else { inputs };
            sums.entry(path.clone()).or_insert_with(|| vec![0.0; len]);
        }
        Ok(Finding::Statistics(Statistics(sums)))
    }
}

struct Observing<'a> {
    graph: &'a Graph,
    statistic: Statistic,
    paths: BTreeMap<SiteId, &'a String>,
    mask: Option<&'a dyn Masking>,
    sums: BTreeMap<String, Vec<f64>>,
}

impl Watch for Observing<'_> {
    fn input(&mut self, site: SiteId, x: &Value) -> Result<(), Failure> {
        let Some(path) = self.paths.get(&site) else { return Ok(()) };
        let found = seen(self.statistic, x)?;
        match self.sums.get_mut(*path) {
            None => drop(self.sums.insert((*path).clone(), found)),
            Some(sums) => sums.iter_mut().zip(found).for_each(|(sum, it)| *sum += it),
        }
        Ok(())
    }
}

/// Sums over the rows of a value.
pub(super) fn seen(statistic: Statistic, x: &Value) -> Result<Vec<f64>, Failure> {
    let width = x.tensor.dims2()?.1;
    let tensor = x.tensor.contiguous()?;
    let host = Host::of(&tensor)?;
    if statistic != Statistic::MeanAbsolutes {
        return Ok(sums(statistic, host.values(), width));
    }
    let mut means = vec![0.0; width];
    for rows in x.rows.ranges().into_iter().filter(|rows| !rows.is_empty()) {
        let count = rows.len() as f64;
        let sample = sums(Statistic::Absolutes, &host.values()[rows.start * width..rows.end * width], width);
        means.iter_mut().zip(sample).for_each(|(mean, sum)| *mean += sum / count);
    }
    Ok(means)
}

/// Rows whose sums are taken together: fixed, so that the order of additions is.
const PIECE: usize = 256;

/// Sums over rows of `width` values.
fn sums(statistic: Statistic, values: &[f32], width: usize) -> Vec<f64> {
    if statistic == Statistic::Products {
        return products(values, width);
    }
    let of = |value: f32| match statistic {
        Statistic::Absolutes => f64::from(value.abs()),
        _ => f64::from(value) * f64::from(value),
    };
    let piece = |rows: &[f32]| {
        let mut sums = vec![0.0f64; width];
        for row in rows.chunks_exact(width) {
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += of(*value));
        }
        sums
    };
    let pieces: Vec<Vec<f64>> = values.par_chunks(PIECE * width.max(1)).map(piece).collect();
    let mut sums = vec![0.0; width];
    for piece in pieces {
        sums.iter_mut().zip(piece).for_each(|(sum, it)| *sum += it);
    }
    sums
}

/// Products of each input with each: `X^T X`.
pub(super) fn products(values: &[f32], width: usize) -> Vec<f64> {
    products_with(values, width, values, width)
}

/// Products of each input with each of other values of the same rows, `X^T Y`: in f32 over some hundred rows, their sums in f64.
pub(super) fn products_with(x: &[f32], width: usize, y: &[f32], other: usize) -> Vec<f64> {
    use crate::runtime::kernel::product::{Into, Matrix, Threads, product};
    let mut sums = vec![0.0f64; width * other];
    let mut piece = vec![0.0f32; width * other];
    for (x, y) in x.chunks(PIECE * width.max(1)).zip(y.chunks(PIECE * other.max(1))) {
        let left = Matrix::rows(x, x.len() / width.max(1), width, width);
        let right = Matrix::rows(y, y.len() / other.max(1), other, other);
        product((&mut piece, other), Into::Replace, 1.0, left.transposed(), right, Threads::All);
        sums.par_iter_mut().zip(piece.par_iter()).for_each(|(sum, it)| *sum += f64::from(*it));
    }
    sums
}

impl Edit for Observing<'_> {
    /// Masks the weights of a layer as they will be masked, so that the next layer sees what it will see.
    fn edit(&mut self, segment: &Segment, weights: &mut Loaded) -> Result<bool, Failure> {
        let Some(mask) = self.mask else { return Ok(false) };
        let mut edited = false;
        for &site in &segment.sites {
            let Some(path) = self.paths.get(&site) else { continue };
            let seen = match self.sums.get(*path) {
                Some(sums) => sums.clone(),
                None => vec![0.0; self.graph.dim_extent(&self.graph.site_dims(site).1)],
            };
            let seen = Statistics([((*path).clone(), seen)].into());
            let Matrix::Dense(matrix) = &weights.get(site).matrix else { continue };
            let (out, inputs) = matrix.dims2()?;
            let mut values = Host::of(matrix)?.values().to_vec();
            let view = MatrixView { offset: 0, out, inputs, out_stride: inputs, in_stride: 1 };
            mask.rule(&seen).apply(&mut MatrixBlock {
                place: path,
                dtype: DType::F32,
                bytes: bytemuck::cast_slice_mut(&mut values),
                matrix: view,
                first: (0, 0),
                whole: (out, inputs),
            })?;
            weights.get_mut(site).matrix = Matrix::Dense(tensor(values, (out, inputs))?);
            edited = true;
        }
        Ok(edited)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_over_rows() {
        let values = [1.0, -2.0, 3.0, 4.0];
        assert_eq!(sums(Statistic::Squares, &values, 2), [10.0, 20.0]);
        assert_eq!(sums(Statistic::Absolutes, &values, 2), [4.0, 6.0]);
        assert_eq!(sums(Statistic::Products, &values, 2), [10.0, 10.0, 10.0, 20.0]);
    }
}
