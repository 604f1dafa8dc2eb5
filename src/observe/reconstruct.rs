//! Weights made anew, layer by layer, to give the output that they gave: each layer is observed, pruned, and run again.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use candle_core::TensorId;
use serde_json::json;

use super::inputs::products;
use super::read_batches;
use super::room::Room;
use crate::checkpoint::TensorSpec;
use crate::diagnostic::{Diagnostic, codes, numbers};
use crate::graph::{Graph, ParamId, SiteId, Weight};
use crate::pass::elements::everything;
use crate::pass::{Context, Data, Finding, Work, WorkKind};
use crate::runtime::op::{Host, tensor};
use crate::runtime::{Edit, Failure, Loaded, Matrix, Model, Segment, Value, Watch};
use crate::tensor::obs::{Inverse, Zeroing};
use crate::weights::Version;

/// Zeroes weights and lets the others make up for it (SparseGPT).
#[derive(Debug)]
pub struct ReconstructWeights {
    data: Data,
    /// Paths of the weights.
    sites: Vec<String>,
    zeroing: Zeroing,
    damping: f64,
    reads: Vec<String>,
}

impl ReconstructWeights {
    pub fn new(graph: &Graph, data: Data, sites: &[String], zeroing: Zeroing, damping: f64) -> Self {
        Self { data, sites: sites.to_vec(), zeroing, damping, reads: everything(graph) }
    }
}

impl Work for ReconstructWeights {
    fn kind(&self) -> WorkKind {
        WorkKind::Observe
    }

    fn describe(&self) -> String {
        let weights = numbers::things(self.sites.len(), "weight");
        format!("{weights} reconstructed on {}, layer by layer", self.data.name)
    }

    fn arguments(&self) -> serde_json::Value {
        let zeroing = match self.zeroing {
            Zeroing::Pattern(pattern) => json!({ "pattern": pattern.to_string() }),
            Zeroing::Share(share) => json!({ "share": share }),
        };
        json!({
            "reconstruct": zeroing,
            "damping": self.damping,
            "data": self.data.reader.describe(),
            "sites": self.sites,
        })
    }

    fn reads(&self) -> Vec<String> {
        self.reads.clone()
    }

    fn data(&self) -> Vec<Data> {
        vec![self.data.clone()]
    }

    fn run(&self, at: &Context<'_>) -> Result<Finding, Diagnostic> {
        let (graph, places) = (&at.version.graph, at.version.graph.places());
        let site = |path: &String| places.site(path).expect("the checker and the run agree on paths");
        let sites: BTreeSet<SiteId> = self.sites.iter().map(site).collect();
        let params: Vec<ParamId> =
            sites.iter().map(|&site| dense_param(graph, site)).collect::<BTreeSet<_>>().into_iter().collect();
        let spec = |&id: &ParamId| TensorSpec {
            name: id.index().to_string(),
            dtype: graph.params[id].dtype,
            shape: graph.shape(&graph.params[id]),
        };
        let room = Room::new(at.room, params.iter().map(spec).collect())?;
        let batches = read_batches(at, &self.data, None)?;
        let mut reconstructing = Reconstructing {
            version: at.version,
            sites: &sites,
            zeroing: self.zeroing,
            damping: self.damping,
            room: &room,
            grams: Grams::default(),
            lost: BTreeMap::new(),
        };
        let model = Model::new(at.version);
        let last = model.last_block(&sites.iter().copied().collect::<Vec<_>>());
        model.edit(&batches, &mut reconstructing, last).map_err(Failure::told)?;
        let lost = reconstructing.lost;
        room.finish(lost)
    }
}

/// The tensor that a dense weight lies in.
fn dense_param(graph: &Graph, site: SiteId) -> ParamId {
    match &graph.sites[site].weight {
        Weight::Dense(view) => view.param,
        Weight::Factored { .. } => unreachable!("the pass refuses factored weights"),
    }
}

/// Products of inputs, one matrix for all operations that are given the same value.
#[derive(Default)]
struct Grams {
    of_site: BTreeMap<SiteId, usize>,
    sums: Vec<Vec<f64>>,
    /// The value that each sum was last added to from.
    last: Vec<Option<TensorId>>,
}

struct Reconstructing<'a> {
    version: &'a Version,
    sites: &'a BTreeSet<SiteId>,
    zeroing: Zeroing,
    damping: f64,
    room: &'a Room,
    grams: Grams,
    lost: BTreeMap<String, f64>,
}

