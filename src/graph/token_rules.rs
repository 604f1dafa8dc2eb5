//! Rules of reductions that have more to say than a name: how energy pairs tokens, and how tokens vote for each other.

use serde::{Deserialize, Serialize};

/// How tokens are merged by their energy. PiToMe, arXiv:2405.16148, and what its authors' code does beside it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ByEnergy {
    /// From which cosine on others count as alike.
    pub margin: f64,
    #[serde(default)]
    pub kernel: EnergyKernel,
    #[serde(default)]
    pub pairing: EnergyPairing,
    /// Whether a merged token counts as one from then on, so that sizes are those of this layer alone.
    #[serde(default)]
    pub restart: bool,
}

impl ByEnergy {
    /// Algorithm 1 of the paper.
    pub fn new(margin: f64) -> Self {
        Self { margin, kernel: EnergyKernel::default(), pairing: EnergyPairing::default(), restart: false }
    }
}

/// What a cosine adds to a token's energy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnergyKernel {
    /// `v = cosine - margin` above 0, and `exp(v) - 1` below.
    #[default]
    Elu,
    /// The density at `1 - cosine` of a normal distribution around 0, of standard deviation `1 - margin`.
    Gaussian,
}

/// Which of the tokens sorted by energy go, and which receive. `gone` is how many go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnergyPairing {
    /// Of the first `2 gone`, even places go to odd ones.
    #[default]
    Alternate,
    /// The first `gone` go to the next `gone`.
    Halves,
    /// Of all, even places are beside odd ones, and the most similar pairs become one, as in Token Merging.
    Closest,
}

/// How tokens vote for each other: attention is a graph, in which each token gives its rank to those that it attends to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Ranking {
    /// Rounds of votes before the tokens of the lowest ranks go.
    pub iterations: usize,
    pub start: RankStart,
    /// Heads whose ranks vary less or more than this count for nothing; where none is left, all count. Ranks are taken times
    /// their number, so that their mean is 1.
    pub variance: Option<[f64; 2]>,
    /// How many go first, since they are like one of the more important half; at most the other half.
    pub similar: usize,
}

/// What tokens have before the first vote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RankStart {
    /// Each as much.
    Uniform,
    /// The first one as many times more than another as the root of their number.
    First,
}
