//! The model that learns: its variables, their gradients, and how they move.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, InplaceOp1, Layout, Tensor, TensorId, Var};

use super::Progressed;
use super::adapter::{Adapted, Adapter};
use super::flow::{Flowing, Held};
use super::objective::Objective;
use super::state::{self, Saved};
use crate::diagnostic::Diagnostic;
use crate::graph::{Graph, ParamId, SiteKind, View, Weight};
use crate::observe::room::Room;
use crate::runtime::op::Host;
use crate::runtime::{Batch, Failure, Gates, Leaf, Loaded, Matrix, Model, Watch};
use crate::tensor::MatrixView;
use crate::tensor::descent::{Descent, Moments, Stride, sum_of_squares};
use crate::weights::Version;

/// A model whose weights are variables where they are trained.
pub struct Student<'a> {
    model: Model<'a>,
    weights: Loaded,
    /// The same where only some variables have gradients.
    running: Loaded,
    pub trained: Vec<Trained>,
    adapted: Vec<Adapted>,
    descent: Descent,
    /// Values of the least loss on held-out samples.
    best: Option<Vec<Vec<f32>>>,
}

/// Weights and moments at one time.
pub struct Remembered {
    pub values: Vec<Vec<f32>>,
    moments: Vec<Moments>,
}

/// How weights move in a step.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    pub rate: f64,
    /// From 0.
    pub step: usize,
    /// What the gradient's norm is at most; 0 for any.
    pub clip: f64,
}

/// A variable and what is known of its way.
pub struct Trained {
    pub tensor: Tensor,
    /// The part of a tensor that it is; none of what is no weight of the model.
    part: Option<Part>,
    /// Of its tensor, as the file spells it.
    name: String,
    /// Of the loss of one step.
    pub gradient: Vec<f32>,
    touched: bool,
    /// Whether it moves.
    pub active: bool,
    pub moments: Moments,
    /// Which weights stay zero: those that a step before made zero.
    zeros: Option<Vec<bool>>,
    decays: bool,
    /// Of what becomes zero over the training: the weights, and which of them are on.
    pub held: Option<Held>,
}

/// Where a variable lies in its tensor.
struct Part {
    view: View,
    transposed: bool,
}

impl<'a> Student<'a> {
    /// # Errors
    /// Where weights cannot be read.
    pub fn new(version: &'a Version, views: &BTreeSet<View>, descent: Descent) -> Result<Self, Diagnostic> {
        let model = Model::new(version);
        let sites: Vec<_> = model.segments.iter().flat_map(|segment| segment.sites.clone()).collect();
        let (weights, leaves) = Loaded::variables(version, &sites, views).map_err(Failure::told)?;
        let trained = leaves.into_iter().map(|leaf| Trained::new(&version.graph, leaf, &descent));
        let trained = trained.collect::<Result<_, Failure>>().map_err(Failure::told)?;
        let running = weights.clone();
        Ok(Self { model, weights, running, trained, adapted: Vec::new(), descent, best: None })
    }

    /// Says which variables have gradients from now on; the others stay as they are.
    pub fn activate(&mut self, active: Vec<bool>) {
        let off = self.trained.iter().zip(&active).filter(|(_, active)| !**active);
        let off: HashSet<TensorId> = off.map(|(one, _)| one.tensor.id()).collect();
        self.running = self.weights.with_constants(|tensor| off.contains(&tensor.id()));
        self.trained.iter_mut().zip(active).for_each(|(one, active)| one.active = active);
    }

    /// Weights and moments as they are.
    pub fn remember(&self, objective: &Objective<'_>) -> Remembered {
        let all = || self.trained.iter().chain(objective.maps());
        Remembered {
            values: all().map(Trained::values).collect(),
            moments: all().map(|one| one.moments.clone()).collect(),
        }
    }

    /// Puts back what was remembered.
    pub fn recall(&mut self, objective: &mut Objective<'_>, remembered: Remembered) {
        let all = self.trained.iter_mut().chain(objective.maps_mut());
        for ((one, values), moments) in all.zip(remembered.values).zip(remembered.moments) {
            one.set(&values);
            one.moments = moments;
        }
    }