impl Watch for Reconstructing<'_> {
    fn input(&mut self, site: SiteId, x: &Value) -> Result<(), Failure> {
        if !self.sites.contains(&site) {
            return Ok(());
        }
        let (id, width) = (x.tensor.id(), x.tensor.dims2()?.1);
        let grams = &mut self.grams;
        let number = match grams.of_site.get(&site) {
            Some(&number) => number,
            None => {
                let shared = grams.last.iter().position(|last| *last == Some(id));
                let number = shared.unwrap_or(grams.sums.len());
                if shared.is_none() {
                    grams.sums.push(vec![0.0; width * width]);
                    grams.last.push(None);
                }
                grams.of_site.insert(site, number);
                number
            }
        };
        if grams.last[number] == Some(id) {
            return Ok(());
        }
        grams.last[number] = Some(id);
        let x = x.tensor.contiguous()?;
        let found = products(Host::of(&x)?.values(), width);
        grams.sums[number].iter_mut().zip(found).for_each(|(sum, it)| *sum += it);
        Ok(())
    }
}

impl Edit for Reconstructing<'_> {
    fn edit(&mut self, segment: &Segment, weights: &mut Loaded) -> Result<bool, Failure> {
        let graph = &self.version.graph;
        let here: Vec<SiteId> =
            segment.sites.iter().copied().filter(|site| self.sites.contains(site)).collect();
        let grams = std::mem::take(&mut self.grams);
        let mut inverses: BTreeMap<(Option<usize>, usize), Inverse> = BTreeMap::new();
        for &site in &here {
            let path = graph.tree.path(graph.sites[site].node);
            let Matrix::Dense(matrix) = &weights.get(site).matrix else { continue };
            let (out, inputs) = matrix.dims2()?;
            let mut values = Host::of(matrix)?.values().to_vec();
            // An expert that no token was routed to: nothing to make up for, and magnitude decides.
            let number = grams.of_site.get(&site).copied();
            let inverse = match inverses.entry((number, inputs)) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    let identity;
                    let sums = match number {
                        Some(number) => &grams.sums[number],
                        None => {
                            identity = identity_of(inputs);
                            &identity
                        }
                    };
                    let inverse = Inverse::new(sums, inputs, self.damping);
                    new.insert(inverse.ok_or_else(|| not_inverted(&path))?)
                }
            };
            let lost = inverse.prune(&mut values, self.zeroing);
            *self.lost.entry(path).or_default() += lost;
            weights.get_mut(site).matrix = Matrix::Dense(tensor(values, (out, inputs))?);
        }
        let params: BTreeSet<ParamId> = here.iter().map(|&site| dense_param(graph, site)).collect();
        for param in params {
            self.write(param, &here, weights)?;
        }
        Ok(!here.is_empty())
    }
}

impl Reconstructing<'_> {
    /// Writes a tensor with its new matrices, and lets the layer go on with what was written, rounded as it is.
    fn write(&self, param: ParamId, here: &[SiteId], weights: &mut Loaded) -> Result<(), Failure> {
        let graph = &self.version.graph;
        let mut values = self.version.values(param)?;
        let in_param = |site: &&SiteId| dense_param(graph, **site) == param;
        let view_of = |site: SiteId| match &graph.sites[site].weight {
            Weight::Dense(view) => graph.matrix(view, graph.sites[site].transposed),
            Weight::Factored { .. } => unreachable!("the pass refuses factored weights"),
        };
        for &site in here.iter().filter(in_param) {
            let view = view_of(site);
            let matrix = weights.get(site).dense()?;
            let host = Host::of(&matrix)?;
            view.put(host.values(), &mut values);
        }
        self.room.write(&param.index().to_string(), &mut values)?;
        for &site in here.iter().filter(in_param) {
            let view = view_of(site);
            let rounded = (0..view.out * view.inputs)
                .map(|at| values[view.index(at / view.inputs, at % view.inputs)])
                .collect();
            weights.get_mut(site).matrix = Matrix::Dense(tensor(rounded, (view.out, view.inputs))?);
        }
        Ok(())
    }
}

fn identity_of(inputs: usize) -> Vec<f64> {
    (0..inputs * inputs).map(|at| f64::from(u8::from(at / inputs == at % inputs))).collect()
}

fn not_inverted(path: &str) -> Diagnostic {
    let message =
        format!("the inputs of `{path}` are not finite, or too large for their products to be inverted");
    Diagnostic::new(&codes::ANSWERS_NOT_FINITE, message)
}
