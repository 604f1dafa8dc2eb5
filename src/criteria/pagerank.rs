//! `pagerank`: a token is worth what other worthy tokens attend to it (Zero-TPrune).

use std::sync::Arc;

use crate::graph::{RankStart, Ranking, ReductionRule};
use crate::pass::tokens::{Layer, Reducing};
use crate::pass::{Count, Criterion, Factor};
use crate::{choice, criterion};

choice! {
    /// What tokens have before the first vote.
    pub enum Start("a start") {
        /// Each as much.
        Uniform = "uniform",
        /// The class token as many times more as the root of the number of tokens.
        ClassToken = "class_token",
    }
}

criterion! {
    /// Attention as a graph: in each head a token gives its rank to those that it attends to, again and again, as in PageRank. A
    /// token's rank is the root of the mean of its squared ranks over heads. It takes the attention of the layer where tokens go.
    ///
    /// First `similar` tokens go: of the half of lower ranks after one vote those whose keys (averaged over heads) are most like
    /// one of the other half. The others vote anew among themselves, and the step's `keep`, `remove` or `to` counts in what is
    /// left. Tokens keep their order, and a class token always stays. So `keep 100%` drops `similar` tokens and no more.
    ///
    /// Zero-TPrune, arXiv:2305.17328. It stands between the blocks there; here it stands before the feed-forward of the block
    /// whose attention it reads, which gives the same answers, since a feed-forward treats tokens one by one, and costs less. The
    /// authors' code was not at hand. Not verified are the defaults, and that they take variances of ranks whose mean is 1.
    ///
    /// ```tamis
    /// drop tokens at layers[1] by pagerank(similar: 2) keep 80%
    /// ```
    Pagerank = "pagerank"
    {
        /// Votes; where it is not said, 30 in the first quarter of the layers, 1 in the last, 5 between.
        iterations: Option<Count>,
        /// What tokens have before the first vote.
        start: Start = "uniform",
        /// How many tokens go first as they are like more important ones; at most half of those that can go.
        similar: u64 = "0",
        /// Heads whose ranks (times the number of tokens) vary less count for nothing. Where no head is left, all count.
        least_variance: Factor = "0.01",
        /// The same for heads whose ranks vary more.
        most_variance: Factor = "0.7",
    }
}

impl Pagerank {
    fn rounds(&self, layer: &Layer<'_>) -> usize {
        let first = 4 * layer.number < layer.of;
        let last = 4 * (layer.number + 1) > 3 * layer.of;
        match self.iterations {
            Some(Count(rounds)) => rounds,
            None if first => 30,
            None if last => 1,
            None => 5,
        }
    }
}

impl Criterion for Pagerank {
    fn describe(&self) -> String {
        let iterations = self.iterations.map(|Count(rounds)| format!("iterations: {rounds}, "));
        let start = crate::pass::Told::told(&self.start);
        format!(
            "pagerank({}start: {}, similar: {}, least_variance: {}, most_variance: {})",
            iterations.unwrap_or_default(),
            start.as_str().unwrap_or_default(),
            self.similar,
            self.least_variance.0,
            self.most_variance.0
        )
    }

    fn reducing(&self) -> Option<Arc<dyn Reducing>> {
        Some(Arc::new(self.clone()))
    }
}

impl Reducing for Pagerank {
    fn rule(&self, layer: &Layer<'_>) -> ReductionRule {
        let start = match self.start {
            Start::Uniform => RankStart::Uniform,
            Start::ClassToken => RankStart::First,
        };
        ReductionRule::DropByRank(Ranking {
            iterations: self.rounds(layer),
            start,
            variance: Some([self.least_variance.0, self.most_variance.0]),
            similar: self.similar as usize,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn early_layers_vote_more_often() {
        let of = Pagerank {
            iterations: None,
            start: Start::Uniform,
            similar: 0,
            least_variance: Factor(0.01),
            most_variance: Factor(0.7),
        };
        let rounds = |of_all| -> Vec<usize> {
            (0..of_all).map(|number| of.rounds(&Layer { number, of: of_all, path: "" })).collect()
        };
        assert_eq!(rounds(12), [30, 30, 30, 5, 5, 5, 5, 5, 5, 1, 1, 1]);
        assert_eq!(rounds(4), [30, 5, 5, 1]);
        let said = Pagerank { iterations: Some(Count(7)), ..of };
        assert_eq!(said.rounds(&Layer { number: 0, of: 4, path: "" }), 7);
    }
}
