//! Training: weights follow the gradients of a loss on data, alone or beside a teacher.
//!
//! One loop for every verb that trains. The same bytes come out for any number of threads, and of a run that was stopped and went
//! on: the order of samples follows from the seed and the number of the step, and every sum is taken in one order.

mod adapter;
mod balance;
mod flow;
mod objective;
mod order;
mod rates;
mod select;
mod shrink;
mod state;
mod step;
mod student;
mod teacher;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use candle_core::Tensor;
use serde_json::json;

pub use adapter::Adapter;
use flow::Flowing;
pub use flow::{Flow, Sparse};
use objective::Objective;
pub use objective::{Layers, Terms};
use order::Order;
pub use rates::{Counts, LearnRates, Rating, learnable, put_rates};
use select::Costs;
pub use select::Spending;
use shrink::Pull;
pub use shrink::{Penalty, Shrinking, Shrinks};
use state::Saved;
pub use step::{Parts, ReplaceTrained, has_logits, labelled, lowering, spread};
use student::{Pace, Student, Trained};
use teacher::Teacher;

use super::room::Room;
use crate::checkpoint::{Checkpoint, TensorSpec};
use crate::diagnostic::{Diagnostic, codes, numbers};
use crate::graph::{Graph, ParamId, View};
use crate::pass::elements::everything;
use crate::pass::{
    Context, Data, Finding, NamedModel, Point, Regimen, Sample, Told, Training, Work, WorkKind,
};
use crate::runtime::{Batch, Failure};
use crate::weights::Version;

/// Points of a loss curve at most: enough for a picture.
const POINTS: usize = 200;

/// Trains weights.
#[derive(Debug)]
pub struct TrainWeights {
    regimen: Regimen,
    terms: Terms,
    /// What is learned from.
    teachers: Vec<NamedModel>,
    /// What is trained in the place of whole matrices.
    adapter: Option<Adapter>,
    /// The share of a whole training's FLOPs that may be spent.
    spending: Option<Spending>,
    /// What becomes zero on the way.
    sparse: Option<Sparse>,
    /// What will be taken out behind it, and shrinks.
    shrinks: Option<Shrinks>,
    /// Paths of the operations whose weights are trained.
    sites: Vec<String>,
    reads: Vec<String>,
}

impl TrainWeights {
    pub fn new(graph: &Graph, regimen: Regimen, terms: Terms, sites: &[String]) -> Self {
        let (teachers, reads) = (Vec::new(), everything(graph));
        let sites = sites.to_vec();
        let (adapter, spending, sparse, shrinks) = (None, None, None, None);
        Self { regimen, terms, teachers, adapter, spending, sparse, shrinks, sites, reads }
    }

    /// The same training of what is worth most under a budget of FLOPs.
    pub fn spending(self, spending: Option<Spending>) -> Self {
        Self { spending, ..self }
    }

    /// The same training of updates beside the matrices.
    pub fn with_adapter(self, adapter: Option<Adapter>) -> Self {
        Self { adapter, ..self }
    }

    /// The same training beside models that are learned from.
    pub fn beside(self, teachers: &[NamedModel]) -> Self {
        Self { teachers: teachers.to_vec(), ..self }
    }

    /// The same training, over which weights become zero.
    pub fn towards(self, sparse: Sparse) -> Self {
        Self { sparse: Some(sparse), ..self }
    }

    /// The same training, over which what will be taken out shrinks.
    pub fn shrinking(self, shrinks: Shrinks) -> Self {
        Self { shrinks: Some(shrinks), ..self }
    }
}

/// The tensors that hold weights of some operations, biases among them, each once.
pub fn trained_params(graph: &Graph, sites: &[String]) -> Vec<ParamId> {
    let params: BTreeSet<ParamId> = views(graph, sites).into_iter().map(|view| view.param).collect();
    params.into_iter().collect()
}

fn views(graph: &Graph, sites: &[String]) -> BTreeSet<View> {
    let places = graph.places();
    let sites = sites.iter().map(|path| places.site(path).expect("the checker and the run agree on paths"));
    sites.flat_map(|site| graph.sites[site].views().cloned()).collect()
}

impl Work for TrainWeights {
    fn kind(&self) -> WorkKind {
        WorkKind::Train
    }

    fn describe(&self) -> String {
        let weights = numbers::things(self.sites.len(), "weight");
        let (data, length) = (&self.regimen.data.name, self.regimen.length.describe());
        let names: Vec<&str> = self.teachers.iter().map(|teacher| teacher.name.as_str()).collect();
        let from = if names.is_empty() { String::new() } else { format!(", from {}", names.join(" and ")) };
        format!("{weights} on {data} for {length}{from}")
    }

