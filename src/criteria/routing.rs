//! `routing`: experts that are chosen for the same tokens are alike.

use std::sync::Arc;

use crate::criterion;
use crate::diagnostic::Diagnostic;
use crate::pass::{Criterion, Data, Grouping, Seen, Sight};

criterion! {
    /// Puts experts into groups by how a router speaks of them: each joins the one of the most used experts whose logits are most
    /// like its own over all tokens, by their cosine.
    ///
    /// ```tamis
    /// data calib = text("calib.txt", tokens: 128, samples: 64)
    /// merge experts of layers[*] by routing(calib) into 2
    /// ```
    ///
    /// Merge, Then Compress: Demystify Efficient SMoE with Hints from Its Routing Policy, arXiv:2310.01334.
    Routing = "routing"
    {
        /// What the model is shown.
        data: Data,
    }
}

impl Criterion for Routing {
    fn describe(&self) -> String {
        format!("routing({})", self.data.reader.describe())
    }

    fn data(&self) -> Vec<Data> {
        vec![self.data.clone()]
    }

    fn grouping(&self) -> Option<Arc<dyn Grouping>> {
        Some(Arc::new(self.clone()))
    }
}

impl Grouping for Routing {
    fn data(&self) -> Option<&Data> {
        Some(&self.data)
    }

    fn sight(&self) -> Sight {
        Sight::Routing
    }

    fn groups(&self, seen: &Seen<'_>, into: usize) -> Result<Vec<usize>, Diagnostic> {
        Ok(by_routing(seen, into))
    }
}

/// The most used experts lead; each other joins the one that it is most like.
fn by_routing(seen: &Seen<'_>, into: usize) -> Vec<usize> {
    let (n, counts) = (seen.experts, seen.counts.unwrap_or_default());
    let mut used: Vec<usize> = (0..n).collect();
    used.sort_by(|&a, &b| counts[b].total_cmp(&counts[a]));
    let dominant = &used[..into];
    let size = |expert: usize| seen.logits[expert * n + expert].sqrt().max(f64::MIN_POSITIVE);
    let alike = |a: usize, b: usize| seen.logits[a * n + b] / (size(a) * size(b));
    let group = |expert: usize| match dominant.iter().position(|other| *other == expert) {
        Some(own) => own,
        // Of equals the more used one.
        None => (0..into)
            .reduce(
                |best, it| {
                    if alike(expert, dominant[it]) > alike(expert, dominant[best]) { it } else { best }
                },
            )
            .expect("there is a group"),
    };
    (0..n).map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The case of the method card: 0 and 2 are used most; 3 speaks as 0 does, 1 as 2.
    #[test]
    fn others_join_the_most_used_ones_that_they_are_like() {
        let logits: [[f64; 3]; 4] = [[1.0, 0.0, 2.0], [0.1, 3.0, 0.0], [0.0, 2.0, 0.5], [2.0, 0.5, 3.0]];
        let product = |a: &[f64; 3], b: &[f64; 3]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let products: Vec<f64> =
            logits.iter().flat_map(|a| logits.iter().map(move |b| product(a, b))).collect();
        let seen = Seen {
            place: "layers[0].experts",
            experts: 4,
            counts: Some(&[40.0, 10.0, 35.0, 15.0]),
            logits: &products,
            outputs: &[],
            distances: &[],
        };
        assert_eq!(by_routing(&seen, 2), [0, 1, 1, 0]);
        let mut alone = by_routing(&seen, 4);
        alone.sort_unstable();
        assert_eq!(alone, [0, 1, 2, 3]);
    }
}