    /// Gives some matrices an update that is trained in their place.
    ///
    /// # Errors
    /// Where a variable cannot be made, which is an error of ours.
    pub fn adapt(&mut self, sites: &[String], adapter: &Adapter, seed: u64) -> Result<(), Failure> {
        let graph = &self.model.version.graph;
        let places = graph.places();
        for path in sites {
            let site = places.site(path).expect("the checker and the run agree on paths");
            let of = &graph.sites[site];
            let Weight::Dense(view) = &of.weight else { unreachable!("the pass refuses factored weights") };
            let frozen = self.weights.get(site).dense()?;
            let place = (site, view.clone(), graph.matrix(view, of.transposed));
            let at = (seed, self.trained.len());
            let (adapted, variables) =
                Adapted::new(place, adapter, path, &frozen, of.sparsity.is_some(), at)?;
            for (name, values) in variables {
                let variable = Var::from_tensor(&values)?.into_inner();
                self.trained.push(Trained::free(variable, name, true, &self.descent));
            }
            self.adapted.push(adapted);
        }
        Ok(())
    }

    /// Numbers that are trained.
    pub fn size(&self) -> usize {
        self.trained.iter().map(|one| one.gradient.len()).sum()
    }

    /// # Errors
    /// Where a sample does not fit the model.
    pub fn answer(&self, batch: &Batch, watch: &mut dyn Watch) -> Result<(), Failure> {
        if self.adapted.is_empty() {
            return self.model.forward(&self.running, batch, &Gates::default(), watch);
        }
        let mut weights = self.running.clone();
        for adapted in &self.adapted {
            weights.get_mut(adapted.site).matrix = Matrix::Dense(adapted.whole(&self.trained)?);
        }
        self.model.forward(&weights, batch, &Gates::default(), watch)
    }

    /// Weights of some sites are to become zero over the training.
    ///
    /// # Errors
    /// Where a variable cannot be read, which is an error of ours.
    pub fn hold(&mut self, sites: &[String]) -> Result<(), Failure> {
        let graph = &self.model.version.graph;
        let places = graph.places();
        for path in sites {
            let site = places.site(path).expect("the checker and the run agree on paths");
            for view in graph.matrix_views(site) {
                let is_it = |one: &&mut Trained| one.part.as_ref().is_some_and(|part| part.view == *view);
                let one = self.trained.iter_mut().find(is_it).expect("what becomes sparse is trained");
                let (out, inputs) = one.tensor.dims2()?;
                let (path, whole) = (path.clone(), one.values());
                one.held = Some(Held { path, inputs, whole, on: vec![true; out * inputs] });
            }
        }
        Ok(())
    }

    /// A step begins: there is no gradient yet.
    pub fn begin(&mut self, objective: &mut Objective<'_>, flowing: Option<&Flowing<'_>>, step: usize) {
        self.trained.iter_mut().chain(objective.maps_mut()).for_each(Trained::begin);
        if let Some(flowing) = flowing {
            flowing.begin(&mut self.trained, step);
        }
    }

    /// Adds the gradients of a loss, times a share.
    ///
    /// # Errors
    /// Where an operation's backward fails, which is an error of ours.
    pub fn follow(
        &mut self,
        loss: &Tensor,
        share: f64,
        objective: &mut Objective<'_>,
    ) -> Result<(), Failure> {
        let found = loss.backward()?;
        self.trained.iter_mut().chain(objective.maps_mut()).try_for_each(|it| it.follow(&found, share as f32))
    }

    /// Names of tensors that have no gradient.
    pub fn untouched(&self) -> Vec<String> {
        self.trained.iter().filter(|it| !it.touched).map(|it| it.name.clone()).collect()
    }

    /// Moves all weights by one step.
    ///
    /// # Errors
    /// The name of a tensor whose gradient is not finite; nothing was moved then.
    pub fn advance(
        &mut self,
        objective: &mut Objective<'_>,
        flowing: Option<&Flowing<'_>>,
        Pace { rate, step, clip }: Pace,
    ) -> Result<(), String> {
        if let Some(flowing) = flowing {
            flowing.turn(&mut self.trained, step);
        }
        let mut squares = 0.0;
        for trained in self.trained.iter_mut().chain(objective.maps_mut()) {
            trained.mask();
            let own = sum_of_squares(&trained.gradient);
            if !own.is_finite() {
                return Err(trained.name.clone());
            }
            squares += own;
        }
        let norm = squares.sqrt();
        let scale = if clip > 0.0 && norm > clip { (clip / norm) as f32 } else { 1.0 };
        for trained in self.trained.iter_mut().chain(objective.maps_mut()) {
            trained.advance(self.descent, rate, step as u64 + 1, scale);
        }
        if let Some(flowing) = flowing {
            flowing.moved(&mut self.trained);
        }
        Ok(())
    }

