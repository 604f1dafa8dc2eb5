//! How a model is trained: for how long, by which steps, and what is kept on the way. Every verb that trains takes the same options.

use serde_json::json;

use super::argument::{Argument, Count, Quantity, Told, Type, Wrong};
use super::reader::Data;
use super::registry::Registry;
use super::value::{Value, ValueKind};
use crate::tensor::descent::Descent;
use crate::{arguments, calls, choice, training_options};

/// A number above 0.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Positive(pub f64);

impl Argument for Positive {
    const TYPE: Type = Type { name: "positive", doc: "a number above 0", choices: &[] };

    fn read(value: &Value, registry: &Registry) -> Result<Self, Wrong> {
        match f64::read(value, registry)? {
            number if number > 0.0 && number.is_finite() => Ok(Self(number)),
            _ => Err(Wrong::range(value, "a number above 0 is needed here")),
        }
    }
}

impl Told for Positive {
    fn told(&self) -> serde_json::Value {
        json!(self.0)
    }
}

/// A number from 0: what something counts, 0 for not at all.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Factor(pub f64);

impl Argument for Factor {
    const TYPE: Type = Type { name: "factor", doc: "a number from 0", choices: &[] };

    fn read(value: &Value, registry: &Registry) -> Result<Self, Wrong> {
        match f64::read(value, registry)? {
            number if number >= 0.0 && number.is_finite() => Ok(Self(number)),
            _ => Err(Wrong::range(value, "a number from 0 is needed here")),
        }
    }
}

impl Told for Factor {
    fn told(&self) -> serde_json::Value {
        json!(self.0)
    }
}

/// How long a training lasts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Length {
    /// So often through all samples.
    Epochs(f64),
    /// So many steps of the optimizer.
    Steps(usize),
}

impl Length {
    /// Steps of the optimizer, at least one, where an epoch has so many.
    pub fn steps(self, in_epoch: usize) -> usize {
        match self {
            Self::Epochs(epochs) => ((epochs * in_epoch as f64).round() as usize).max(1),
            Self::Steps(steps) => steps,
        }
    }

    /// As it is written.
    pub fn describe(self) -> String {
        match self {
            Self::Epochs(1.0) => "1 epoch".into(),
            Self::Epochs(epochs) => format!("{epochs} epochs"),
            Self::Steps(1) => "1 step".into(),
            Self::Steps(steps) => format!("{steps} steps"),
        }
    }
}

impl Argument for Length {
    const TYPE: Type = Type {
        name: "length",
        doc: "a number of epochs, `2 epochs`, or of steps, `500 steps`",
        choices: &[],
    };

    fn read(value: &Value, registry: &Registry) -> Result<Self, Wrong> {
        let expected = "a number of epochs or of steps";
        let ValueKind::Amount { value: number, unit } = &value.kind else {
            let wrong = Wrong::kind(value, expected);
            return Err(match value.kind {
                ValueKind::Number { value: number, integer: true } => {
                    wrong.meant(value, &format!("{number} epochs"))
                }
                _ => wrong,
            });
        };
        match unit.as_str() {
            "epoch" | "epochs" => {
                Positive::read(number, registry).map(|Positive(epochs)| Self::Epochs(epochs))
            }
            "step" | "steps" => Count::read(number, registry).map(|Count(steps)| Self::Steps(steps)),
            _ => {
                let message = format!("`{unit}` is no unit of a training's length");
                Err(Wrong::unit(value, unit, message, &["epochs", "steps"]))
            }
        }
    }
}

calls! {
    /// How weights follow their gradients. Matrices decay where `decay` says so; biases, norms and tables do not.
    pub enum Optimizer("an optimizer such as `adamw(1e-4)`") {
        /// Adam with weight decay beside it (arXiv:1711.05101).
        AdamW = "adamw" {
            /// The learning rate.
            rate: Positive,
            /// How slowly the mean of gradients follows.
            beta1: Factor = "0.9",
            /// How slowly the mean of their squares follows.
            beta2: Factor = "0.999",
            /// What the root of that mean is at least.
            eps: Positive = "1e-8",
            /// The share of a weight that is lost in a step, as a multiple of the rate.
            decay: Factor = "0.01",
        },
        /// Gradient descent with momentum.
        Sgd = "sgd" {
            /// The learning rate.
            rate: Positive,
            /// What is kept of the step before.
            momentum: Factor = "0.9",
            /// Looks ahead by the momentum.
            nesterov: bool = "false",
            /// The share of a weight that is added to its gradient.
            decay: Factor = "0",
        },
    }
}

