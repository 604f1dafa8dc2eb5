//! Units that go, chosen anew for what they do together: by the block of the Fisher information that is theirs.

use std::collections::BTreeMap;

use faer::Mat;
use rayon::prelude::*;
use serde_json::json;

use super::{axes, each_gradient, read_batches};
use crate::diagnostic::{Diagnostic, numbers};
use crate::graph::{AxisId, Graph};
use crate::pass::elements::everything;
use crate::pass::{Context, Data, Finding, Kept, Work, WorkKind};
use crate::tensor::solve::product;

/// Exchanges units that go for others of their axis, as many as before, where the gates' gradients say that together they cost
/// less: `|sum of their gradients|^2`, summed over samples (arXiv:2204.09656, section 4.2).
///
/// From the lowest diagonal on each other unit is put in once, in the order of the diagonal, and the one leaves without which the
/// rest costs least.
#[derive(Debug)]
pub struct RearrangeUnits {
    pub data: Data,
    pub samples: Option<usize>,
    /// Samples whose gradients are averaged.
    pub batch: usize,
    /// Paths of the axes.
    axes: Vec<String>,
    reads: Vec<String>,
}

impl RearrangeUnits {
    pub fn new(graph: &Graph, data: Data, samples: Option<usize>, batch: usize, axes: &[String]) -> Self {
        Self { data, samples, batch, axes: axes.to_vec(), reads: everything(graph) }
    }
}

impl Work for RearrangeUnits {
    fn kind(&self) -> WorkKind {
        WorkKind::Observe
    }

    fn describe(&self) -> String {
        format!(
            "what goes of {} exchanged by gradients on {}",
            numbers::things(self.axes.len(), "axis"),
            self.data.name
        )
    }

    fn arguments(&self) -> serde_json::Value {
        json!({
            "rearrange": self.axes,
            "data": self.data.reader.describe(),
            "samples": self.samples,
            "batch": self.batch,
        })
    }

    fn reads(&self) -> Vec<String> {
        self.reads.clone()
    }

    fn data(&self) -> Vec<Data> {
        vec![self.data.clone()]
    }

    fn run(&self, at: &Context<'_>) -> Result<Finding, Diagnostic> {
        let Some(Finding::Kept(kept)) = at.found.last() else {
            unreachable!("units are exchanged when they are chosen")
        };
        let numbered = axes(&at.version.graph, &self.axes);
        let asked: Vec<AxisId> = numbered.values().copied().collect();
        let batches = read_batches(at, &self.data, self.samples)?;
        let mut rows: BTreeMap<AxisId, Vec<f64>> = BTreeMap::new();
        each_gradient(at, &self.data, &batches, &asked, self.batch, &mut |axis, gradients, samples| {
            rows.entry(axis).or_default().extend(gradients.iter().map(|it| it / samples as f64));
        })?;
        let anew = |(path, kept): (&String, &Vec<usize>)| {
            let found = numbered.get(path).map(|axis| {
                let extent = at.version.graph.extent(*axis).max;
                rearranged(&rows[axis], extent, kept.len())
            });
            (path.clone(), found.unwrap_or_else(|| kept.clone()))
        };
        let stay = kept.stay.par_iter().map(anew).collect();
        Ok(Finding::Kept(Kept { stay, curve: kept.curve.clone() }))
    }
}

/// The units that stay, by gradients `[rows, extent]`.
fn rearranged(rows: &[f64], extent: usize, stay: usize) -> Vec<usize> {
    let rows = Mat::from_fn(rows.len() / extent.max(1), extent, |row, unit| rows[row * extent + unit]);
    let fisher = product(rows.transpose(), rows.as_ref());
    let mut order: Vec<usize> = (0..extent).collect();
    order.sort_by(|&a, &b| fisher[(a, a)].total_cmp(&fisher[(b, b)]));
    let (lowest, others) = order.split_at(extent - stay);
    let mut goes = lowest.to_vec();
    // Of each unit the sum over those that go: with it, leaving one out is priced at once.
    let mut with: Vec<f64> =
        (0..extent).map(|unit| goes.iter().map(|&it| fisher[(unit, it)]).sum()).collect();
    for &unit in others {
        goes.push(unit);
        with.iter_mut().enumerate().for_each(|(at, sum)| *sum += fisher[(at, unit)]);
        let less = |&unit: &usize| fisher[(unit, unit)] - 2.0 * with[unit];
        let best = (0..goes.len()).min_by(|&a, &b| less(&goes[a]).total_cmp(&less(&goes[b])));
        let leaves = goes.remove(best.expect("one was put in"));
        with.iter_mut().enumerate().for_each(|(at, sum)| *sum -= fisher[(at, leaves)]);
    }
    let mut stays: Vec<usize> = (0..extent).filter(|unit| !goes.contains(unit)).collect();
    stays.sort_unstable();
    stays
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked case of the method's card: of (1, -1, 0.2) and (1, -1, -0.2) two go, and those that cancel out cost nothing.
    #[test]
    fn units_that_cancel_out_go_together() {
        let rows = [1.0, -1.0, 0.2, 1.0, -1.0, -0.2];
        assert_eq!(rearranged(&rows, 3, 1), [2]);
        assert_eq!(rearranged(&rows, 3, 3), [0, 1, 2]);
        assert_eq!(rearranged(&rows, 3, 2), [0, 1], "alone the smallest goes");
    }
}