    fn arguments(&self) -> serde_json::Value {
        json!({
            "train": self.regimen.arguments(),
            "terms": self.terms.arguments(),
            "teachers": self.teachers.iter().map(said).collect::<Vec<_>>(),
            "adapter": self.adapter.as_ref().map(Told::told),
            "spending": self.spending.as_ref().map(Told::told),
            "flow": self.sparse.as_ref().map(Sparse::arguments),
            "shrinks": self.shrinks.as_ref().map(Shrinks::arguments),
            "sites": self.sites,
        })
    }

    fn reads(&self) -> Vec<String> {
        self.reads.clone()
    }

    fn data(&self) -> Vec<Data> {
        let teachers = self.teachers.iter().filter_map(NamedModel::files);
        self.regimen.reads().into_iter().chain(teachers).collect()
    }

    /// The weights, and of those that are trained a gradient and two moments; the teacher's weights.
    fn memory(&self, graph: &Graph) -> u64 {
        let elements = |id: &ParamId| graph.elements(&graph.params[*id]) as u64;
        let all: u64 = graph.weights().map(|(id, _)| elements(&id)).sum();
        let trained: u64 = trained_params(graph, &self.sites).iter().map(elements).sum();
        let of_teacher =
            |teacher: &NamedModel| Teacher::holds(teacher.other.as_ref().map_or(graph, |other| &other.graph));
        let teachers: u64 = self.teachers.iter().map(of_teacher).sum();
        4 * (all + 3 * trained) + teachers
    }

    fn run(&self, at: &Context<'_>) -> Result<Finding, Diagnostic> {
        let graph = &at.version.graph;
        let params = trained_params(graph, &self.sites);
        let specs = params.iter().map(|&id| {
            let param = &graph.params[id];
            TensorSpec { name: id.index().to_string(), dtype: param.dtype, shape: graph.shape(param) }
        });
        let specs: Vec<TensorSpec> = specs.collect();
        let samples: Vec<Sample> = at.samples(&self.regimen.data)?.collect::<Result<_, _>>()?;
        if samples.is_empty() {
            let message = format!("`{}` has no sample to train on", self.regimen.data.name);
            return Err(Diagnostic::at(&codes::DATA_INVALID, self.regimen.data.span, message));
        }
        let descent = self.regimen.optimizer.descent();
        let mut student = match &self.adapter {
            None => Student::new(at.version, &views(graph, &self.sites), descent)?,
            Some(adapter) => {
                let mut student = Student::new(at.version, &BTreeSet::new(), descent)?;
                student.adapt(&self.sites, adapter, self.regimen.seed).map_err(Failure::told)?;
                student
            }
        };
        if let Some(sparse) = &self.sparse {
            student.hold(&sparse.sites).map_err(Failure::told)?;
        }
        let others: Vec<Option<Version>> = self.teachers.iter().map(opened).collect::<Result<_, _>>()?;
        let versions = others.iter().map(|other| other.as_ref().unwrap_or(at.input));
        let teachers: Vec<Teacher<'_>> = versions.map(Teacher::new).collect::<Result<_, _>>()?;
        let objective = Objective::new(&self.terms, &self.regimen, graph, &teachers);
        let mut loop_ = Loop::new(self, at, &samples, student, objective)?;
        let training = loop_.run()?;
        let room = Room::new(at.room, specs)?;
        loop_.student.write(at.version, &params, &room)?;
        let Finding::Tensors { dir, .. } = room.finish(BTreeMap::new())? else {
            unreachable!("a room is finished as tensors")
        };
        let _ = fs::remove_dir_all(state_dir(at));
        Ok(Finding::Trained { dir, training: Box::new(training) })
    }

    fn remarks(&self, _: &Version, found: &Finding) -> Vec<Diagnostic> {
        let Finding::Trained { training, .. } = found else { return Vec::new() };
        let [first, others @ ..] = training.untouched.as_slice() else { return Vec::new() };
        let rest = match others.len() {
            0 => "stays as it is".to_owned(),
            more => format!("and {more} more stay as they are"),
        };
        let message = format!("`{first}` {rest}: the loss does not depend on it");
        vec![Diagnostic::new(&codes::NO_EFFECT, message)]
    }
}

/// A teacher as records tell it.
fn said(teacher: &NamedModel) -> String {
    teacher.files().map_or_else(|| "input".into(), |files| files.reader.describe())
}