impl Optimizer {
    /// The learning rate that schedules scale.
    pub fn rate(&self) -> f64 {
        match self {
            Self::AdamW { rate: Positive(rate), .. } | Self::Sgd { rate: Positive(rate), .. } => *rate,
        }
    }

    pub fn descent(&self) -> Descent {
        match *self {
            Self::AdamW {
                beta1: Factor(beta1),
                beta2: Factor(beta2),
                eps: Positive(eps),
                decay: Factor(decay),
                ..
            } => Descent::AdamW { betas: [beta1, beta2], eps, decay },
            Self::Sgd { momentum: Factor(momentum), nesterov, decay: Factor(decay), .. } => {
                Descent::Sgd { momentum, nesterov, decay }
            }
        }
    }
}

choice! {
    /// What becomes of the learning rate after the warm-up.
    pub enum Schedule("a schedule") {
        /// It stays.
        Constant = "constant",
        /// It falls to 0 at the end, by the same amount each step.
        Linear = "linear",
        /// It falls to 0 at the end along half a cosine.
        Cosine = "cosine",
    }
}

impl Schedule {
    /// The factor of the learning rate in a step, counted from 0, of so many, the first of which warm up: there it rises evenly,
    /// and is 1 in the last of them.
    pub fn factor(self, step: usize, steps: usize, warmup: usize) -> f64 {
        if step < warmup {
            return (step + 1) as f64 / warmup as f64;
        }
        let progress = (step - warmup) as f64 / (steps - warmup).max(1) as f64;
        match self {
            Self::Constant => 1.0,
            Self::Linear => 1.0 - progress,
            Self::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()),
        }
    }
}

/// Samples that a training does not see, and is judged by.
#[derive(Debug, Clone)]
pub struct HeldOut {
    pub data: Data,
    /// Steps between looks.
    pub every: usize,
    /// Looks without a better loss after which the training ends. The best weights are kept.
    pub patience: usize,
}

/// How a model is trained.
#[derive(Debug, Clone)]
pub struct Regimen {
    pub data: Data,
    pub length: Length,
    pub optimizer: Optimizer,
    pub schedule: Schedule,
    pub warmup: Quantity,
    /// Samples that go through the model together.
    pub batch: usize,
    /// Batches whose gradients make one step.
    pub accumulate: usize,
    /// What the gradient's norm is at most; 0 for any.
    pub clip: f64,
    pub seed: u64,
    /// Steps between states from which a stopped run goes on. The result does not depend on it.
    pub checkpoint: usize,
    pub held_out: Option<HeldOut>,
}

impl Regimen {
    /// All that the result depends on beside what data sets hold.
    pub fn arguments(&self) -> serde_json::Value {
        let length = match self.length {
            Length::Epochs(epochs) => json!({ "epochs": epochs }),
            Length::Steps(steps) => json!({ "steps": steps }),
        };
        let warmup = match self.warmup {
            Quantity::Count(steps) => json!({ "steps": steps }),
            Quantity::Share(share) => json!({ "share": share }),
        };
        let held_out = self.held_out.as_ref().map(|held| {
            json!({ "data": held.data.reader.describe(), "every": held.every, "patience": held.patience })
        });
        json!({
            "data": self.data.reader.describe(),
            "length": length,
            "optimizer": self.optimizer.told(),
            "schedule": self.schedule.told(),
            "warmup": warmup,
            "batch": self.batch,
            "accumulate": self.accumulate,
            "clip": self.clip,
            "seed": self.seed,
            "held_out": held_out,
        })
    }

    /// The data sets that it reads.
    pub fn reads(&self) -> Vec<Data> {
        std::iter::once(&self.data).chain(self.held_out.as_ref().map(|held| &held.data)).cloned().collect()
    }
}

