//! What a model answers: its losses and predictions on data, alone and beside the input model's.

use rayon::prelude::*;

use super::each_batch;
use super::gradients::{no_labels, no_logits};
use crate::diagnostic::{Diagnostic, codes};
use crate::graph::Graph;
use crate::pass::{Context, Data, is_causal};
use crate::runtime::op::Host;
use crate::runtime::{
    Batch, Blind, Failure, Gates, Inputs, Loaded, Model, Value, Watch, argmax, divergence, log_sum_exp,
};
use crate::weights::Version;

/// The results of one batch.
#[derive(Debug, Default)]
pub struct Outputs {
    pub logits: Option<Value>,
    /// The last hidden states.
    pub hidden: Option<Value>,
}

impl Watch for Outputs {
    fn output(&mut self, name: &str, value: &Value, _: &Batch) -> Result<(), Failure> {
        match name {
            "logits" => self.logits = Some(value.clone()),
            "hidden" => self.hidden = Some(value.clone()),
            _ => {}
        }
        Ok(())
    }
}

/// The class that each row of logits should be: the next token of a language model, and none behind the last one; the label
/// of a classifier.
///
/// # Errors
/// Where samples have no labels, or a label is no class of the model.
pub fn classes_of(
    batch: &Batch,
    logits: &Value,
    data: &Data,
    causal: bool,
) -> Result<Vec<Option<usize>>, Diagnostic> {
    if causal {
        return next_tokens(batch, logits).ok_or_else(|| no_labels(data));
    }
    let (labels, classes) = (&batch.labels, logits.tensor.dims().last().copied().unwrap_or(0));
    if labels.len() != logits.rows.count() || labels.iter().any(Option::is_none) {
        return Err(no_labels(data));
    }
    match labels.iter().flatten().position(|label| *label >= classes) {
        None => Ok(labels.clone()),
        Some(at) => {
            let (number, label) = (batch.first + at, labels[at].unwrap_or_default());
            let message =
                format!("sample {number} has the label {label}, and the model {classes} classes, from 0");
            Err(Diagnostic::at(&codes::DATA_LABEL, data.span, message))
        }
    }
}

/// The token behind each one, of its own sample. `None` where logits are not of tokens.
fn next_tokens(batch: &Batch, logits: &Value) -> Option<Vec<Option<usize>>> {
    let Inputs::Tokens { ids, rows } = &batch.inputs else { return None };
    if rows.count() != logits.rows.count() {
        return None;
    }
    let next = |row: usize, end: usize| (row + 1 < end).then(|| ids[row + 1] as usize);
    let ranges = rows.ranges().into_iter();
    Some(ranges.flat_map(|range| range.clone().map(move |row| next(row, range.end))).collect())
}

/// A model's losses and hits over all that it had to predict.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Scored {
    /// Cross entropy, summed, in nats.
    pub loss: f64,
    pub right: usize,
    pub count: usize,
}

impl Scored {
    pub fn mean_loss(&self) -> f64 {
        self.loss / self.count.max(1) as f64
    }
}

/// Runs a model on data and compares what it predicts with what is true.
///
/// # Errors
/// Where the model gives no logits, samples have no labels, or something cannot be read.
pub fn scored(at: &Context<'_>, data: &Data) -> Result<Scored, Diagnostic> {
    let mut tally = Tally::new(&at.version.graph, data);
    answers(at.version, each_batch(at, data)?, |batch, outputs| tally.add(batch, outputs))?;
    tally.finish()
}

/// Losses and hits, summed batch by batch.
pub(super) struct Tally<'a> {
    data: &'a Data,
    causal: bool,
    all: Scored,
}

impl<'a> Tally<'a> {
    pub fn new(graph: &Graph, data: &'a Data) -> Self {
        Self { data, causal: is_causal(graph), all: Scored::default() }
    }

    /// Runs a batch through a model with weights that are there.
    ///
    /// # Errors
    /// As [`scored`].
    pub fn run(&mut self, model: &Model<'_>, weights: &Loaded, batch: &Batch) -> Result<(), Diagnostic> {
        let mut outputs = Outputs::default();
        model.forward(weights, batch, &Gates::default(), &mut outputs).map_err(Failure::told)?;
        self.add(batch, &outputs)
    }

