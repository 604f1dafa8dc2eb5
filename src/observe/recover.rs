//! Output projections fitted anew beside the input model: both run in step, and what is missing is made up for layer by layer.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::Tensor;
use faer::Mat;
use serde_json::json;

use super::inputs::{products, products_with};
use super::read_batches;
use super::room::Room;
use crate::checkpoint::TensorSpec;
use crate::diagnostic::{Diagnostic, codes, numbers};
use crate::graph::{Graph, OpId, Projection, Role, SiteId, View, Weight};
use crate::pass::elements::everything;
use crate::pass::{Aim, Context, Data, Equations, Finding, Projected, Recovery, Work, WorkKind};
use crate::runtime::op::{Host, tensor};
use crate::runtime::{Batch, Failure, Loaded, Matrix, Model, Value, Walk, Watch};
use crate::tensor::solve::product;
use crate::weights::Version;

/// Fits output projections, one after the other in the order in which they run.
#[derive(Debug)]
pub struct RecoverOutputs {
    recovery: Arc<dyn Recovery>,
    /// Paths of the projections.
    sites: Vec<String>,
    reads: Vec<String>,
}

impl RecoverOutputs {
    pub fn new(graph: &Graph, recovery: Arc<dyn Recovery>, sites: &[String]) -> Self {
        Self { recovery, sites: sites.to_vec(), reads: everything(graph) }
    }
}

/// The names under which a projection's tensors are kept.
pub fn recovered_names(path: &str) -> [String; 2] {
    [format!("{path}.weight"), format!("{path}.bias")]
}

impl Work for RecoverOutputs {
    fn kind(&self) -> WorkKind {
        WorkKind::Observe
    }

    fn describe(&self) -> String {
        let outputs = numbers::things(self.sites.len(), "output");
        format!("{outputs} fitted on {}, layer by layer", self.recovery.data().name)
    }

    fn arguments(&self) -> serde_json::Value {
        json!({
            "recover": self.recovery.arguments(),
            "data": self.recovery.data().reader.describe(),
            "sites": self.sites,
        })
    }

    fn reads(&self) -> Vec<String> {
        self.reads.clone()
    }

    fn data(&self) -> Vec<Data> {
        vec![self.recovery.data().clone()]
    }

    fn run(&self, at: &Context<'_>) -> Result<Finding, Diagnostic> {
        let (graph, places) = (&at.version.graph, at.version.graph.places());
        let site = |path: &String| places.site(path).expect("the checker and the run agree on paths");
        let paths: BTreeMap<SiteId, &String> = self.sites.iter().map(|path| (site(path), path)).collect();
        let asked = graph.projections().into_iter().filter(|projection| paths.contains_key(&projection.site));
        let specs = paths.iter().flat_map(|(&site, path)| specs(graph, site, path));
        let room = Room::new(at.room, specs.collect())?;
        let batches = read_batches(at, self.recovery.data(), None)?;
        let (before, after) = (Model::new(at.input), Model::new(at.version));
        let mut beside = Beside {
            recovery: &*self.recovery,
            input: at.input,
            version: at.version,
            paths: &paths,
            batches: &batches,
            room: &room,
            lost: BTreeMap::new(),
            ended: false,
        };
        beside
            .run(before.walk(&batches), after.walk(&batches), &asked.collect::<Vec<_>>())
            .map_err(Failure::told)?;
        let lost = beside.lost;
        room.finish(lost)
    }

    fn remarks(&self, _: &Version, found: &Finding) -> Vec<Diagnostic> {
        let Finding::Tensors { lost, .. } = found else { return Vec::new() };
        let left: Vec<&String> = self.sites.iter().filter(|path| !lost.contains_key(*path)).collect();
        let [first, others @ ..] = left.as_slice() else { return Vec::new() };
        let rest = match others.len() {
            0 => "stays as it is".to_owned(),
            more => format!("and {more} more stay as they are"),
        };
        let message = format!("`{first}` {rest}: its units would have been scaled beyond all bounds");
        vec![Diagnostic::new(&codes::NO_EFFECT, message).help("show it more data, or prune less")]
    }
}