training_options! {
    arguments {
        /// A training run as an argument: `tune(train, epochs: 4, optimizer: sgd(0.01))`.
        Tuning = "tune" ("a training run such as `tune(train, epochs: 4)`")
    }
    with {
        /// The samples.
        data: Data,
        /// How often all samples are seen.
        epochs: Option<Positive>,
        /// How many steps are taken, in place of epochs.
        steps: Option<Count>,
    }
}

impl Tuning {
    /// # Errors
    /// Where it has no length, or two.
    pub fn length(&self) -> Result<Length, &'static str> {
        match (self.epochs, self.steps) {
            (Some(Positive(epochs)), None) => Ok(Length::Epochs(epochs)),
            (None, Some(Count(steps))) => Ok(Length::Steps(steps)),
            (None, None) => Err("say how long it lasts: `epochs: 4` or `steps: 500`"),
            (Some(_), Some(_)) => Err("a length is given in epochs or in steps, not in both"),
        }
    }
}

/// Adds to a definition, by a macro that is in scope, the options that every training takes, and the method `regimen`, which reads
/// them.
#[macro_export]
macro_rules! training_options {
    (
        $kind:ident { $(#[doc = $doc:literal])+ $name:ident = $($head:tt)* }
        with { $($own:tt)* }
    ) => {
        $kind! {
            $(#[doc = $doc])+
            $name = $($head)*
            with {
                $($own)*
                /// How weights follow their gradients, and how fast.
                optimizer: $crate::pass::Optimizer = "adamw(1e-4)",
                /// What becomes of the learning rate after the warm-up.
                schedule: $crate::pass::Schedule = "cosine",
                /// Steps in which the learning rate rises, or their share of all.
                warmup: $crate::pass::Quantity = "10%",
                /// Samples that go through the model together.
                batch: $crate::pass::Count = "32",
                /// Batches whose gradients make one step, where a larger batch has no room in memory.
                accumulate: $crate::pass::Count = "1",
                /// What the norm of all gradients together is at most; `0` leaves them as they are.
                clip: $crate::pass::Factor = "1",
                /// Chooses the order of samples, anew for each epoch.
                seed: u64 = "0",
                /// Steps between states from which a stopped run goes on.
                checkpoint: $crate::pass::Count = "100",
                /// Samples that are not trained on; the weights of the least loss on them are kept.
                held_out: Option<$crate::pass::Data>,
                /// Steps between looks at `held_out`.
                every: $crate::pass::Count = "100",
                /// Looks without a better loss after which training ends.
                patience: $crate::pass::Count = "5",
            }
        }

        impl $name {
            /// How it trains.
            pub fn regimen(&self, data: $crate::pass::Data, length: $crate::pass::Length) -> $crate::pass::Regimen {
                let held_out = self.held_out.clone().map(|data| $crate::pass::HeldOut {
                    data,
                    every: self.every.0,
                    patience: self.patience.0,
                });
                $crate::pass::Regimen {
                    data,
                    length,
                    optimizer: self.optimizer.clone(),
                    schedule: self.schedule,
                    warmup: self.warmup,
                    batch: self.batch.0,
                    accumulate: self.accumulate.0,
                    clip: self.clip.0,
                    seed: self.seed,
                    checkpoint: self.checkpoint.0,
                    held_out,
                }
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_rise_and_fall_as_scheduled() {
        let of = |schedule: Schedule| (0..6).map(|step| schedule.factor(step, 6, 2)).collect::<Vec<f64>>();
        assert_eq!(of(Schedule::Constant), [0.5, 1.0, 1.0, 1.0, 1.0, 1.0]);
        assert_eq!(of(Schedule::Linear), [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]);
        let cosine = of(Schedule::Cosine);
        assert!((cosine[4] - 0.5).abs() < 1e-12 && (cosine[3] - 0.853_553_390_593).abs() < 1e-9);
        assert_eq!(Schedule::Linear.factor(0, 1, 0), 1.0);
    }

    #[test]
    fn epochs_are_steps_of_a_data_set() {
        assert_eq!(Length::Epochs(2.0).steps(7), 14);
        assert_eq!(Length::Epochs(0.5).steps(7), 4);
        assert_eq!(Length::Epochs(0.01).steps(7), 1);
        assert_eq!(Length::Steps(5).steps(7), 5);
    }
}
