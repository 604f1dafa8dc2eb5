//! What the whole model loses with other experts in it: weights and samples are read once, and every candidate is made of them.

use std::collections::BTreeMap;

use candle_core::Tensor;

use super::super::outputs::Tally;
use super::super::{axes, read_batches};
use super::evolve::{Mixtures, Sets};
use super::merge::Mixing;
use crate::diagnostic::Diagnostic;
use crate::graph::{AxisId, Expert, Experts, Graph, SiteId};
use crate::pass::{Context, Data};
use crate::runtime::op::{self, tensor};
use crate::runtime::{Batch, Failure, Loaded, Matrix, Model, SiteWeights};
use crate::weights::Version;

/// See the module's text.
pub struct Judge<'a> {
    /// The model with as many experts as stay. Which ones these are, weights say that are handed to it.
    version: Version,
    /// Weights of the model as it is.
    weights: Loaded,
    batches: Vec<Batch>,
    data: &'a Data,
    /// Experts as they are, by the path of their axis.
    layers: BTreeMap<String, Experts>,
    /// Sites of the matrices that make shares of experts of shares of rows.
    transfers: BTreeMap<String, SiteId>,
    /// By site of a first expert: the matrices of all, each as a column.
    columns: BTreeMap<SiteId, Tensor>,
}

impl<'a> Judge<'a> {
    /// Judges sets of experts of these sizes.
    ///
    /// # Errors
    /// Where weights or samples cannot be read.
    pub fn new(at: &Context<'_>, data: &'a Data, keep: &BTreeMap<String, usize>) -> Result<Self, Diagnostic> {
        let mut judge = Self::read(at, data, keep)?;
        for (path, axis) in paths(at, keep) {
            judge.version.graph.keep(axis, &(0..keep[&path]).collect::<Vec<_>>());
        }
        Ok(judge)
    }

    /// Judges mixtures of experts, as many as these.
    ///
    /// # Errors
    /// Where weights or samples cannot be read.
    pub fn of_mixtures(
        at: &Context<'_>,
        data: &'a Data,
        into: &BTreeMap<String, usize>,
    ) -> Result<Self, Diagnostic> {
        let mut judge = Self::read(at, data, into)?;
        for (path, axis) in paths(at, into) {
            let site = judge.version.graph.mix_experts(axis, into[&path]);
            judge.transfers.insert(path, site.expect("the pass asks for experts' axes"));
        }
        judge.columns = judge.columns().map_err(Failure::told)?;
        Ok(judge)
    }

    fn read(at: &Context<'_>, data: &'a Data, keep: &BTreeMap<String, usize>) -> Result<Self, Diagnostic> {
        let graph = &at.version.graph;
        let of = |(path, axis): (String, AxisId)| Some((path, graph.experts_of(axis)?.1.clone()));
        Ok(Self {
            version: at.version.clone(),
            weights: Model::new(at.version).load().map_err(Failure::told)?,
            batches: read_batches(at, data, None)?,
            data,
            layers: paths(at, keep).into_iter().filter_map(of).collect(),
            transfers: BTreeMap::new(),
            columns: BTreeMap::new(),
        })
    }

    /// Bytes of all weights of a model, as they are held.
    pub fn memory(graph: &Graph) -> u64 {
        const FLOAT: u64 = 4;
        graph.cost(1).params.max.saturating_mul(FLOAT)
    }

    fn columns(&self) -> Result<BTreeMap<SiteId, Tensor>, Failure> {
        let mut columns = BTreeMap::new();
        for of in self.layers.values() {
            let sites: Vec<Vec<SiteId>> = of.experts.iter().map(|it| it.sites().collect()).collect();
            for (kind, &first) in sites[0].iter().enumerate() {
                let flat = |sites: &Vec<SiteId>| Ok(self.weights.get(sites[kind]).dense()?.flatten_all()?);
                let flat: Vec<Tensor> = sites.iter().map(flat).collect::<Result<_, Failure>>()?;
                columns.insert(first, Tensor::stack(&flat, 1)?.contiguous()?);
            }
        }
        Ok(columns)
    }

