//! What will be taken out shrinks first: a penalty on its weights alone, so that a model learns to do without them while what stays is
//! not pulled at (MaskSparsity, arXiv:2110.06776).

use std::collections::BTreeMap;

use serde_json::json;

use super::student::Trained;
use crate::graph::Graph;
use crate::pass::elements::Stay;
use crate::pass::{Factor, Finding, Findings, Told};
use crate::{calls, choice};

choice! {
    /// What is small of weights that have shrunk.
    pub enum Penalty("a penalty") {
        /// The sum of absolute values: every weight is pulled to 0 as strongly, however small it is.
        L1 = "l1",
        /// Half the sum of squares: a weight is pulled in proportion to itself.
        L2 = "l2",
        /// The norm of all weights of an element, times the root of their number: the element is pulled to 0 as a whole.
        Group = "group",
    }
}

calls! {
    /// How what will be taken out shrinks.
    pub enum Shrinking("a flow such as `mask_sparsity(5e-4)`") {
        /// Elements are chosen first; a penalty on their weights, and on no others, is part of the loss (arXiv:2110.06776).
        MaskSparsity = "mask_sparsity" {
            /// What the penalty counts.
            lambda: Factor = "5e-4",
            /// What the penalty is.
            penalty: Penalty = "l1",
        },
    }
}

/// What shrinks over a training, and how.
#[derive(Debug)]
pub struct Shrinks {
    pub flow: Shrinking,
    /// What stays of axes, by path; the rest shrinks.
    pub stay: BTreeMap<String, Stay>,
}

impl Shrinks {
    pub fn arguments(&self) -> serde_json::Value {
        let stay = |stay: &Stay| match stay {
            Stay::These(these) => json!(these),
            Stay::Some(_) => json!("as chosen"),
        };
        let stay: BTreeMap<&String, serde_json::Value> =
            self.stay.iter().map(|(path, it)| (path, stay(it))).collect();
        json!({ "flow": self.flow.told(), "stay": stay })
    }

    /// The elements that go, by axis.
    fn gone(&self, graph: &Graph, found: Findings<'_>) -> BTreeMap<String, Vec<usize>> {
        let places = graph.places();
        let chosen = found.find(|finding| match finding {
            Finding::Kept(kept) => Some(kept),
            _ => None,
        });
        let gone = |(path, stay): (&String, &Stay)| {
            let axis = places.axis(path).expect("the checker and the run agree on paths");
            let stay = match stay {
                Stay::These(these) => these,
                Stay::Some(_) => &chosen.expect("elements are chosen before they shrink").stay[path],
            };
            let goes = |element: &usize| stay.binary_search(element).is_err();
            (path.clone(), (0..graph.extent(axis).max).filter(goes).collect())
        };
        self.stay.iter().map(gone).collect()
    }
}

/// Weights of the elements that go: where they are among variables.
pub struct Pull {
    lambda: f64,
    penalty: Penalty,
    /// For each variable the places of weights that shrink, and the element that each belongs to.
    weights: Vec<Vec<(usize, usize)>>,
    /// Elements of all axes.
    elements: usize,
}

impl Pull {
    pub fn new(shrinks: &Shrinks, graph: &Graph, found: Findings<'_>, trained: &[Trained]) -> Self {
        let Shrinking::MaskSparsity { lambda: Factor(lambda), penalty } = shrinks.flow;
        let places = graph.places();
        let mut weights = vec![Vec::new(); trained.len()];
        let mut elements = 0;
        for (path, gone) in shrinks.gone(graph, found) {
            let axis = places.axis(&path).expect("the checker and the run agree on paths");
            let mut numbers = vec![None; graph.extent(axis).max];
            gone.iter().zip(elements..).for_each(|(&element, number)| numbers[element] = Some(number));
            elements += gone.len();
            for (one, weights) in trained.iter().zip(&mut weights) {
                let Some((param, view)) = one.place(graph) else { continue };
                for factors in graph.factors(&graph.params[param], axis) {
                    let number = |at: usize| {
                        let stored = view.index(at / view.inputs, at % view.inputs);
                        numbers[stored / factors.inner % factors.extent].map(|number| (at, number))
                    };
                    weights.extend((0..view.len()).filter_map(number));
                }
            }
        }
        Self { lambda, penalty, weights, elements }
    }

    /// Adds the penalty's gradient.
    pub fn add(&self, trained: &mut [Trained]) {
        if self.lambda == 0.0 {
            return;
        }
        let values: Vec<Vec<f32>> = trained
            .iter()
            .zip(&self.weights)
            .map(|(one, weights)| if weights.is_empty() { Vec::new() } else { one.values() })
            .collect();
        let factors = self.factors(&values);
        for ((one, weights), values) in trained.iter_mut().zip(&self.weights).zip(&values) {
            for &(at, element) in weights {
                one.gradient[at] += self.penalty.pull(self.lambda, factors[element], values[at]);
            }
        }
    }

