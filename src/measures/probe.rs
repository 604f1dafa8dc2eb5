//! `probe`: what a linear classifier finds in the features of an encoder.

use faer::Mat;

use crate::diagnostic::{Diagnostic, codes};
use crate::graph::{Cost, SiteId};
use crate::measure;
use crate::observe::features;
use crate::pass::{Context, Data, Measure};
use crate::tensor::random::Stream;
use crate::tensor::solve::{product, solve};

measure! {
    /// The accuracy of ridge regression on the features of an encoder: its last hidden states, their mean over a sample's tokens, at
    /// unit length, and a constant 1. It is fitted in closed form to one-hot labels, with 1 added to the diagonal, on the samples
    /// of `train`, and judged on those of `data`; without `train` a half of `data`, drawn by `seed`, is fitted to and the other half
    /// judged. The weights of the encoder stay as they are.
    ///
    /// ```tamis
    /// data train = text("train.jsonl", label: "label", samples: 512)
    /// data test  = text("test.jsonl", label: "label")
    /// measure probe(test, train: train)
    /// ```
    Probe = "probe" in Share
    {
        /// Samples with labels.
        data: Data,
        /// What is fitted to.
        train: Option<Data>,
        /// What a half is drawn by.
        seed: u64 = "0",
    }
}

/// Added to the diagonal of the products of features.
const RIDGE: f64 = 1.0;

impl Measure for Probe {
    fn data(&self) -> Vec<Data> {
        std::iter::once(&self.data).chain(&self.train).cloned().collect()
    }

    fn measure(&self, at: &Context<'_>, _: &Cost, _: Option<&[SiteId]>) -> Result<f64, Diagnostic> {
        let judged = features(at, &self.data)?;
        let (fitted, judged) = match &self.train {
            Some(train) => (features(at, train)?, judged),
            None => self.halves(judged),
        };
        if fitted.is_empty() || judged.is_empty() {
            let message = "a probe needs samples to be fitted to, and others to be judged on";
            return Err(Diagnostic::at(&codes::DATA_TOO_FEW, self.data.span, message));
        }
        accuracy(&fitted, &judged).ok_or_else(|| {
            Diagnostic::at(&codes::ANSWERS_NOT_FINITE, self.data.span, "the features are not finite")
        })
    }
}

/// Features and the class of each sample.
type Known = Vec<(Vec<f32>, usize)>;

impl Probe {
    /// Every other sample of a drawn order.
    fn halves(&self, mut all: Known) -> (Known, Known) {
        let stream = Stream::new(self.seed, "probe");
        let mut order: Vec<(u64, usize)> = (0..all.len()).map(|at| (stream.bits(at as u64), at)).collect();
        order.sort_unstable();
        let (mut fitted, mut judged) = (Known::new(), Known::new());
        for (place, (_, at)) in order.into_iter().enumerate() {
            if place % 2 == 0 { &mut fitted } else { &mut judged }.push(std::mem::take(&mut all[at]));
        }
        (fitted, judged)
    }
}

/// The share of judged samples whose class has the largest answer.
fn accuracy(fitted: &Known, judged: &Known) -> Option<f64> {
    let width = fitted[0].0.len() + 1;
    let classes = fitted.iter().map(|(_, class)| class + 1).max()?;
    let at =
        |rows: &Known, row: usize, column: usize| rows[row].0.get(column).map_or(1.0, |it| f64::from(*it));
    let known = Mat::from_fn(fitted.len(), width, |row, column| at(fitted, row, column));
    let targets =
        Mat::from_fn(fitted.len(), classes, |row, class| f64::from(u8::from(fitted[row].1 == class)));
    let mut gram = product(known.transpose(), known.as_ref());
    (0..width).for_each(|at| gram[(at, at)] += RIDGE);
    let weights = solve(gram, product(known.transpose(), targets.as_ref()))?;
    let asked = Mat::from_fn(judged.len(), width, |row, column| at(judged, row, column));
    let answers = product(asked.as_ref(), weights.as_ref());
    let best = |row: usize| {
        (0..classes)
            .fold(0, |best, class| if answers[(row, class)] > answers[(row, best)] { class } else { best })
    };
    let right = judged.iter().enumerate().filter(|(row, (_, class))| best(*row) == *class).count();
    Some(right as f64 / judged.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_that_lie_apart_are_told_apart() {
        let sample = |x: f32, y: f32, class| (vec![x, y], class);
        let fitted = vec![sample(1.0, 0.0, 0), sample(0.9, 0.1, 0), sample(0.0, 1.0, 1), sample(0.1, 0.9, 1)];
        let judged = vec![sample(0.8, 0.2, 0), sample(0.2, 0.8, 1), sample(0.7, 0.3, 1)];
        assert_eq!(accuracy(&fitted, &judged), Some(2.0 / 3.0));
    }
}
