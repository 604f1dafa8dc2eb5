//! Tokens that stay because of their scores; the others go, or become one token.

use std::ops::Range;

use super::{Left, Tokens, by_score};
use crate::graph::TokenScore;
use crate::tensor::random::Stream;

/// A score for each of `count` tokens.
pub(super) fn scores(
    score: TokenScore,
    count: usize,
    attended: impl Fn(Range<usize>) -> Vec<f32>,
) -> Vec<f32> {
    match score {
        TokenScore::FirstAttention => attended(0..1),
        TokenScore::AttentionMass => attended(0..count),
        TokenScore::Random { start } => {
            let stream = Stream::from_start(start);
            (0..count).map(|token| stream.uniform(token as u64)).collect()
        }
    }
}

/// Protected tokens and the best others, `after` of all; with `fuse` the last one is the sum of those that go, each times its
/// score.
pub(super) fn best(tokens: Tokens<'_>, scores: &[f32], after: usize, fuse: bool, sorted: bool) -> Left {
    let order = by_score(scores, tokens.protected..tokens.count);
    let stay = after - tokens.protected - usize::from(fuse);
    let (mut stays, mut goes) = (order[..stay].to_vec(), order[stay..].to_vec());
    if !sorted {
        stays.sort_unstable();
    }
    let mut left = tokens.kept((0..tokens.protected).chain(stays));
    if fuse {
        // In their order, so that rounding does not depend on scores.
        goes.sort_unstable();
        left.parts.push(goes.into_iter().map(|token| (token, scores[token])).collect());
        left.sizes.push(1.0);
    }
    left
}