/// The tensors that a projection is made of: its weight, and a bias where it has one.
fn views(graph: &Graph, site: SiteId) -> (&View, Option<&View>) {
    let of = &graph.sites[site];
    match &of.weight {
        Weight::Dense(view) => (view, of.bias.as_ref()),
        Weight::Factored { .. } => unreachable!("the pass refuses factored weights"),
    }
}

fn specs(graph: &Graph, site: SiteId, path: &str) -> Vec<TensorSpec> {
    let (weight, bias) = views(graph, site);
    let spec = |(name, view): (String, &View)| {
        let param = &graph.params[view.param];
        TensorSpec { name, dtype: param.dtype, shape: graph.shape(param) }
    };
    recovered_names(path).into_iter().zip(std::iter::once(weight).chain(bias)).map(spec).collect()
}

/// Two models on their way through the same samples.
struct Beside<'a> {
    recovery: &'a dyn Recovery,
    input: &'a Version,
    version: &'a Version,
    paths: &'a BTreeMap<SiteId, &'a String>,
    batches: &'a [Batch],
    room: &'a Room,
    /// What is still missing of each output that was fitted, by path.
    lost: BTreeMap<String, f64>,
    /// Whether the rest stays as it is.
    ended: bool,
}

impl Beside<'_> {
    fn run(
        &mut self,
        mut before: Walk<'_>,
        mut after: Walk<'_>,
        asked: &[Projection],
    ) -> Result<(), Failure> {
        let mut left = asked.len();
        while let Some(segment) = after.segment().filter(|_| left > 0) {
            let weights = after.weights()?;
            let Some(number) = segment.block else {
                after.advance(&weights)?;
                continue;
            };
            let node = self.version.graph.blocks[number].node;
            // Layers that were dropped since are gone through alone.
            let is_it = |at: Option<usize>| at.is_some_and(|at| self.input.graph.blocks[at].node == node);
            while before.segment().is_some_and(|segment| !is_it(segment.block)) {
                let weights = before.weights()?;
                before.advance(&weights)?;
            }
            let here: Vec<Projection> =
                asked.iter().copied().filter(|projection| segment.sites.contains(&projection.site)).collect();
            left -= here.len();
            self.layer(&mut before, &mut after, weights, &here)?;
        }
        Ok(())
    }

    fn layer(
        &mut self,
        before: &mut Walk<'_>,
        after: &mut Walk<'_>,
        mut weights: Loaded,
        here: &[Projection],
    ) -> Result<(), Failure> {
        let twins = self.input.graph.projections();
        let twin = |projection: &Projection| twins.iter().find(|twin| twin.site == projection.site).copied();
        let twins: Vec<Projection> = here.iter().filter_map(twin).collect();
        let mut wanted = Looking::new(&twins, self.recovery.aim());
        wanted.start(before, self.batches.len());
        let dense = before.weights()?;
        let gone = before.look(&dense, &mut wanted)?;
        for projection in here {
            let path = self.paths[&projection.site];
            let mut there = Looking::new(std::slice::from_ref(projection), self.recovery.aim());
            there.start(after, self.batches.len());
            after.look(&weights, &mut there)?;
            let seen = equations(&wanted.of(projection.site), &there.of(projection.site), &there.inputs)?;
            self.fit(projection.site, path, &seen, &mut weights)?;
        }
        before.go(gone);
        after.advance(&weights)
    }

    /// Fits a projection, writes it, and lets the layer go on with what was written.
    fn fit(
        &mut self,
        site: SiteId,
        path: &str,
        seen: &Equations,
        weights: &mut Loaded,
    ) -> Result<(), Failure> {
        let graph = &self.version.graph;
        let of_site = weights.get(site);
        let Matrix::Dense(matrix) = &of_site.matrix else {
            unreachable!("the pass refuses factored weights")
        };
        let (out, inputs) = matrix.dims2()?;
        let bias = of_site.bias.as_ref().map(|bias| Ok::<_, Failure>(Host::of(bias)?.values().to_vec()));
        let was = Projected {
            weight: Host::of(matrix)?.values().to_vec(),
            bias: bias.transpose()?,
            out,
            inputs,
            unit: unit(graph, site),
        };
        let mut is = was.clone();
        if !self.ended {
            let fitted = self.recovery.fit(seen, &mut is).and_then(|fitted| {
                let finite = is.weight.iter().chain(is.bias.iter().flatten()).all(|value| value.is_finite());
                finite.then_some(fitted).ok_or_else(|| "the result is not finite".into())
            });
            let fitted = fitted.map_err(|why| {
                Diagnostic::new(&codes::ANSWERS_NOT_FINITE, format!("`{path}` cannot be recovered: {why}"))
            })?;
            self.ended = !fitted;
        }
        if !self.ended {
            self.lost.insert(path.into(), remaining(seen, &was, &is));
        }
        let (weight, bias) = views(graph, site);
        let view = graph.matrix(weight, graph.sites[site].transposed);
        let [weight_name, bias_name] = recovered_names(path);
        let mut stored = vec![0.0; is.weight.len()];
        view.put(&is.weight, &mut stored);
        self.room.write(&weight_name, &mut stored)?;
        let rounded = (0..out * inputs).map(|at| stored[view.index(at / inputs, at % inputs)]).collect();
        weights.get_mut(site).matrix = Matrix::Dense(tensor(rounded, (out, inputs))?);
        if let (Some(mut values), Some(_)) = (is.bias, bias) {
            self.room.write(&bias_name, &mut values)?;
            weights.get_mut(site).bias = Some(tensor(values, out)?);
        }
        Ok(())
    }
}