    fn add(&mut self, batch: &Batch, outputs: &Outputs) -> Result<(), Diagnostic> {
        let logits = outputs.logits.as_ref().ok_or_else(|| no_logits(self.data))?;
        let classes = classes_of(batch, logits, self.data, self.causal)?;
        let found = of_rows(logits, |row, at| classes[at].map(|class| score(row, class)))?;
        for (loss, right) in found.into_iter().flatten() {
            self.all.loss += loss;
            self.all.right += usize::from(right);
            self.all.count += 1;
        }
        Ok(())
    }

    pub fn finish(self) -> Result<Scored, Diagnostic> {
        match self.all.loss.is_finite() {
            true => Ok(self.all),
            false => Err(not_finite(self.data)),
        }
    }
}

fn score(row: &[f32], class: usize) -> (f64, bool) {
    (log_sum_exp(row) - f64::from(row[class]), argmax(row) == class)
}

/// How a model's answers compare with the input model's: means over what is predicted.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Compared {
    /// The cosine of logits (of a classifier), of mean hidden states (of an encoder without head), of hidden states (of a
    /// language model).
    pub cosine: f64,
    /// The share of equal predictions; of a model without logits none.
    pub agreement: Option<f64>,
    /// `KL(input || this)` in nats.
    pub kl: Option<f64>,
}

/// Runs this model and the input model side by side.
///
/// # Errors
/// Where something cannot be read.
pub fn compared(at: &Context<'_>, data: &Data) -> Result<Compared, Diagnostic> {
    let causal = is_causal(&at.version.graph);
    let input = Side::of(at.input)?;
    let (mut cosines, mut agreed, mut divergence) = (Vec::new(), Vec::new(), Vec::new());
    answers(at.version, each_batch(at, data)?, |batch, ours| {
        let theirs = input.outputs(batch).map_err(Failure::told)?;
        if let (Some(ours), Some(theirs)) = (&ours.logits, &theirs.logits) {
            if ours.tensor.dims() != theirs.tensor.dims() {
                let message = "the model predicts among other classes than the input model";
                return Err(Diagnostic::at(&codes::NO_LOSS, data.span, message));
            }
            // Behind the last token of a window nothing is predicted.
            let counts: Vec<bool> = match causal {
                true => next_tokens(batch, ours).unwrap_or_default().iter().map(Option::is_some).collect(),
                false => vec![true; ours.rows.count()],
            };
            for (agrees, kl) in beside(ours, theirs, &counts)?.into_iter().flatten() {
                agreed.push(f64::from(u8::from(agrees)));
                divergence.push(kl);
            }
        }
        let pairs = match (&ours.logits, &theirs.logits, &ours.hidden, &theirs.hidden) {
            (Some(ours), Some(theirs), ..) if !causal => (ours.clone(), theirs.clone()),
            (.., Some(ours), Some(theirs)) if causal => (ours.clone(), theirs.clone()),
            (.., Some(ours), Some(theirs)) => (mean(ours)?, mean(theirs)?),
            _ => return Err(no_logits(data)),
        };
        if pairs.0.tensor.dims() != pairs.1.tensor.dims() {
            let message = "the model's states are of another width than the input model's";
            return Err(Diagnostic::at(&codes::NO_LOSS, data.span, message));
        }
        cosines.extend(row_cosines(&pairs.0, &pairs.1)?);
        Ok(())
    })?;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let some = |values: &[f64]| (!values.is_empty()).then(|| mean(values));
    let found = Compared { cosine: mean(&cosines), agreement: some(&agreed), kl: some(&divergence) };
    if !found.cosine.is_finite() || found.kl.is_some_and(|kl| !kl.is_finite()) {
        return Err(not_finite(data));
    }
    Ok(found)
}

/// A model with all of its weights in memory.
struct Side<'a> {
    model: Model<'a>,
    weights: Loaded,
}

impl<'a> Side<'a> {
    fn of(version: &'a Version) -> Result<Self, Diagnostic> {
        let model = Model::new(version);
        let weights = model.load().map_err(Failure::told)?;
        Ok(Self { model, weights })
    }

    fn outputs(&self, batch: &Batch) -> Result<Outputs, Failure> {
        let mut outputs = Outputs::default();
        self.model.forward(&self.weights, batch, &Gates::default(), &mut outputs)?;
        Ok(outputs)
    }
}

