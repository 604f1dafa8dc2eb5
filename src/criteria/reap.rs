//! `reap`: what an expert adds to the stream of the tokens that come to it.

use std::collections::BTreeMap;

use crate::criterion;
use crate::diagnostic::Diagnostic;
use crate::observe::experts::{Look, Looked, look};
use crate::pass::{Context, Criterion, Data, UnitScores};

criterion! {
    /// The mean, over the tokens that a router sends to an expert, of its gate times the norm of what it makes of them. An expert that
    /// no token comes to scores 0.
    ///
    /// Gates are those of the model: renormalized over the chosen experts where it does so.
    ///
    /// ```tamis
    /// data calib = text("calib.txt", tokens: 128, samples: 64)
    /// drop experts of layers[*] by reap(calib) keep 50%
    /// ```
    ///
    /// REAP the Experts: Why Pruning Prevails for One-Shot MoE Compression, arXiv:2510.13999.
    Reap = "reap"
    {
        /// What the model is shown.
        data: Data,
    }
}

impl Criterion for Reap {
    fn describe(&self) -> String {
        format!("reap({})", self.data.reader.describe())
    }

    fn data(&self) -> Vec<Data> {
        vec![self.data.clone()]
    }

    fn units(&self) -> Option<&dyn UnitScores> {
        Some(self)
    }
}

impl UnitScores for Reap {
    fn takes(&self, noun: &str) -> bool {
        noun == "experts"
    }

    fn score(&self, at: &Context<'_>, axes: &[String]) -> Result<BTreeMap<String, Vec<f64>>, Diagnostic> {
        let what = Look { norms: true, means: false };
        let looked = look(at, &self.data, axes, what)?;
        Ok(looked.into_iter().map(|(path, looked)| (path, saliency(&looked))).collect())
    }
}

fn saliency(looked: &Looked) -> Vec<f64> {
    let mean = |(sum, count): (&f64, &f64)| if *count > 0.0 { sum / count } else { 0.0 };
    looked.gated_norms.iter().zip(&looked.counts).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The case of the method card: three tokens, two experts each, gates renormalized.
    #[test]
    fn saliencies_are_those_of_the_worked_case() {
        let gates = [[0.5, 0.3, 0.15, 0.05], [0.1, 0.6, 0.2, 0.1], [0.4, 0.1, 0.3, 0.2]];
        let norms = [[2.0, 1.0, 4.0, 9.0], [2.0, 3.0, 1.0, 9.0], [1.0, 9.0, 5.0, 2.0]];
        let chosen = [[0, 1], [1, 2], [0, 2]];
        let mut looked = Looked {
            counts: vec![0.0; 4],
            gated_norms: vec![0.0; 4],
            norms: vec![0.0; 4],
            ..Looked::default()
        };
        for ((gates, norms), chosen) in gates.iter().zip(norms).zip(chosen) {
            let sum: f64 = chosen.iter().map(|&it| gates[it]).sum();
            for it in chosen {
                looked.counts[it] += 1.0;
                looked.gated_norms[it] += gates[it] / sum * norms[it];
            }
        }
        let expected = [0.910_714, 1.3125, 1.196_429, 0.0];
        assert!(saliency(&looked).iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6));
    }
}
