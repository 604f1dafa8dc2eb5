//! Steps downhill: how a weight follows its gradient. In place, with what is remembered of earlier gradients beside it.

use rayon::prelude::*;

/// Weights that one thread takes at a time.
const CHUNK: usize = 1 << 14;

/// How weights follow their gradients.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Descent {
    /// Adam with weight decay beside it (Loshchilov and Hutter, arXiv:1711.05101, algorithm 2).
    AdamW { betas: [f64; 2], eps: f64, decay: f64 },
    /// Stochastic gradient descent with momentum, whose weight decay is a part of the gradient.
    Sgd { momentum: f64, nesterov: bool, decay: f64 },
}

/// What is remembered of the gradients of some weights, one number a weight each.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Moments {
    /// The mean of gradients; of SGD the momentum.
    pub first: Vec<f32>,
    /// The mean of their squares; of SGD nothing.
    pub second: Vec<f32>,
}

impl Moments {
    /// Forgets what is remembered of weights that are off.
    pub fn forget(&mut self, on: &[bool]) {
        for moment in [&mut self.first, &mut self.second] {
            moment.iter_mut().zip(on).filter(|(_, on)| !**on).for_each(|(it, _)| *it = 0.0);
        }
    }
}

/// One step for all weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stride {
    /// The learning rate.
    pub rate: f64,
    /// The number of the step, from 1.
    pub number: u64,
    /// Whether weights decay: matrices do; biases, norms and tables do not.
    pub decays: bool,
}

impl Descent {
    /// What is remembered before the first step.
    pub fn moments(&self, weights: usize) -> Moments {
        match self {
            Self::AdamW { .. } => Moments { first: vec![0.0; weights], second: vec![0.0; weights] },
            Self::Sgd { momentum, .. } if *momentum > 0.0 => {
                Moments { first: vec![0.0; weights], second: Vec::new() }
            }
            Self::Sgd { .. } => Moments::default(),
        }
    }

    /// Moves weights by one step. A weight of gradient 0 and moments 0 moves by its decay alone, and a weight of 0 not at all.
    ///
    /// # Panics
    /// Where the moments are of another number of weights.
    pub fn step(&self, stride: Stride, weights: &mut [f32], gradient: &[f32], moments: &mut Moments) {
        assert_eq!(weights.len(), gradient.len(), "a gradient for each weight");
        match *self {
            Self::AdamW { betas, eps, decay } => {
                let decay = if stride.decays { decay } else { 0.0 };
                let keep = (1.0 - stride.rate * decay) as f32;
                let unbias = |beta: f64| 1.0 - beta.powf(stride.number as f64);
                let pace = (stride.rate / unbias(betas[0])) as f32;
                let root = unbias(betas[1]).sqrt() as f32;
                let [slow, slower] = betas.map(|beta| beta as f32);
                let [fresh, fresher] = betas.map(|beta| (1.0 - beta) as f32);
                let eps = eps as f32;
                let parts = weights.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK));
                let parts = parts.zip(moments.first.par_chunks_mut(CHUNK));
                parts.zip(moments.second.par_chunks_mut(CHUNK)).for_each(
                    |(((weights, gradient), first), second)| {
                        let all = weights.iter_mut().zip(gradient).zip(first.iter_mut().zip(second));
                        for ((weight, gradient), (first, second)) in all {
                            *first = slow * *first + fresh * gradient;
                            *second = slower * *second + fresher * gradient * gradient;
                            *weight = *weight * keep - pace * *first / (second.sqrt() / root + eps);
                        }
                    },
                );
            }
            Self::Sgd { momentum, nesterov, decay } => {
                let decay = if stride.decays { decay as f32 } else { 0.0 };
                let (rate, momentum) = (stride.rate as f32, momentum as f32);
                if momentum == 0.0 {
                    let parts = weights.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK));
                    parts.for_each(|(weights, gradient)| {
                        weights.iter_mut().zip(gradient).for_each(|(weight, gradient)| {
                            *weight -= rate * (gradient + decay * *weight);
                        });
                    });
                    return;
                }
                let parts = weights.par_chunks_mut(CHUNK).zip(gradient.par_chunks(CHUNK));
                parts.zip(moments.first.par_chunks_mut(CHUNK)).for_each(|((weights, gradient), first)| {
                    for ((weight, gradient), first) in weights.iter_mut().zip(gradient).zip(first) {
                        let gradient = gradient + decay * *weight;
                        *first = momentum * *first + gradient;
                        *weight -= rate * if nesterov { gradient + momentum * *first } else { *first };
                    }
                });
            }
        }
    }
}