/// Inputs of one unit: those of a head, or one of a neuron.
fn unit(graph: &Graph, site: SiteId) -> usize {
    let (_, inputs) = graph.site_dims(site);
    match inputs.0.last() {
        Some(&axis) if graph.axes[axis].role == Role::HeadDim => graph.extent(axis).max,
        _ => 1,
    }
}

/// What is looked at of projections: what they give, what they are given, and the stream that they give it to. A tensor a batch.
struct Looking<'p> {
    projections: &'p [Projection],
    aim: Aim,
    inputs: Vec<Tensor>,
    given: BTreeMap<SiteId, Vec<Tensor>>,
    /// By the operation that makes it.
    streams: BTreeMap<OpId, Vec<Option<Tensor>>>,
}

impl<'p> Looking<'p> {
    fn new(projections: &'p [Projection], aim: Aim) -> Self {
        let (given, streams) = (BTreeMap::new(), BTreeMap::new());
        Self { projections, aim, inputs: Vec::new(), given, streams }
    }

    /// Remembers streams that come from an earlier segment.
    fn start(&mut self, walk: &Walk<'_>, batches: usize) {
        for projection in self.projections {
            let of = |batch| walk.value(batch, projection.stream).map(|value| value.tensor.clone());
            self.streams.insert(projection.stream, (0..batches).map(of).collect());
        }
    }

    /// What a projection gave, by batch; with the stream, where that is aimed at.
    fn of(&self, site: SiteId) -> Vec<(Tensor, Option<Tensor>)> {
        let projection = self.projections.iter().find(|it| it.site == site).expect("it is looked at");
        let streams = &self.streams[&projection.stream];
        let aimed = |stream: &Option<Tensor>| stream.clone().filter(|_| self.aim == Aim::Stream);
        let given = self.given.get(&site).map_or(&[][..], Vec::as_slice);
        given.iter().cloned().zip(streams.iter().map(aimed)).collect()
    }
}