    /// Of a penalty on whole elements `sqrt(n) / norm` of each; 0 of what is 0 already.
    fn factors(&self, values: &[Vec<f32>]) -> Vec<f64> {
        let mut sums = vec![(0.0, 0usize); self.elements];
        if self.penalty == Penalty::Group {
            for (weights, values) in self.weights.iter().zip(values) {
                for &(at, element) in weights {
                    sums[element].0 += f64::from(values[at]).powi(2);
                    sums[element].1 += 1;
                }
            }
        }
        let factor = |(squares, count): (f64, usize)| match squares > 0.0 {
            true => (count as f64 / squares).sqrt(),
            false => 0.0,
        };
        sums.into_iter().map(factor).collect()
    }
}

impl Penalty {
    /// The derivative by one weight.
    fn pull(self, lambda: f64, factor: f64, weight: f32) -> f32 {
        let weight = f64::from(weight);
        let pull = match self {
            Self::L1 if weight == 0.0 => 0.0,
            Self::L1 => weight.signum(),
            Self::L2 => weight,
            Self::Group => factor * weight,
        };
        (lambda * pull) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::op::tensor;
    use crate::tensor::descent::{Descent, Stride};

    fn variable(values: &[f32]) -> Trained {
        let tensor = tensor(values.to_vec(), (1, values.len())).unwrap();
        let sgd = Descent::Sgd { momentum: 0.0, nesterov: false, decay: 0.0 };
        Trained::free(tensor, "gamma".into(), true, &sgd)
    }

    fn pull(lambda: f64, penalty: Penalty, weights: Vec<Vec<(usize, usize)>>, elements: usize) -> Pull {
        Pull { lambda, penalty, weights, elements }
    }

    /// The case of the method's card: gamma (0.5, -0.3, 0.2) of which the last two will go, one step of plain SGD at 0.1.
    #[test]
    fn what_goes_shrinks_as_the_card_says() {
        let pull = pull(5e-4, Penalty::L1, vec![vec![(1, 0), (2, 1)]], 2);
        let mut one = [variable(&[0.5, -0.3, 0.2])];
        pull.add(&mut one);
        let (mut values, gradient) = (one[0].values(), one[0].gradient.clone());
        let sgd = Descent::Sgd { momentum: 0.0, nesterov: false, decay: 0.0 };
        let stride = Stride { rate: 0.1, number: 1, decays: true };
        sgd.step(stride, &mut values, &gradient, &mut sgd.moments(3));
        let off = values.iter().zip([0.5, -0.299_95, 0.199_95]).map(|(a, b): (&f32, f32)| (a - b).abs());
        assert!(off.fold(0.0, f32::max) < 1e-7, "{values:?}");
    }

    /// Gradients against finite differences of the penalty, for two elements of which one lies in two variables.
    #[test]
    fn gradients_are_those_of_the_penalty() {
        let places = vec![vec![(0, 0), (2, 1)], vec![(1, 0), (2, 0)]];
        let values = [[0.5f32, -0.3, 0.2], [-0.7, 0.4, -0.1]];
        let value = |penalty: Penalty, values: &[[f32; 3]; 2]| -> f64 {
            let of = |element: usize| -> Vec<f64> {
                let all = places.iter().zip(values).flat_map(|(places, values)| {
                    places
                        .iter()
                        .filter(move |(_, e)| *e == element)
                        .map(move |(at, _)| f64::from(values[*at]))
                });
                all.collect()
            };
            let sum = |element: usize| match penalty {
                Penalty::L1 => of(element).iter().map(|w| w.abs()).sum::<f64>(),
                Penalty::L2 => of(element).iter().map(|w| w * w / 2.0).sum(),
                Penalty::Group => {
                    let all = of(element);
                    (all.len() as f64 * all.iter().map(|w| w * w).sum::<f64>()).sqrt()
                }
            };
            0.3 * (sum(0) + sum(1))
        };
        for penalty in [Penalty::L1, Penalty::L2, Penalty::Group] {
            let pull = pull(0.3, penalty, places.clone(), 2);
            let mut variables = [variable(&values[0]), variable(&values[1])];
            pull.add(&mut variables);
            for (of, variable) in variables.iter().enumerate() {
                for (at, found) in variable.gradient.iter().enumerate() {
                    let moved = |by: f32| {
                        let mut values = values;
                        values[of][at] += by;
                        value(penalty, &values)
                    };
                    let expected = (moved(1e-3) - moved(-1e-3)) / 2e-3;
                    assert!((f64::from(*found) - expected).abs() < 1e-4, "{penalty:?} {of} {at}: {found}");
                }
            }
        }
    }

    #[test]
    fn what_is_zero_is_not_pulled() {
        for penalty in [Penalty::L1, Penalty::L2, Penalty::Group] {
            let mut one = [variable(&[0.0, 0.0])];
            pull(1.0, penalty, vec![vec![(0, 0), (1, 0)]], 1).add(&mut one);
            assert_eq!(one[0].gradient, [0.0, 0.0], "{penalty:?}");
        }
    }
}
