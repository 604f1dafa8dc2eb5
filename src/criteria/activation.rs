//! `activation`: what an element gives to the next operation, on average.

use std::collections::BTreeMap;

use crate::criterion;
use crate::diagnostic::Diagnostic;
use crate::graph::{AxisId, Graph, Role, SiteId};
use crate::observe::{axes, read_batches};
use crate::pass::{Context, Criterion, Data, UnitScores};
use crate::runtime::op::Host;
use crate::runtime::{Failure, Model, Value, Watch, readers};

criterion! {
    /// How large an element's activations are (Minitron): the mean of absolute values over the tokens of a sample, then the
    /// root of the sum of squares over samples.
    ///
    /// Of a neuron, what goes into the down projection; of a head, what goes into the output projection, with the root of the
    /// sum of squares over its dimensions, and over its query heads where they share a key/value head; of a hidden dim, what
    /// comes out of every norm, summed over norms.
    ///
    /// ```tamis
    /// data calib = text("calib.jsonl", samples: 128)
    /// prune neurons, heads of layers[*] by activation(calib) keep 75%
    /// ```
    ///
    /// Compact Language Models via Pruning and Knowledge Distillation, arXiv:2407.14679.
    ActivationSize = "activation"
    {
        /// What the model is shown.
        data: Data,
    }
}

impl Criterion for ActivationSize {
    fn describe(&self) -> String {
        format!("activation({})", self.data.reader.describe())
    }

    fn data(&self) -> Vec<Data> {
        vec![self.data.clone()]
    }

    fn units(&self) -> Option<&dyn UnitScores> {
        Some(self)
    }
}

impl UnitScores for ActivationSize {
    fn takes(&self, noun: &str) -> bool {
        !matches!(noun, "layers" | "experts" | "vocab")
    }

    fn score(&self, at: &Context<'_>, paths: &[String]) -> Result<BTreeMap<String, Vec<f64>>, Diagnostic> {
        let graph = &at.version.graph;
        let axes = axes(graph, paths);
        let mut sizes = Sizes::default();
        for &axis in axes.values() {
            match graph.axes[axis].role {
                Role::Hidden => sizes.normed.push(axis),
                _ => readers(graph, axis)
                    .into_iter()
                    .for_each(|site| sizes.at.entry(site).or_default().push(axis)),
            }
        }
        let batches = read_batches(at, &self.data, None)?;
        Model::new(at.version).run(&batches, &mut sizes).map_err(Failure::told)?;
        let score = |(path, axis): (String, AxisId)| (path, sizes.score(graph, axis));
        Ok(axes.into_iter().map(score).collect())
    }
}

/// Squares of means over tokens, summed over samples, for each feature of what is watched.
#[derive(Default)]
struct Sizes {
    /// The axes whose elements a site reads.
    at: BTreeMap<SiteId, Vec<AxisId>>,
    /// Hidden axes.
    normed: Vec<AxisId>,
    sums: BTreeMap<SiteId, Vec<f64>>,
}

impl Sizes {
    fn add(&mut self, site: SiteId, x: &Value) -> Result<(), Failure> {
        let tensor = x.tensor.contiguous()?;
        let width = tensor.dims2()?.1;
        let host = Host::of(&tensor)?;
        let sums = self.sums.entry(site).or_insert_with(|| vec![0.0; width]);
        for range in x.rows.ranges().into_iter().filter(|range| !range.is_empty()) {
            let mut means = vec![0.0f64; width];
            for row in host.values()[range.start * width..range.end * width].chunks_exact(width) {
                means.iter_mut().zip(row).for_each(|(mean, value)| *mean += f64::from(value.abs()));
            }
            let count = range.len() as f64;
            sums.iter_mut().zip(means).for_each(|(sum, mean)| *sum += (mean / count).powi(2));
        }
        Ok(())
    }

    fn score(&self, graph: &Graph, axis: AxisId) -> Vec<f64> {
        let extent = graph.extent(axis).max;
        let mut scores = vec![0.0; extent];
        if self.normed.contains(&axis) {
            for sums in self.sums.iter().filter(|(site, _)| !self.at.contains_key(site)).map(|(_, sums)| sums)
            {
                scores.iter_mut().zip(sums).for_each(|(score, sum)| *score += sum.sqrt());
            }
            return scores;
        }
        for (site, sums) in &self.sums {
            if !self.at.get(site).is_some_and(|axes| axes.contains(&axis)) {
                continue;
            }
            let (_, inputs) = graph.site_dims(*site);
            let place = inputs.0.iter().position(|&other| other == axis).expect("the site reads the axis");
            let inner: usize = inputs.0[place + 1..].iter().map(|&axis| graph.extent(axis).max).product();
            let mut of_site = vec![0.0; extent];
            for (feature, sum) in sums.iter().enumerate() {
                of_site[feature / inner.max(1) % extent] += sum;
            }
            scores.iter_mut().zip(of_site).for_each(|(score, sum)| *score += sum.sqrt());
        }
        scores
    }
}

impl Watch for Sizes {
    fn input(&mut self, site: SiteId, x: &Value) -> Result<(), Failure> {
        if self.at.contains_key(&site) { self.add(site, x) } else { Ok(()) }
    }

    fn normed(&mut self, site: SiteId, y: &Value) -> Result<(), Failure> {
        if self.normed.is_empty() { Ok(()) } else { self.add(site, y) }
    }
}
