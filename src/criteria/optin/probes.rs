//! Scores of many elements at once, to first order: squares of what random combinations of all that is compared do by a gate.
//!
//! Let `c` be the cosines of all layers, and `J` their gradient by a gate on an element. With the element out they change by about
//! `-J`, and the score is about `|J|^2`. For signs `s` that are drawn independently, `(s . J)^2` has `|J|^2` as its mean, and `s . J`
//! for all gates at once is one backward pass. Probabilities go the same way: near `p`, `KL(p || q)` is half the square of the
//! change of the logits under `diag(p) - p p^T`, and that is the covariance of `onehot(y) - p` for `y` drawn from `p`.

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};

use super::Change;
use super::states::{Compared, TEMPERATURE, Whole};
use crate::graph::{AxisId, OpId, SiteId};
use crate::observe::Outputs;
use crate::runtime::kernel::product::{Into, Matrix, Threads, product};
use crate::runtime::op::{Host, tensor};
use crate::runtime::{Blind, Failure, Gates, Value, Values, log_sum_exp, readers};
use crate::tensor::random::Stream;

impl Whole<'_> {
    /// About what [`Whole::absences`] finds, for all elements of some axes.
    pub(super) fn estimates(
        &self,
        axes: &[AxisId],
        probes: usize,
        seed: u64,
    ) -> Result<Vec<(AxisId, Vec<Change>)>, Failure> {
        let graph = self.graph();
        let (mut gates, mut vars) = (Gates::default(), Vec::new());
        for &axis in axes {
            let extent = graph.extent(axis).max;
            let var = Var::from_tensor(&tensor(vec![1.0; extent], (1, extent))?)?;
            gates.put(graph, axis, &var);
            vars.push(var);
        }
        let (mut values, mut outputs) = (Values::new(), Outputs::default());
        self.run(&self.schedule, &gates, &mut values, &mut outputs)?;
        let layers = self.compared(axes, &values)?;
        let mut changes: Vec<(AxisId, Vec<Change>)> =
            axes.iter().map(|&axis| (axis, vec![Change::default(); graph.extent(axis).max])).collect();
        let share = 1.0 / probes as f64;
        for probe in 0..probes {
            let mut add = |pulled: Option<Tensor>, to: fn(&mut Change) -> &mut f64| -> Result<(), Failure> {
                let Some(pulled) = pulled else { return Ok(()) };
                let gradients = pulled.backward()?;
                for (var, (_, changes)) in vars.iter().zip(&mut changes) {
                    let Some(gradient) = gradients.get(var) else { continue };
                    let gradient = gradient.contiguous()?;
                    let squares = Host::of(&gradient)?;
                    let each = changes.iter_mut().zip(squares.values());
                    each.for_each(|(change, it)| *to(change) += share * f64::from(*it).powi(2));
                }
                Ok(())
            };
            add(pull_states(&layers, seed, probe)?, |change| &mut change.states)?;
            add(pull_answers(outputs.logits.as_ref(), seed, probe)?, |change| &mut change.answers)?;
        }
        Ok(changes)
    }

    /// What each layer's rows are compared by. At their own layer elements are not compared, unless it is the last: there, the
    /// result is made again without their gates.
    fn compared(&self, axes: &[AxisId], values: &Values) -> Result<Vec<(Value, Compared)>, Failure> {
        let mut of_layer: BTreeMap<usize, Vec<SiteId>> = BTreeMap::new();
        for &axis in axes {
            let sites = readers(self.graph(), axis);
            if let Some(layer) = self.layer_of(&sites).filter(|&layer| layer < self.last_layer()) {
                of_layer.entry(layer).or_default().extend(sites);
            }
        }
        let of = |(&op, layer): (&OpId, &usize)| -> Result<(Value, Compared), Failure> {
            let mut values = values.clone();
            if let Some(sites) = of_layer.get(layer) {
                let mut again = self.behind(sites);
                let end = again.iter().position(|&other| other == op).map_or(0, |at| at + 1);
                again.truncate(end);
                self.run(&again, &Gates::default(), &mut values, &mut Blind)?;
            }
            let value = values.remove(&op).expect("the whole model was run");
            let compared = Compared::of(&value, self.most)?;
            Ok((value, compared))
        };
        self.fed.iter().map(of).collect()
    }
}