/// The sum of squares, in f64 and in the same order for any number of threads.
pub fn sum_of_squares(values: &[f32]) -> f64 {
    let parts: Vec<f64> = values
        .par_chunks(CHUNK)
        .map(|chunk| chunk.iter().map(|value| f64::from(*value) * f64::from(*value)).sum())
        .collect();
    parts.into_iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(of: Descent, gradients: &[f32], decays: bool) -> Vec<f32> {
        let (mut weights, mut moments) = (vec![1.0], of.moments(1));
        let moved = gradients.iter().zip(1..).map(|(gradient, number)| {
            of.step(Stride { rate: 0.1, number, decays }, &mut weights, &[*gradient], &mut moments);
            weights[0]
        });
        moved.collect()
    }

    fn close(found: &[f32], expected: &[f32]) {
        let off = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(found.len() == expected.len() && off < 2e-6, "{found:?} is not {expected:?}");
    }

    /// By hand. The first step of Adam is the rate, whatever the gradient: 1 - 0.1. The second, of gradient -1 after 2: m = 0.9 x
    /// 0.2 - 0.1 = 0.08 over 0.19, v = 0.999 x 0.004 + 0.001 = 0.004996 over 0.001999; 0.1 x 0.421053 / 1.580907 = 0.026634.
    #[test]
    fn adam_takes_the_steps_of_its_formula() {
        let adam = |decay| Descent::AdamW { betas: [0.9, 0.999], eps: 1e-8, decay };
        close(&steps(adam(0.0), &[2.0, -1.0], true), &[0.9, 0.873_366]);
        // Decay takes a tenth of 0.5 first: 0.95 - 0.1.
        close(&steps(adam(0.5), &[2.0], true), &[0.85]);
        close(&steps(adam(0.5), &[2.0], false), &[0.9]);
    }

    /// Momentum 0.5: 1 - 0.1 x 2 = 0.8; the velocity is 0.5 x 2 + 4 = 5: 0.3. Nesterov looks ahead: 2 + 0.5 x 2 = 3, 0.7; then 4 + 0.5
    /// x 5 = 6.5, 0.05. With decay 0.5 the first gradient is 2.5.
    #[test]
    fn sgd_takes_the_steps_of_its_formula() {
        let sgd = |momentum, nesterov, decay| Descent::Sgd { momentum, nesterov, decay };
        close(&steps(sgd(0.0, false, 0.0), &[2.0, 4.0], true), &[0.8, 0.4]);
        close(&steps(sgd(0.5, false, 0.0), &[2.0, 4.0], true), &[0.8, 0.3]);
        close(&steps(sgd(0.5, true, 0.0), &[2.0, 4.0], true), &[0.7, 0.05]);
        close(&steps(sgd(0.0, false, 0.5), &[2.0], true), &[0.75]);
    }

    #[test]
    fn what_is_zero_and_has_no_gradient_stays_zero() {
        for of in [
            Descent::AdamW { betas: [0.9, 0.999], eps: 1e-8, decay: 0.1 },
            Descent::Sgd { momentum: 0.9, nesterov: true, decay: 0.1 },
        ] {
            let (mut weights, mut moments) = (vec![0.0, 1.0], of.moments(2));
            for number in 1..5 {
                of.step(Stride { rate: 0.1, number, decays: true }, &mut weights, &[0.0, 1.0], &mut moments);
            }
            assert!(weights[0] == 0.0 && weights[1] < 1.0);
        }
    }

    #[test]
    fn threads_do_not_change_a_sum() {
        let values: Vec<f32> = (0..100_000).map(|at| (at as f32).sin()).collect();
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| sum_of_squares(&values))
        };
        assert!(with(1).to_bits() == with(3).to_bits() && (with(1) - 50_000.0).abs() < 10.0);
    }
}