/// Every batch through a model, its answers handed over and forgotten.
pub(super) fn answers(
    version: &Version,
    batches: impl Iterator<Item = Result<Batch, Diagnostic>>,
    mut each: impl FnMut(&Batch, &Outputs) -> Result<(), Diagnostic>,
) -> Result<(), Diagnostic> {
    let side = Side::of(version)?;
    for batch in batches {
        let batch = batch?;
        each(&batch, &side.outputs(&batch).map_err(Failure::told)?)?;
    }
    Ok(())
}

/// Something of each row, in their order.
fn of_rows<T: Send>(value: &Value, f: impl Fn(&[f32], usize) -> T + Sync) -> Result<Vec<T>, Diagnostic> {
    let read = || -> Result<Vec<T>, Failure> {
        let tensor = value.tensor.contiguous()?;
        let width = tensor.dims2()?.1;
        let host = Host::of(&tensor)?;
        let rows = host.values().par_chunks(width.max(1)).enumerate();
        Ok(rows.map(|(at, row)| f(row, at)).collect())
    };
    read().map_err(Failure::told)
}

/// For each row that counts whether both predict the same, and the divergence of their probabilities.
fn beside(ours: &Value, theirs: &Value, counts: &[bool]) -> Result<Vec<Option<(bool, f64)>>, Diagnostic> {
    let read = || -> Result<Vec<Option<(bool, f64)>>, Failure> {
        let (ours, theirs) = (ours.tensor.contiguous()?, theirs.tensor.contiguous()?);
        let width = ours.dims2()?.1.max(1);
        let (ours, theirs) = (Host::of(&ours)?, Host::of(&theirs)?);
        let pairs = ours.values().par_chunks(width).zip(theirs.values().par_chunks(width));
        let pairs = pairs.zip(counts.par_iter());
        Ok(pairs
            .map(|((p, q), counts)| counts.then(|| (argmax(p) == argmax(q), divergence(q, p, 1.0))))
            .collect())
    };
    read().map_err(Failure::told)
}

fn row_cosines(left: &Value, right: &Value) -> Result<Vec<f64>, Diagnostic> {
    let read = || -> Result<Vec<f64>, Failure> {
        let (left, right) = (left.tensor.contiguous()?, right.tensor.contiguous()?);
        let width = left.dims2()?.1.max(1);
        let (left, right) = (Host::of(&left)?, Host::of(&right)?);
        let pairs = left.values().par_chunks(width).zip(right.values().par_chunks(width));
        Ok(pairs.map(|(left, right)| cosine(left, right)).collect())
    };
    read().map_err(Failure::told)
}

/// The cosine of the angle between two vectors; 0 where one is zero and the other is not, 1 where both are.
pub fn cosine(left: &[f32], right: &[f32]) -> f64 {
    let dot =
        |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum() };
    let (along, sizes) = (dot(left, right), (dot(left, left) * dot(right, right)).sqrt());
    match sizes > 0.0 {
        true => along / sizes,
        false => f64::from(u8::from(dot(left, left) == dot(right, right))),
    }
}

/// The mean of each sample's rows.
fn mean(value: &Value) -> Result<Value, Diagnostic> {
    value.mean().map_err(Failure::told)
}

fn not_finite(data: &Data) -> Diagnostic {
    let message = format!("the model's answers on `{}` are not finite: NaN or infinite", data.name);
    Diagnostic::at(&codes::ANSWERS_NOT_FINITE, data.span, message)
        .help("a step has destroyed the model, or the model was broken before: measure the input too")
}

/// Runs everything and looks at nothing: for timing.
///
/// # Errors
/// Where something cannot be read.
pub fn run_once(model: &Model<'_>, weights: &Loaded, batch: &Batch) -> Result<(), Failure> {
    model.forward(weights, batch, &Gates::default(), &mut Blind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosines_have_a_value_for_zeros() {
        assert_eq!(cosine(&[1.0, 0.0], &[0.0, 2.0]), 0.0);
        assert!((cosine(&[1.0, 1.0], &[-2.0, -2.0]) + 1.0).abs() < 1e-12);
        assert_eq!([cosine(&[0.0], &[0.0]), cosine(&[0.0], &[1.0])], [1.0, 0.0]);
    }
}