/// A number whose gradient by a gate is a random combination of the gradients of all cosines.
fn pull_states(layers: &[(Value, Compared)], seed: u64, probe: usize) -> Result<Option<Tensor>, Failure> {
    let mut sum: Option<Tensor> = None;
    for (layer, (value, compared)) in layers.iter().enumerate() {
        let signs = Stream::new(seed, &format!("states {probe} {layer}"));
        let (rows, width) = value.tensor.dims2()?;
        let mut pull = vec![0.0; rows * width];
        compared.pull(signs, &mut pull);
        let pulled = (&value.tensor * tensor(pull, (rows, width))?)?.sum_all()?;
        sum = Some(match sum {
            Some(sum) => (sum + pulled)?,
            None => pulled,
        });
    }
    Ok(sum)
}

impl Compared {
    /// The gradient, by the value that the rows are of, of the sum of all cosines with random signs. A cosine stands twice in what
    /// is compared, and has one sign, times the root of 2.
    fn pull(&self, signs: Stream, gradient: &mut [f32]) {
        let (count, width) = (self.from.len(), self.width);
        let mut combination = vec![0.0; count * count];
        for row in 0..count {
            for other in 0..row {
                let at = (row * count + other) as u64;
                let sign = if signs.bits(at / 64) >> (at % 64) & 1 == 0 { 1.0 } else { -1.0 };
                combination[row * count + other] = sign * std::f32::consts::SQRT_2;
                combination[other * count + row] = sign * std::f32::consts::SQRT_2;
            }
        }
        let mut pulls = vec![0.0; count * width];
        let combination = Matrix::rows(&combination, count, count, count);
        let rows = Matrix::rows(&self.rows, count, width, width);
        product((&mut pulls, width), Into::Replace, 1.0, combination, rows, Threads::All);
        let of_row = self.rows.chunks_exact(width).zip(pulls.chunks_exact(width)).zip(&self.from);
        for ((row, pull), &(number, scale)) in of_row {
            // Only what turns the row counts: its length is no part of a cosine.
            let along: f64 = row.iter().zip(pull).map(|(a, b)| f64::from(a * b)).sum();
            let into = &mut gradient[number * width..][..width];
            for ((into, row), pull) in into.iter_mut().zip(row).zip(pull) {
                *into = (pull - row * along as f32) * scale;
            }
        }
    }
}

/// A number whose squared gradient by a gate has the divergence of softened probabilities as its mean.
fn pull_answers(logits: Option<&Value>, seed: u64, probe: usize) -> Result<Option<Tensor>, Failure> {
    let Some(value) = logits else { return Ok(None) };
    let logits = value.tensor.contiguous()?;
    let (rows, width) = logits.dims2()?;
    let draws = Stream::new(seed, &format!("answers {probe}"));
    // T^2 of the divergence, and 1/T of each of the two factors of a square.
    let scale = (0.5 / rows.max(1) as f64).sqrt();
    let mut pull = vec![0.0; rows * width];
    let host = Host::of(&logits)?;
    for (number, (row, pull)) in
        host.values().chunks_exact(width).zip(pull.chunks_exact_mut(width)).enumerate()
    {
        let soft: Vec<f32> = row.iter().map(|it| it / TEMPERATURE as f32).collect();
        let all = log_sum_exp(&soft);
        let (mut left, mut drawn) = (f64::from(draws.uniform(number as u64)), width - 1);
        for (class, (pull, logit)) in pull.iter_mut().zip(&soft).enumerate() {
            let p = (f64::from(*logit) - all).exp();
            *pull = (-p * scale) as f32;
            if left >= 0.0 && left < p {
                drawn = class;
            }
            left -= p;
        }
        pull[drawn] += scale as f32;
    }
    Ok(Some((&value.tensor * tensor(pull, (rows, width))?)?.sum_all()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turning the second of two rows by a small angle changes their cosine by that angle; its square, counted twice, is the score.
    /// There is one sign, so that one probe is exact.
    #[test]
    fn a_cosine_of_two_rows_pulls_across() {
        let compared = Compared { rows: vec![1.0, 0.0, 0.0, 1.0], from: vec![(0, 1.0), (1, 0.5)], width: 2 };
        let mut gradient = vec![0.0; 4];
        compared.pull(Stream::new(0, "signs"), &mut gradient);
        let root = std::f32::consts::SQRT_2;
        let expected = [0.0, root, 0.5 * root, 0.0];
        let near = |(found, expected): (&f32, &f32)| (found.abs() - expected).abs() < 1e-6;
        assert!(gradient.iter().zip(&expected).all(near), "{gradient:?}");
    }
}