impl Watch for Looking<'_> {
    fn input(&mut self, site: SiteId, x: &Value) -> Result<(), Failure> {
        if self.projections.len() == 1 && self.projections[0].site == site {
            self.inputs.push(x.tensor.clone());
        }
        Ok(())
    }

    fn linear(&mut self, site: SiteId, y: &Value) -> Result<(), Failure> {
        if self.projections.iter().any(|projection| projection.site == site) {
            self.given.entry(site).or_default().push(y.tensor.clone());
        }
        Ok(())
    }

    fn made(&mut self, op: OpId, value: &Value) -> Result<(), Failure> {
        let batch = self.streams.get(&op).map(|streams| streams.iter().take_while(|it| it.is_some()).count());
        if let (Some(batch), Some(streams)) = (batch, self.streams.get_mut(&op))
            && let Some(stream) = streams.get_mut(batch)
        {
            *stream = Some(value.tensor.clone());
        }
        Ok(())
    }
}

/// Sums over all batches.
fn equations(
    wanted: &[(Tensor, Option<Tensor>)],
    there: &[(Tensor, Option<Tensor>)],
    inputs: &[Tensor],
) -> Result<Equations, Failure> {
    let mut all: Option<Equations> = None;
    for (((wanted, aim), (given, stream)), x) in wanted.iter().zip(there).zip(inputs) {
        let mut missing = (wanted - given)?;
        if let (Some(aim), Some(stream)) = (aim, stream) {
            missing = (missing + (aim - stream)?)?;
        }
        let (x, missing) = (x.contiguous()?, missing.contiguous()?);
        let ((rows, width), out) = (x.dims2()?, missing.dims2()?.1);
        let (x, missing) = (Host::of(&x)?, Host::of(&missing)?);
        let (x, missing) = (x.values(), missing.values());
        let found = Equations {
            gram: products(x, width),
            cross: products_with(x, width, missing, out),
            inputs: column_sums(x, width),
            missing: column_sums(missing, out),
            error: missing.iter().map(|value| f64::from(*value).powi(2)).sum(),
            rows: rows as f64,
        };
        match &mut all {
            None => all = Some(found),
            Some(all) => {
                let add = |sums: &mut Vec<f64>, more: Vec<f64>| {
                    sums.iter_mut().zip(more).for_each(|(sum, it)| *sum += it);
                };
                add(&mut all.gram, found.gram);
                add(&mut all.cross, found.cross);
                add(&mut all.inputs, found.inputs);
                add(&mut all.missing, found.missing);
                all.error += found.error;
                all.rows += found.rows;
            }
        }
    }
    Ok(all.expect("a data set has samples"))
}

fn column_sums(values: &[f32], width: usize) -> Vec<f64> {
    let mut sums = vec![0.0; width];
    for row in values.chunks_exact(width.max(1)) {
        sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
    }
    sums
}

/// The sum of squares of what is missing after a projection was changed.
fn remaining(seen: &Equations, was: &Projected, is: &Projected) -> f64 {
    let (out, inputs) = (is.out, is.inputs);
    let change =
        |o: usize, i: usize| f64::from(is.weight[o * inputs + i]) - f64::from(was.weight[o * inputs + i]);
    let change = Mat::from_fn(out, inputs, change);
    let gram = Mat::from_fn(inputs, inputs, |row, column| seen.gram[row * inputs + column]);
    let through = product(change.as_ref(), gram.as_ref());
    let shift = |o: usize| match (&is.bias, &was.bias) {
        (Some(is), Some(was)) => f64::from(is[o]) - f64::from(was[o]),
        _ => 0.0,
    };
    let mut error = seen.error;
    for o in 0..out {
        let (mut given, mut mean) = (0.0, 0.0);
        for i in 0..inputs {
            given += change[(o, i)] * (through[(o, i)] - 2.0 * seen.cross[i * out + o]);
            mean += change[(o, i)] * seen.inputs[i];
        }
        let shift = shift(o);
        error += given + shift * (2.0 * mean - 2.0 * seen.missing[o] + shift * seen.rows);
    }
    error.max(0.0)
}