/// A teacher's weights, where it is not the recipe's input model.
fn opened(teacher: &NamedModel) -> Result<Option<Version>, Diagnostic> {
    let Some(other) = &teacher.other else { return Ok(None) };
    let checkpoint = Checkpoint::open(&other.path).map_err(|error| error.or_at(other.span))?;
    Ok(Some(Version::open(other.graph.clone(), &Arc::new(checkpoint))))
}

/// Where states lie from which a stopped run goes on.
fn state_dir(at: &Context<'_>) -> PathBuf {
    at.room.with_extension("state")
}

/// A training that is going on.
struct Loop<'a> {
    work: &'a TrainWeights,
    at: &'a Context<'a>,
    samples: &'a [Sample],
    order: Order,
    student: Student<'a>,
    objective: Objective<'a>,
    pull: Option<Pull>,
    held_out: Vec<Batch>,
    steps: usize,
    done: Progressed,
}

/// How far a training has come, and what was seen on the way.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
struct Progressed {
    /// Steps that are done.
    step: usize,
    curve: Vec<Point>,
    /// Losses since the last point of the curve.
    open: Vec<f64>,
    held_out: Vec<Point>,
    /// The step of the least loss on held-out samples, and that loss.
    best: Option<(usize, f64)>,
    stopped: bool,
    untouched: Vec<String>,
    /// Which variables have gradients, and the share of the backward work that they take, where that is chosen.
    active: Vec<bool>,
    backward: f64,
}

impl Progressed {
    /// Adds the loss of the step that was done last to the curve.
    fn note(&mut self, loss: f64, steps: usize) {
        self.open.push(loss);
        if self.step.is_multiple_of(steps.div_ceil(POINTS)) || self.step == steps {
            let open = std::mem::take(&mut self.open);
            let mean = open.iter().sum::<f64>() / open.len() as f64;
            self.curve.push(Point { step: self.step, loss: mean });
        }
    }
}

impl<'a> Loop<'a> {
    fn new(
        work: &'a TrainWeights,
        at: &'a Context<'a>,
        samples: &'a [Sample],
        student: Student<'a>,
        objective: Objective<'a>,
    ) -> Result<Self, Diagnostic> {
        let regimen = &work.regimen;
        let order = Order::new(samples.len(), regimen);
        let held_out = match &regimen.held_out {
            Some(held) => order::batches(at.samples(&held.data)?.collect::<Result<_, _>>()?, regimen.batch)?,
            None => Vec::new(),
        };
        let steps = regimen.length.steps(order.steps_in_epoch());
        let done = Progressed::default();
        let graph = &at.version.graph;
        let pull = |shrinks| Pull::new(shrinks, graph, at.found, &student.trained);
        let pull = work.shrinks.as_ref().map(pull);
        let mut made = Self { work, at, samples, order, student, objective, pull, held_out, steps, done };
        if let Some(saved) = made.saved_before() {
            made.done = made.student.restore(&mut made.objective, saved)?;
            if !made.done.active.is_empty() {
                made.student.activate(made.done.active.clone());
            }
        }
        Ok(made)
    }

