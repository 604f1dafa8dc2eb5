//! Zeros that come over a training: which weights are off in which step, and what gradient those that are off have.

use serde_json::json;

use super::student::Trained;
use crate::pass::{Count, Criterion, Factor, Positive, Ratio, Told};
use crate::tensor::cut::{at_least, select};
use crate::tensor::obs::Zeroing;
use crate::tensor::pattern::{Pattern, keep_pattern};
use crate::{calls, choice};

choice! {
    /// How fast what is off fades.
    pub enum Fading("a way to fade") {
        /// By the same amount each step: `1 - rate x step`.
        Linear = "linear",
        /// By the same share each step: `exp(-rate x step)`.
        Exponential = "exponential",
    }
}

choice! {
    /// By which patterns the last one is come to.
    pub enum Tightening("a way to tighten") {
        /// In groups of the same size: 7:8, 4:8, 2:8, 1:8.
        Stepwise = "stepwise",
        /// By groups that become smaller: 8:64, 4:32, 2:16, 1:8.
        Geometric = "geometric",
    }
}

calls! {
    /// How zeros come over a training.
    pub enum Flow("a flow such as `gradual` or `sr_ste`") {
        /// The share of zeros rises from `start` along a cubic curve, fast at first; what is off is zero and has no gradient (Zhu and
        /// Gupta, arXiv:1710.01878).
        Gradual = "gradual" {
            /// The share of zeros in the first step.
            start: Ratio = "0%",
            /// Steps between choices of what is off.
            every: Count = "1",
            /// The share of the training behind which nothing changes any more.
            until: Ratio = "75%",
        },
        /// The pattern or share holds from the first step on and is chosen anew in each; what is off has its whole gradient, and shrinks by
        /// `decay` times itself (SR-STE, arXiv:2102.04010).
        SrSte = "sr_ste" {
            /// What of a weight that is off is added to its gradient.
            decay: Factor = "2e-4",
        },
        /// What is off counts less and less, and has its whole gradient (arXiv:2402.04744, MdGf).
        MaskDecay = "mask_decay" {
            /// How it fades.
            fading: Fading = "exponential",
            /// How fast it fades, a step.
            rate: Positive = "8e-4",
            /// The share of the training at its end in which it counts nothing.
            last: Ratio = "10%",
        },
        /// Patterns become tighter in equal spans of time; what is off has its whole gradient (arXiv:2402.04744, SdGf).
        StructureDecay = "structure_decay" {
            /// By which patterns.
            tightening: Tightening = "stepwise",
            /// The share of the training at its end in which the last pattern holds.
            last: Ratio = "10%",
        },
        /// The share holds from the first step on; now and then the smallest weights go off, and those of the largest gradients come
        /// on, from 0 (RigL, arXiv:1911.11134).
        Rigl = "rigl" {
            /// The share of what is on that is exchanged at first; it falls along half a cosine.
            exchange: Ratio = "30%",
            /// Steps between exchanges.
            every: Count = "100",
            /// The share of the training behind which nothing is exchanged.
            until: Ratio = "75%",
        },
    }
}

/// What becomes zero over a training, and how.
#[derive(Debug)]
pub struct Sparse {
    /// Paths of the weights.
    pub sites: Vec<String>,
    pub aim: Zeroing,
    /// Whether weights compete for a share with those of other matrices.
    pub global: bool,
    pub flow: Flow,
    pub criterion: std::sync::Arc<dyn Criterion>,
}

impl Sparse {
    pub fn arguments(&self) -> serde_json::Value {
        let aim = match self.aim {
            Zeroing::Pattern(pattern) => json!({ "pattern": pattern.to_string() }),
            Zeroing::Share(share) => json!({ "zeros": share }),
        };
        json!({
            "sites": self.sites,
            "aim": aim,
            "global": self.global,
            "flow": self.flow.told(),
            "by": self.criterion.describe(),
        })
    }
}

/// The weights of one matrix that are to become zero.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    pub path: String,
    pub inputs: usize,
    /// The weights themselves; what operations compute with has some of them off.
    pub whole: Vec<f32>,
    pub on: Vec<bool>,
}

/// What of the weights that are off counts, and whether they have gradients.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Off {
    /// 0 where they are simply off.
    share: f32,
    has_gradient: bool,
}

/// A flow in a training of so many steps.
pub struct Flowing<'a> {
    pub sparse: &'a Sparse,
    pub steps: usize,
}