    /// Remembers the weights as the best so far.
    pub fn keep_best(&mut self) {
        self.best = Some(self.trained.iter().map(Trained::values).collect());
    }

    /// Puts the best weights back, where some were remembered.
    pub fn take_best(&mut self) {
        for (trained, values) in self.trained.iter_mut().zip(self.best.take().into_iter().flatten()) {
            trained.set(&values);
        }
    }

    /// Writes all tensors that were trained, rounded to their types.
    ///
    /// # Errors
    /// Where they cannot be written.
    pub fn write(&self, version: &Version, params: &[ParamId], room: &Room) -> Result<(), Diagnostic> {
        let parts = || self.trained.iter().filter_map(|it| Some((it, it.place(&version.graph)?)));
        for &param in params {
            let mut values = version.values(param)?;
            for adapted in self.adapted.iter().filter(|adapted| adapted.view.param == param) {
                let whole = adapted.whole(&self.trained).map_err(Failure::told)?;
                let host = Host::of(&whole).expect("a matrix is of f32 and contiguous");
                adapted.matrix.put(host.values(), &mut values);
            }
            for (trained, view) in
                parts().filter(|(_, (of, _))| *of == param).map(|(it, (_, view))| (it, view))
            {
                view.put(&trained.values(), &mut values);
            }
            room.write(&param.index().to_string(), &mut values)?;
        }
        Ok(())
    }

    /// Writes a state from which the training can go on.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn save(&self, objective: &Objective<'_>, done: &Progressed, dir: &Path) -> Result<(), Diagnostic> {
        let mut tensors: Vec<(String, Vec<f32>)> = Vec::new();
        for (at, trained) in self.trained.iter().chain(objective.maps()).enumerate() {
            tensors.push((format!("{at}.weight"), trained.whole()));
            let on = trained.held.iter().flat_map(|held| &held.on);
            tensors.push((format!("{at}.on"), on.map(|on| f32::from(u8::from(*on))).collect()));
            tensors.push((format!("{at}.first"), trained.moments.first.clone()));
            tensors.push((format!("{at}.second"), trained.moments.second.clone()));
        }
        for (at, values) in self.best.iter().flatten().enumerate() {
            tensors.push((format!("{at}.best"), values.clone()));
        }
        state::save(dir, done, &tensors)
    }

    /// Goes on from a state.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn restore(&mut self, objective: &mut Objective<'_>, saved: Saved) -> Result<Progressed, Diagnostic> {
        for (at, trained) in self.trained.iter_mut().chain(objective.maps_mut()).enumerate() {
            let values = saved.read(&format!("{at}.weight"))?;
            trained.set(&values);
            if let Some(held) = &mut trained.held {
                held.whole = values;
                held.on = saved.read(&format!("{at}.on"))?.into_iter().map(|on| on != 0.0).collect();
            }
            trained.moments.first = saved.read(&format!("{at}.first"))?;
            trained.moments.second = saved.read(&format!("{at}.second"))?;
        }
        if saved.done.best.is_some() {
            let best = (0..self.trained.len()).map(|at| saved.read(&format!("{at}.best")));
            self.best = Some(best.collect::<Result<_, _>>()?);
        }
        Ok(saved.done)
    }
}

impl Trained {
    fn new(graph: &Graph, leaf: Leaf, descent: &Descent) -> Result<Self, Failure> {
        let reads = |site: &&crate::graph::Site| site.views().any(|view| *view == leaf.view);
        let sites = || graph.sites.iter().map(|(_, site)| site).filter(reads);
        let is_table = sites().any(|site| site.kind == SiteKind::Embedding);
        let is_sparse = leaf.is_matrix && sites().any(|site| site.sparsity.is_some());
        let name = graph.params[leaf.view.param].name.resolve();
        let zeros = match is_sparse {
            true => Some(Host::of(&leaf.tensor)?.values().iter().map(|value| *value == 0.0).collect()),
            false => None,
        };
        let decays = leaf.is_matrix && !is_table;
        let part = Some(Part { view: leaf.view, transposed: leaf.transposed });
        Ok(Self { zeros, part, ..Self::free(leaf.tensor, name, decays, descent) })
    }