    fn flowing(&self) -> Option<Flowing<'a>> {
        self.work.sparse.as_ref().map(|sparse| Flowing { sparse, steps: self.steps })
    }

    fn saved_before(&self) -> Option<Saved> {
        if self.at.lasting { Saved::open(&state_dir(self.at)) } else { None }
    }

    fn run(&mut self) -> Result<Training, Diagnostic> {
        let regimen = &self.work.regimen;
        self.at.progress.steps(&format!("train {}", self.work.describe()), self.steps as u64);
        while self.done.step < self.steps && !self.done.stopped {
            let loss = self.step()?;
            self.done.note(loss, self.steps);
            if regimen.held_out.as_ref().is_some_and(|held| self.is_due(held.every)) {
                self.look()?;
            }
            self.at.progress.step(self.done.step as u64, &format!("loss {loss:.4}"));
            if self.at.lasting
                && self.done.step < self.steps
                && self.done.step.is_multiple_of(regimen.checkpoint)
            {
                self.student.save(&self.objective, &self.done, &state_dir(self.at))?;
            }
        }
        self.student.take_best();
        if let Some(flowing) = self.flowing() {
            flowing.finish(&mut self.student.trained);
        }
        self.at.progress.finish();
        Ok(Training {
            on: regimen.data.name.clone(),
            samples: self.samples.len(),
            weights: self.student.size(),
            arguments: self.work.arguments(),
            steps: self.done.step,
            planned: self.steps,
            curve: self.done.curve.clone(),
            held_out: self.done.held_out.clone(),
            kept: self.done.best.map(|(step, _)| step),
            untouched: self.done.untouched.clone(),
            backward: self.work.spending.map(|_| self.done.backward),
        })
    }

    /// Whether something is due that is done every so many steps, and at the end.
    fn is_due(&self, every: usize) -> bool {
        self.done.step.is_multiple_of(every) || self.done.step == self.steps
    }

    /// One step of the optimizer; the loss before it.
    fn step(&mut self) -> Result<f64, Diagnostic> {
        let regimen = &self.work.regimen;
        let number = self.done.step;
        let chosen = self.order.of_step(number);
        let batches =
            order::batches(chosen.iter().map(|&at| self.samples[at].clone()).collect(), regimen.batch)?;
        let all: usize = batches.iter().map(|batch| self.objective.weight(batch)).sum();
        let mut total = 0.0;
        let flowing = self.flowing();
        let factor =
            regimen.schedule.factor(number, self.steps, regimen.warmup.of(self.steps).min(self.steps));
        let pace = Pace { rate: regimen.optimizer.rate() * factor, step: number, clip: regimen.clip };
        if let Some(spending) = self.work.spending
            && number.is_multiple_of(self.order.steps_in_epoch() * spending.epochs)
        {
            let views: Vec<Option<&View>> = self.student.trained.iter().map(Trained::view).collect();
            let costs = Costs::new(&self.at.version.graph, &views);
            let chosen =
                select::select(&mut self.student, &mut self.objective, &costs, spending, &batches[0], pace);
            self.done.backward = chosen.map_err(Failure::told)?;
            self.done.active = self.student.trained.iter().map(|one| one.active).collect();
        }
        self.student.begin(&mut self.objective, flowing.as_ref(), number);
        for batch in &batches {
            let share = self.objective.weight(batch) as f64 / all.max(1) as f64;
            let loss = self.objective.loss(&self.student, batch).map_err(Failure::told)?;
            let value = scalar(&loss).map_err(Failure::told)?;
            if !value.is_finite() {
                return Err(self.diverged(number, "the loss"));
            }
            total += share * value;
            self.student.follow(&loss, share, &mut self.objective).map_err(Failure::told)?;
        }
        if number == 0 && self.work.spending.is_none() {
            self.done.untouched = self.student.untouched();
        }
        if let Some(pull) = &self.pull {
            pull.add(&mut self.student.trained);
        }
        if let Err(name) = self.student.advance(&mut self.objective, flowing.as_ref(), pace) {
            return Err(self.diverged(number, &format!("the gradient of `{name}`")));
        }
        self.done.step += 1;
        Ok(total)
    }

    /// Takes the loss on held-out samples, and keeps the weights if it is the least so far.
    fn look(&mut self) -> Result<(), Diagnostic> {
        let Some(held) = &self.work.regimen.held_out else { return Ok(()) };
        let (mut sum, mut all) = (0.0, 0);
        for batch in &self.held_out {
            let weight = self.objective.weight(batch);
            let loss = self.objective.loss(&self.student, batch).map_err(Failure::told)?;
            sum += scalar(&loss).map_err(Failure::told)? * weight as f64;
            all += weight;
        }
        let (step, loss) = (self.done.step, sum / all.max(1) as f64);
        if !loss.is_finite() {
            return Err(self.diverged(step - 1, "the loss on held-out samples"));
        }
        self.done.held_out.push(Point { step, loss });
        if self.done.best.is_none_or(|(_, best)| loss < best) {
            self.done.best = Some((step, loss));
            self.student.keep_best();
        }
        let since = self
            .done
            .held_out
            .iter()
            .rev()
            .take_while(|point| Some(point.step) != self.done.best.map(|it| it.0));
        self.done.stopped = since.count() >= held.patience;
        Ok(())
    }

    fn diverged(&self, step: usize, what: &str) -> Diagnostic {
        let message = format!("{what} is not finite in step {} of {}", step + 1, self.steps);
        let dir = state_dir(self.at);
        let kept = match self.at.lasting && dir.is_dir() {
            true => format!("; the last good state is kept in `{}`", dir.display()),
            false => String::new(),
        };
        Diagnostic::new(&codes::TRAINING_DIVERGED, message)
            .help(format!("take a smaller learning rate, a longer warm-up or a smaller `clip`{kept}"))
    }
}

fn scalar(loss: &Tensor) -> Result<f64, Failure> {
    Ok(f64::from(loss.to_scalar::<f32>()?))
}