impl Flowing<'_> {
    /// A step begins: chooses what is off, and puts what is computed with in the place of the weights.
    pub fn begin(&self, trained: &mut [Trained], step: usize) {
        if let Some(aim) = self.aim(step) {
            self.choose(trained, aim);
        }
        let off = self.off(step);
        for one in trained {
            let Some(held) = &mut one.held else { continue };
            if !off.has_gradient {
                held.whole.iter_mut().zip(&held.on).filter(|(_, on)| !**on).for_each(|(it, _)| *it = 0.0);
                one.moments.forget(&held.on);
            }
            let counts = |(it, on): (&f32, &bool)| if *on { *it } else { *it * off.share };
            let values: Vec<f32> = held.whole.iter().zip(&held.on).map(counts).collect();
            one.set(&values);
        }
    }

    /// Gradients are there, and weights are about to move: what is off has its own, and the weights themselves move.
    pub fn turn(&self, trained: &mut [Trained], step: usize) {
        if self.exchanges(step) {
            self.exchange(trained, step);
        }
        let off = self.off(step);
        for one in trained {
            let Some(held) = one.held.take() else { continue };
            let gradients =
                one.gradient.iter_mut().zip(&held.on).zip(&held.whole).filter(|((_, on), _)| !**on);
            match self.sparse.flow {
                Flow::SrSte { decay: Factor(decay) } => {
                    gradients.for_each(|((gradient, _), whole)| *gradient += decay as f32 * whole);
                }
                _ if !off.has_gradient => gradients.for_each(|((gradient, _), _)| *gradient = 0.0),
                _ => {}
            }
            one.set(&held.whole);
            one.held = Some(held);
        }
    }

    /// Weights have moved.
    pub fn moved(&self, trained: &mut [Trained]) {
        for one in trained {
            let Some(mut held) = one.held.take() else { continue };
            held.whole = one.values();
            one.held = Some(held);
        }
    }

    /// The training ends: what is off is zero.
    pub fn finish(&self, trained: &mut [Trained]) {
        if !matches!(self.sparse.flow, Flow::Rigl { .. }) {
            self.choose(trained, self.sparse.aim);
        }
        for one in trained {
            let Some(held) = one.held.take() else { continue };
            let on = |(it, on): (&f32, &bool)| if *on { *it } else { 0.0 };
            let values: Vec<f32> = held.whole.iter().zip(&held.on).map(on).collect();
            one.set(&values);
        }
    }

    /// What is chosen anew in a step.
    fn aim(&self, step: usize) -> Option<Zeroing> {
        let share_of = |share: f64| share * self.steps as f64;
        match (&self.sparse.flow, self.sparse.aim) {
            (Flow::Gradual { start, every, until }, Zeroing::Share(last)) => {
                let end = share_of(until.0).max(1.0);
                let due = step.is_multiple_of(every.0) && (step as f64) < end;
                let is_end = step == end.ceil() as usize;
                let progress = (step as f64 / end).min(1.0);
                let share = last + (start.0.min(last) - last) * (1.0 - progress).powi(3);
                (due || is_end).then_some(Zeroing::Share(share))
            }
            (Flow::StructureDecay { tightening, last }, Zeroing::Pattern(pattern)) => {
                let patterns = patterns(*tightening, pattern);
                let span = share_of(1.0 - last.0).max(1.0) / patterns.len() as f64;
                let at = ((step as f64 / span) as usize).min(patterns.len() - 1);
                Some(Zeroing::Pattern(patterns[at]))
            }
            (Flow::Rigl { .. }, aim) => (step == 0).then_some(aim),
            (_, aim) => Some(aim),
        }
    }

    fn off(&self, step: usize) -> Off {
        match &self.sparse.flow {
            Flow::Gradual { .. } | Flow::Rigl { .. } => Off { share: 0.0, has_gradient: false },
            Flow::SrSte { .. } | Flow::StructureDecay { .. } => Off { share: 0.0, has_gradient: true },
            Flow::MaskDecay { fading, rate: Positive(rate), last } => {
                let is_last = step as f64 >= (1.0 - last.0) * self.steps as f64;
                let share = if is_last { 0.0 } else { fading.share(*rate, step) };
                Off { share: share as f32, has_gradient: true }
            }
        }
    }

    /// Chooses what is on by the weights' scores.
    fn choose(&self, trained: &mut [Trained], aim: Zeroing) {
        let scores = self.sparse.criterion.elements().expect("the pass asks for scores of weights");
        let score = |held: &Held| {
            let mut scored = vec![0.0; held.whole.len()];
            scores.score(&held.path, 0, &held.whole, &mut scored);
            scored
        };
        let held = || trained.iter().filter_map(|one| one.held.as_ref());
        let scored: Vec<Vec<f32>> = held().map(score).collect();
        let kept: Vec<Vec<bool>> = match aim {
            Zeroing::Pattern(pattern) => {
                let fits = |held: &Held| held.inputs.is_multiple_of(pattern.of());
                let of = |(held, scored): (&Held, &Vec<f32>)| {
                    // A wider group than the matrix has inputs for is not on the way: the last pattern fits, and is checked.
                    let pattern = match (fits(held), self.sparse.aim) {
                        (false, Zeroing::Pattern(last)) => last,
                        _ => pattern,
                    };
                    let mut on = vec![true; scored.len()];
                    keep_pattern(scored, pattern, &mut on).expect("the checker saw that groups fit");
                    on
                };
                held().zip(&scored).map(of).collect()
            }
            Zeroing::Share(share) if self.sparse.global => {
                let all = scored.concat();
                let mut on = cut(&all, share).into_iter();
                scored.iter().map(|of| on.by_ref().take(of.len()).collect()).collect()
            }
            Zeroing::Share(share) => scored.iter().map(|scored| cut(scored, share)).collect(),
        };
        let all = trained.iter_mut().filter_map(|one| one.held.as_mut());
        all.zip(kept).for_each(|(held, on)| held.on = on);
    }

    fn exchanges(&self, step: usize) -> bool {
        match self.sparse.flow {
            Flow::Rigl { every: Count(every), until: Ratio(until), .. } => {
                step > 0 && step.is_multiple_of(every) && (step as f64) < until * self.steps as f64
            }
            _ => false,
        }
    }

    /// The smallest of what is on go off, and as many of what was off come on: those of the largest gradients. The share falls
    /// as `(1 + cos(pi step / end)) / 2` (arXiv:1911.11134, section 3).
    fn exchange(&self, trained: &mut [Trained], step: usize) {
        let Flow::Rigl { exchange: Ratio(exchange), until: Ratio(until), .. } = self.sparse.flow else {
            return;
        };
        let progress = step as f64 / (until * self.steps as f64);
        let share = exchange / 2.0 * (1.0 + (std::f64::consts::PI * progress).cos());
        for one in trained {
            let Some(held) = &mut one.held else { continue };
            let mut on: Vec<usize> = (0..held.on.len()).filter(|&at| held.on[at]).collect();
            let mut off: Vec<usize> = (0..held.on.len()).filter(|&at| !held.on[at]).collect();
            let count = ((share * on.len() as f64) as usize).min(off.len());
            // Of equals the first ones, as everywhere.
            on.sort_by(|&a, &b| held.whole[a].abs().total_cmp(&held.whole[b].abs()).then(a.cmp(&b)));
            off.sort_by(|&a, &b| one.gradient[b].abs().total_cmp(&one.gradient[a].abs()).then(a.cmp(&b)));
            for (&leaves, &comes) in on.iter().zip(&off).take(count) {
                held.on[leaves] = false;
                held.on[comes] = true;
                held.whole[leaves] = 0.0;
                held.whole[comes] = 0.0;
            }
            one.moments.forget(&held.on);
        }
    }
}

