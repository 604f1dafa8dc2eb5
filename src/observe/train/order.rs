//! The order of samples: a shuffle for each epoch, and batches of it.

use crate::diagnostic::Diagnostic;
use crate::pass::{Regimen, Sample};
use crate::runtime::{self, Batch};
use crate::tensor::random::Stream;

/// Which samples a step sees: it follows from the seed and the number of the step.
pub struct Order {
    samples: usize,
    /// Samples of one step.
    step: usize,
    seed: u64,
    /// The last epoch that was asked for, and its order.
    epoch: Option<(usize, Vec<usize>)>,
}

impl Order {
    pub fn new(samples: usize, regimen: &Regimen) -> Self {
        Self::of(samples, regimen.batch * regimen.accumulate, regimen.seed)
    }

    /// Steps of so many samples.
    pub fn of(samples: usize, step: usize, seed: u64) -> Self {
        Self { samples, step, seed, epoch: None }
    }

    /// The last step of an epoch may have fewer samples.
    pub fn steps_in_epoch(&self) -> usize {
        self.samples.div_ceil(self.step)
    }

    /// Numbers of the samples of a step, counted from 0.
    pub fn of_step(&mut self, step: usize) -> &[usize] {
        let (epoch, within) = (step / self.steps_in_epoch(), step % self.steps_in_epoch());
        if self.epoch.as_ref().is_none_or(|(known, _)| *known != epoch) {
            self.epoch = Some((epoch, shuffled(self.samples, self.seed, epoch)));
        }
        let order = &self.epoch.as_ref().expect("it was put there just now").1;
        &order[within * self.step..((within + 1) * self.step).min(self.samples)]
    }
}

/// Fisher and Yates: every order is as likely.
fn shuffled(samples: usize, seed: u64, epoch: usize) -> Vec<usize> {
    let stream = Stream::new(seed, &format!("epoch {epoch}"));
    let mut order: Vec<usize> = (0..samples).collect();
    for at in (1..samples).rev() {
        // 64 bits times at most 2^32 choices: what is uneven about it is below 2^-32.
        let other = ((u128::from(stream.bits(at as u64)) * (at as u128 + 1)) >> 64) as usize;
        order.swap(at, other);
    }
    order
}

/// Samples into batches of at most so many, in order; pictures of one batch are of one size.
pub fn batches(samples: Vec<Sample>, most: usize) -> Result<Vec<Batch>, Diagnostic> {
    let mut made = Vec::new();
    let mut samples = samples.into_iter();
    loop {
        let part: Vec<_> = samples.by_ref().take(most).map(Ok).collect();
        if part.is_empty() {
            return Ok(made);
        }
        for batch in runtime::batches(part.into_iter(), usize::MAX, 1) {
            made.push(batch?);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(samples: usize, step: usize, seed: u64) -> Order {
        Order { samples, step, seed, epoch: None }
    }

    #[test]
    fn an_epoch_sees_every_sample_once() {
        let mut order = order(10, 4, 7);
        assert_eq!(order.steps_in_epoch(), 3);
        let epoch = |order: &mut Order, epoch: usize| -> Vec<usize> {
            (0..3).flat_map(|step| order.of_step(3 * epoch + step).to_vec()).collect()
        };
        let (first, second) = (epoch(&mut order, 0), epoch(&mut order, 1));
        assert_ne!(first, second);
        for mut seen in [first.clone(), second] {
            seen.sort_unstable();
            assert_eq!(seen, (0..10).collect::<Vec<_>>());
        }
        // Asked for again, or of a run that goes on, an epoch is the same.
        assert_eq!(epoch(&mut order, 0), first);
        assert_eq!(order.of_step(2).len(), 2);
    }

    #[test]
    fn seeds_shuffle_otherwise() {
        assert_ne!(order(50, 50, 0).of_step(0), order(50, 50, 1).of_step(0));
        assert_ne!(order(50, 50, 0).of_step(0), (0..50).collect::<Vec<_>>());
    }
}