    /// A variable that is no weight of the model.
    pub fn free(tensor: Tensor, name: String, decays: bool, descent: &Descent) -> Self {
        let count = tensor.elem_count();
        let (gradient, moments) = (vec![0.0; count], descent.moments(count));
        Self {
            tensor,
            part: None,
            name,
            gradient,
            touched: false,
            active: true,
            moments,
            zeros: None,
            decays,
            held: None,
        }
    }

    fn begin(&mut self) {
        self.gradient.fill(0.0);
        self.touched = false;
    }

    fn follow(&mut self, found: &GradStore, share: f32) -> Result<(), Failure> {
        // An expert that no token was routed to has none.
        let Some(gradient) = found.get(&self.tensor) else { return Ok(()) };
        let gradient = gradient.contiguous()?;
        let host = Host::of(&gradient)?;
        self.touched = true;
        self.gradient.iter_mut().zip(host.values()).for_each(|(sum, it)| *sum += share * it);
        Ok(())
    }

    /// What has to stay zero has no gradient.
    fn mask(&mut self) {
        let Some(zeros) = &self.zeros else { return };
        self.gradient.iter_mut().zip(zeros).filter(|(_, stays)| **stays).for_each(|(it, _)| *it = 0.0);
    }

    fn advance(&mut self, descent: Descent, rate: f64, number: u64, scale: f32) {
        if !self.active {
            return;
        }
        if scale != 1.0 {
            self.gradient.iter_mut().for_each(|it| *it *= scale);
        }
        let stride = Stride { rate, number, decays: self.decays };
        let moments = RefCell::new(&mut self.moments);
        let moved = Moved { descent, stride, gradient: &self.gradient, moments };
        self.tensor.inplace_op1(&moved).expect("a variable is of f32 and contiguous");
    }

    /// Its values, `[out, in]`.
    pub fn values(&self) -> Vec<f32> {
        Host::of(&self.tensor).expect("a variable is of f32 and contiguous").values().to_vec()
    }

    /// How far it has moved from values that it had.
    pub fn moved_from(&self, then: &[f32]) -> Vec<f32> {
        self.values().iter().zip(then).map(|(now, then)| now - then).collect()
    }

    /// The part of a tensor that it is, where it is one.
    pub fn view(&self) -> Option<&View> {
        self.part.as_ref().map(|part| &part.view)
    }

    /// Where its values lie in its tensor, where it is a part of one.
    pub fn place(&self, graph: &Graph) -> Option<(ParamId, MatrixView)> {
        let part = self.part.as_ref()?;
        Some((part.view.param, graph.matrix(&part.view, part.transposed)))
    }

    /// The weights themselves, those that are off among them.
    fn whole(&self) -> Vec<f32> {
        self.held.as_ref().map_or_else(|| self.values(), |held| held.whole.clone())
    }

    /// Puts other values in the place of what operations compute with.
    pub fn set(&mut self, values: &[f32]) {
        self.tensor.inplace_op1(&Set(values)).expect("a variable is of f32 and contiguous");
    }
}

/// Moves the values of a variable where they are: every operation that shares it sees them.
struct Moved<'a> {
    descent: Descent,
    stride: Stride,
    gradient: &'a [f32],
    moments: RefCell<&'a mut Moments>,
}

impl InplaceOp1 for Moved<'_> {
    fn name(&self) -> &'static str {
        "step"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let weights = slice(storage, layout)?;
        self.descent.step(self.stride, weights, self.gradient, &mut self.moments.borrow_mut());
        Ok(())
    }
}

/// Puts other values into a variable.
struct Set<'a>(&'a [f32]);

impl InplaceOp1 for Set<'_> {
    fn name(&self) -> &'static str {
        "set"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        slice(storage, layout)?.copy_from_slice(self.0);
        Ok(())
    }
}

fn slice<'s>(storage: &'s mut CpuStorage, layout: &Layout) -> candle_core::Result<&'s mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&mut values[start..end]),
        _ => Err(candle_core::Error::Msg("a contiguous variable of f32 is needed here".into())),
    }
}
