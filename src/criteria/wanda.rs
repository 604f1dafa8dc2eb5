//! `wanda`: a weight matters by its size and by what comes through it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::criterion;
use crate::observe::{ObserveInputs, Statistic};
use crate::pass::{Asked, Criterion, Data, ElementScores, Statistics, Work};
use crate::weights::Reach;

criterion! {
    /// A weight's absolute value times the norm of its input over the data: `|W_ij| ||X_j||` (Wanda).
    ///
    /// Norms are over every real token of the data; padding is nowhere. Weights compete within an output (`scope: row`) unless the
    /// recipe says otherwise. Layers are pruned one after the other: the norms of a layer are of inputs that have come through
    /// the pruned layers before it, while within a layer all are of the unpruned one. Where weights of several matrices compete,
    /// under `scope: tensor`, `group` or `global`, all norms are of the unpruned model.
    ///
    /// A weight whose inputs are all zero, of an expert that no token was routed to say, is scored by its absolute value alone.
    ///
    /// ```tamis
    /// data calib = text("calib.jsonl", samples: 128)
    /// sparsify weights of layers[*] by wanda(calib) to 2:4
    /// ```
    ///
    /// A Simple and Effective Pruning Approach for Large Language Models, arXiv:2306.11695.
    Wanda = "wanda"
    {
        /// What the model is shown.
        data: Data,
    }
}

impl Criterion for Wanda {
    fn describe(&self) -> String {
        format!("wanda({})", self.data.reader.describe())
    }

    fn data(&self) -> Vec<Data> {
        vec![self.data.clone()]
    }

    fn elements(&self) -> Option<&dyn ElementScores> {
        Some(&UNOBSERVED)
    }

    fn observe(&self, asked: &Asked<'_>) -> Option<Arc<dyn Work>> {
        let mask = asked.mask.clone();
        let work = ObserveInputs::new(asked.graph, self.data.clone(), Statistic::Squares, asked.sites, mask);
        Some(Arc::new(work))
    }

    fn observed(&self, seen: &Statistics) -> Option<Arc<dyn ElementScores>> {
        let norms = |squares: &Vec<f64>| -> Vec<f32> {
            let is_dead = squares.iter().all(|square| *square == 0.0);
            squares.iter().map(|square| if is_dead { 1.0 } else { square.sqrt() as f32 }).collect()
        };
        let norms = seen.0.iter().map(|(path, squares)| (path.clone(), norms(squares))).collect();
        Some(Arc::new(Norms(norms)))
    }
}

/// The norm of each input, by the path of the weight.
#[derive(Debug, Default)]
struct Norms(BTreeMap<String, Vec<f32>>);

/// Says how far scores reach before there are any.
static UNOBSERVED: Norms = Norms(BTreeMap::new());

impl ElementScores for Norms {
    fn reach(&self) -> Reach {
        Reach::Inputs(1)
    }

    fn compares_rows(&self) -> bool {
        true
    }

    fn score(&self, place: &str, first: usize, weights: &[f32], scores: &mut [f32]) {
        let norms = self.0.get(place).expect("every weight that is scored was observed");
        let inputs = norms.iter().cycle().skip(first % norms.len());
        for ((score, weight), norm) in scores.iter_mut().zip(weights).zip(inputs) {
            *score = weight.abs() * norm;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked case of the method's card: scores (4, 4, 0, 8) and (0.5, 8, 6, 8).
    #[test]
    fn scores_are_sizes_times_norms() {
        let norms = Norms(BTreeMap::from([("w".to_string(), vec![1.0, 4.0, 2.0, 8.0])]));
        let weights = [4.0, 1.0, 0.0, -1.0, 0.5, 2.0, -3.0, 1.0];
        let mut scores = [0.0; 8];
        norms.score("w", 0, &weights, &mut scores);
        assert_eq!(scores, [4.0, 4.0, 0.0, 8.0, 0.5, 8.0, 6.0, 8.0]);
        let mut some = [0.0; 3];
        norms.score("w", 6, &weights[6..], &mut some[..2]);
        assert_eq!(some[..2], scores[6..]);
    }
}