    /// How many experts there are of each axis.
    pub fn all(&self) -> BTreeMap<String, usize> {
        self.layers.iter().map(|(path, of)| (path.clone(), of.experts.len())).collect()
    }

    /// The mean loss with these experts alone.
    ///
    /// # Errors
    /// Where the model does not answer, or its answers are not finite.
    pub fn loss_of_sets(&self, sets: &Sets) -> Result<f64, Diagnostic> {
        let mut weights = self.weights.clone();
        for (path, set) in sets {
            self.take(&self.layers[path], set, &mut weights).map_err(Failure::told)?;
        }
        self.loss(&weights)
    }

    /// Puts the experts of a set in the places of the first ones, and their rows of the router alone into it.
    fn take(&self, of: &Experts, set: &[usize], weights: &mut Loaded) -> Result<(), Failure> {
        for (place, &number) in set.iter().enumerate() {
            let sites = |expert: &Expert| expert.sites().collect::<Vec<_>>();
            for (to, from) in sites(&of.experts[place]).into_iter().zip(sites(&of.experts[number])) {
                weights.put(to, self.weights.get(from).clone());
            }
        }
        let rows: Vec<u32> = set.iter().map(|&number| number as u32).collect();
        let rows = Tensor::from_slice(&rows, rows.len(), &candle_core::Device::Cpu)?;
        let router = self.weights.get(of.router);
        let matrix = Matrix::Dense(router.dense()?.index_select(&rows, 0)?);
        let bias = router.bias.as_ref().map(|bias| bias.index_select(&rows, 0)).transpose()?;
        weights.put(of.router, SiteWeights { matrix, bias });
        Ok(())
    }

    /// The mean loss with mixtures of experts.
    ///
    /// # Errors
    /// Where the model does not answer, or its answers are not finite.
    pub fn loss_of_mixtures(&self, mixtures: &Mixtures) -> Result<f64, Diagnostic> {
        let mut weights = self.weights.clone();
        for (path, mixing) in mixtures {
            self.mix(path, mixing, &mut weights).map_err(Failure::told)?;
        }
        self.loss(&weights)
    }

    fn mix(&self, path: &str, mixing: &Mixing, weights: &mut Loaded) -> Result<(), Failure> {
        let (of, count) = (&self.layers[path], mixing.count());
        let shares = tensor(mixing.experts.clone(), (count, mixing.all))?;
        let sites: Vec<Vec<SiteId>> = of.experts[..count].iter().map(|it| it.sites().collect()).collect();
        for (kind, first) in sites[0].iter().enumerate() {
            let mixed = op::linear(&shares, &self.columns[first], None)?;
            let shape = self.weights.get(*first).dense()?.dims2()?;
            for (number, of_expert) in sites.iter().enumerate() {
                let matrix = mixed.narrow(0, number, 1)?.reshape(shape)?;
                weights.put(of_expert[kind], SiteWeights { matrix: Matrix::Dense(matrix), bias: None });
            }
        }
        let routes = tensor(mixing.routes.clone(), count * mixing.all)?;
        weights.put(self.transfers[path], SiteWeights { matrix: Matrix::Dense(routes), bias: None });
        Ok(())
    }

    fn loss(&self, weights: &Loaded) -> Result<f64, Diagnostic> {
        let model = Model::new(&self.version);
        let mut tally = Tally::new(&self.version.graph, self.data);
        for batch in &self.batches {
            tally.run(&model, weights, batch)?;
        }
        Ok(tally.finish()?.mean_loss())
    }
}

fn paths(at: &Context<'_>, keep: &BTreeMap<String, usize>) -> BTreeMap<String, AxisId> {
    axes(&at.version.graph, &keep.keys().cloned().collect::<Vec<_>>())
}
