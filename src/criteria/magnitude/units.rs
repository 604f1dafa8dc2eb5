//! Sums over all the weights that go with an element of an axis.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use crate::diagnostic::Diagnostic;
use crate::graph::{AxisId, Factors, Graph, Param, ParamId, SiteKind};
use crate::tensor::norm::{AxisLayout, AxisSums, Norm};
use crate::weights::Version;

/// For each axis, by path, the sum of each element. Every tensor is read once, whatever the number of axes.
pub fn sums(
    version: &Version,
    paths: &[String],
    norm: Norm,
) -> Result<BTreeMap<String, Vec<f64>>, Diagnostic> {
    let (graph, places) = (&version.graph, version.graph.places());
    let axis = |path: &String| places.axis(path).expect("the checker and the run agree on paths");
    let axes: Vec<AxisId> = paths.iter().map(axis).collect();
    let norms = norm_params(graph);
    let counted: Vec<(ParamId, Vec<Share>)> = graph
        .weights()
        .filter(|(_, param)| param.dtype.is_float())
        .map(|(id, param)| (id, shares(graph, param, norms.contains(&id), &axes, norm)))
        .filter(|(_, shares)| !shares.is_empty())
        .collect();
    let read = |(id, mut shares): (ParamId, Vec<Share>)| {
        version.for_each_block(id, |first, values| {
            shares.iter_mut().for_each(|share| share.count.add(first, values));
        })?;
        Ok(shares)
    };
    let read: Vec<Vec<Share>> = counted.into_par_iter().map(read).collect::<Result<_, Diagnostic>>()?;
    let mut sums: Vec<Vec<f64>> = axes.iter().map(|&axis| vec![0.0; graph.extent(axis).max]).collect();
    // Put together in the order of tensors, so that no bit depends on threads.
    for share in read.into_iter().flatten() {
        share.count.finish(&mut sums[share.axis]);
    }
    Ok(paths.iter().cloned().zip(sums).collect())
}

/// Tensors of norms.
fn norm_params(graph: &Graph) -> BTreeSet<ParamId> {
    let norms = graph.sites.iter().filter(|(_, site)| site.kind == SiteKind::Norm);
    norms.flat_map(|(_, site)| site.views().map(|view| view.param)).collect()
}

/// A tensor's weights shared out among the elements of an axis.
struct Share {
    /// The number of the axis among those asked for.
    axis: usize,
    count: Count,
}

enum Count {
    /// All weights belong to one element: it is a layer or an expert, and the tensor is its own.
    Whole { element: usize, sums: AxisSums },
    /// By an axis of the tensor.
    Along(AxisSums),
    /// By an axis that the tensor has several times: a weight where two elements cross goes with either.
    Crossing { places: Vec<Factors>, norm: Norm, sums: Vec<f64> },
}

fn shares(graph: &Graph, param: &Param, of_norm: bool, axes: &[AxisId], norm: Norm) -> Vec<Share> {
    let sums = |layout: AxisLayout| AxisSums::new(layout, norm).expect("a checked tensor has a size");
    let count = |axis: AxisId| {
        if let Some((_, element)) = param.name.members().find(|(of, _)| *of == axis) {
            let layout = AxisLayout { outer: 1, extent: 1, inner: graph.elements(param) };
            return Some(Count::Whole { element, sums: sums(layout) });
        }
        match graph.factors(param, axis).as_slice() {
            [] => None,
            _ if of_norm => None,
            &[Factors { outer, extent, inner }] => {
                Some(Count::Along(sums(AxisLayout { outer, extent, inner })))
            }
            places => {
                Some(Count::Crossing { places: places.to_vec(), norm, sums: vec![0.0; places[0].extent] })
            }
        }
    };
    let share = |(number, &axis): (usize, &AxisId)| Some(Share { axis: number, count: count(axis)? });
    axes.iter().enumerate().filter_map(share).collect()
}

impl Count {
    /// Counts consecutive values of the tensor, of which the first is number `first`.
    fn add(&mut self, first: usize, values: &[f32]) {
        match self {
            Count::Whole { sums, .. } | Count::Along(sums) => {
                sums.add(values).expect("blocks follow each other and end with the tensor");
            }
            Count::Crossing { places, norm, sums } => {
                for (at, &value) in (first..).zip(values) {
                    let value = f64::from(value);
                    let term = if *norm == Norm::L1 { value.abs() } else { value * value };
                    let element = |place: &Factors| at / place.inner % place.extent;
                    let elements: BTreeSet<usize> = places.iter().map(element).collect();
                    elements.into_iter().for_each(|element| sums[element] += term);
                }
            }
        }
    }

    fn finish(self, scores: &mut [f64]) {
        let finished = |sums: AxisSums| sums.finish().expect("the whole tensor was read");
        match self {
            Count::Whole { element, sums } => scores[element] += finished(sums)[0],
            Count::Along(sums) => add(scores, &finished(sums)),
            Count::Crossing { sums, .. } => add(scores, &sums),
        }
    }
}

fn add(scores: &mut [f64], sums: &[f64]) {
    scores.iter_mut().zip(sums).for_each(|(score, sum)| *score += sum);
}