impl Fading {
    /// What of a weight that is off counts in a step.
    fn share(self, rate: f64, step: usize) -> f64 {
        match self {
            Self::Linear => (1.0 - rate * step as f64).max(0.0),
            Self::Exponential => (-rate * step as f64).exp(),
        }
    }
}

/// The patterns on the way to the last one, which is among them.
pub fn patterns(tightening: Tightening, last: Pattern) -> Vec<Pattern> {
    let (keep, of) = (last.keep(), last.of());
    let made: Vec<Pattern> = match tightening {
        Tightening::Stepwise => {
            let halves =
                std::iter::successors(Some(of / 2), |half| Some(half / 2)).take_while(|half| *half > keep);
            let all = std::iter::once(of - 1).filter(|first| *first > keep.max(of / 2)).chain(halves);
            all.filter_map(|keep| Pattern::new(keep, of).ok()).collect()
        }
        Tightening::Geometric => {
            [8, 4, 2].iter().filter_map(|times| Pattern::new(keep * times, of * times).ok()).collect()
        }
    };
    made.into_iter().chain([last]).collect()
}

/// What stays on where a share of the lowest scores is off.
fn cut(scores: &[f32], share: f64) -> Vec<bool> {
    let cut = select(scores, at_least(scores.len(), share), &mut Vec::new())
        .expect("scores of weights are numbers");
    let mut on = vec![true; scores.len()];
    cut.keep(0, scores, &mut on);
    on
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cases of the card of progressive gradient flow.
    #[test]
    fn what_is_off_fades_as_the_card_says() {
        assert_eq!(Fading::Linear.share(0.0008, 1250), 0.0);
        assert!((Fading::Exponential.share(0.0008, 1250) - 0.3679).abs() < 1e-4);
        assert_eq!(Fading::Linear.share(0.0008, 0), 1.0);
    }

    #[test]
    fn patterns_tighten_as_the_card_says() {
        let last = Pattern::new(1, 8).unwrap();
        let of = |tightening, last| -> Vec<String> {
            patterns(tightening, last).iter().map(ToString::to_string).collect()
        };
        assert_eq!(of(Tightening::Stepwise, last), ["7:8", "4:8", "2:8", "1:8"]);
        assert_eq!(of(Tightening::Geometric, last), ["8:64", "4:32", "2:16", "1:8"]);
        assert_eq!(of(Tightening::Stepwise, Pattern::new(2, 4).unwrap()), ["3:4", "2:4"]);
        assert_eq!(of(Tightening::Stepwise, Pattern::new(7, 8).unwrap()), ["7:8"]);
    }
}
