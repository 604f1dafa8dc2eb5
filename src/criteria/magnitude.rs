//! `magnitude`: the size of weights, single or together.

use std::collections::BTreeMap;

use rayon::prelude::{IntoParallelRefIterator, ParallelIterator};

use crate::diagnostic::Diagnostic;
use crate::graph::{AxisId, Graph, ParamId, SiteKind};
use crate::pass::{Criterion, ElementScores, UnitScores};
use crate::tensor::norm::{AxisLayout, AxisSums, Norm as Sum};
use crate::weights::{Reach, Version};
use crate::{choice, criterion};

choice! {
    /// How the weights of a unit add up.
    pub enum Norm("a norm") {
        /// The sum of squares, without the root: what is lost of the energy when the unit goes.
        L2 = "l2",
        /// The sum of absolute values.
        L1 = "l1",
    }
}

criterion! {
    /// The size of weights: the absolute value of a single one, or the sum over all that belong to a unit.
    ///
    /// A unit's weights are its rows and columns in every matrix and table that it takes part in, and its biases; norms do not
    /// count. Squares are summed without the root, so that scores of several units add up and can be weighed against cost.
    Magnitude = "magnitude"
    {
        /// How the weights of a unit add up.
        norm: Norm = "l2",
    }
}

impl Criterion for Magnitude {
    fn describe(&self) -> String {
        match self.norm {
            Norm::L2 => "magnitude".into(),
            Norm::L1 => "magnitude(norm: l1)".into(),
        }
    }

    fn elements(&self) -> Option<&dyn ElementScores> {
        Some(self)
    }

    fn units(&self) -> Option<&dyn UnitScores> {
        Some(self)
    }
}

impl ElementScores for Magnitude {
    fn reach(&self) -> Reach {
        Reach::Inputs(1)
    }

    fn is_magnitude(&self) -> bool {
        true
    }

    fn score(&self, _: &str, _: usize, weights: &[f32], scores: &mut [f32]) {
        scores.iter_mut().zip(weights).for_each(|(score, weight)| *score = weight.abs());
    }
}

impl UnitScores for Magnitude {
    fn score(&self, version: &Version, axes: &[String]) -> Result<BTreeMap<String, Vec<f64>>, Diagnostic> {
        let graph = &version.graph;
        let places = graph.places();
        let counted = counted(graph);
        let score = |path: &String| {
            let axis = places.axis(path).expect("the checker and the run agree on paths");
            let parts: Vec<Part> =
                parts(graph, axis).into_iter().filter(|part| counted[part.param.index()]).collect();
            // Summed in the order of the model, whatever thread comes first.
            let sums: Vec<Vec<f64>> =
                parts.par_iter().map(|part| self.sums(version, part)).collect::<Result<_, _>>()?;
            let mut scores = vec![0.0; graph.extent(axis).max];
            for (part, sums) in parts.iter().zip(sums) {
                let first = part.member.unwrap_or(0);
                scores[first..].iter_mut().zip(sums).for_each(|(score, sum)| *score += sum);
            }
            Ok((path.clone(), scores))
        };
        axes.par_iter().map(score).collect()
    }
}

impl Magnitude {
    /// What a tensor adds to the scores of the elements that it belongs to.
    fn sums(&self, version: &Version, part: &Part) -> Result<Vec<f64>, Diagnostic> {
        let norm = match self.norm {
            Norm::L1 => Sum::L1,
            Norm::L2 => Sum::SquaredL2,
        };
        let mut sums = AxisSums::new(part.layout, norm).expect("a weight has elements, and fits in memory");
        version.for_each_block(part.param, |_, values| {
            sums.add(values).expect("blocks of a tensor add up to it");
        })?;
        Ok(sums.finish().expect("blocks of a tensor add up to it"))
    }
}

/// A tensor that carries an axis, or that is one element of it as a whole.
struct Part {
    param: ParamId,
    layout: AxisLayout,
    member: Option<usize>,
}

fn parts(graph: &Graph, axis: AxisId) -> Vec<Part> {
    let part = |(param, it): (ParamId, &crate::graph::Param)| -> Vec<Part> {
        // A tensor may carry an axis twice: a square weight from a width to itself.
        let carried = graph.factors(it, axis).into_iter().map(|at| {
            let layout = AxisLayout { outer: at.outer, extent: at.extent, inner: at.inner };
            Part { param, layout, member: None }
        });
        let whole = it.name.members().find(|(of, _)| *of == axis).map(|(_, member)| {
            let layout = AxisLayout { outer: 1, extent: 1, inner: graph.elements(it) };
            Part { param, layout, member: Some(member) }
        });
        carried.chain(whole).collect()
    };
    graph.params.iter().flat_map(part).collect()
}

/// For each param whether its weights count: those of matrices and tables, and biases; not those of norms.
fn counted(graph: &Graph) -> Vec<bool> {
    let mut counted = vec![false; graph.params.bound()];
    for (_, site) in graph.sites.iter() {
        if !matches!(site.kind, SiteKind::Norm | SiteKind::Token) {
            site.views().for_each(|view| counted[view.param.index()] = true);
        }
    }
    counted
}
