//! Ranks of tokens by what all of them attend to (Zero-TPrune): attention is a graph, and a token's vote counts as much as its rank.

use super::by_score;
use super::merged::nearest;
use crate::graph::{RankStart, Ranking};

/// A score for each token: its rank among those that stay, and less than any rank for those that go since they are like another.
///
/// `shares` are `[count, count]` of each head, rows that add up to 1; `keys` are `[count, head_dim]` of length 1.
pub(super) fn scores(ranking: &Ranking, shares: &[Vec<f32>], keys: &[f32], protected: usize) -> Vec<f32> {
    let count = shares.first().map_or(0, |shares| shares.len().isqrt());
    let mut alive = vec![true; count];
    let alike = ranking.similar.min((count - protected) / 2);
    if alike > 0 {
        let first = ranks(&Ranking { iterations: 1, ..*ranking }, shares, &alive);
        for token in similar(&first, keys, protected, alike) {
            alive[token] = false;
        }
    }
    let ranks = ranks(ranking, shares, &alive);
    ranks.into_iter().zip(alive).map(|(rank, alive)| if alive { rank } else { -1.0 }).collect()
}

/// The tokens of the less important half that are most like one of the other half.
fn similar(ranks: &[f32], keys: &[f32], protected: usize, gone: usize) -> Vec<usize> {
    let count = ranks.len();
    let order = by_score(ranks, protected..count);
    let (important, rest) = order.split_at(order.len() - order.len() / 2);
    let mut rest = rest.to_vec();
    rest.sort_unstable();
    let mut alike = vec![f32::NEG_INFINITY; count];
    let found = nearest(keys, keys.len() / count, &rest, important);
    rest.iter().zip(found).for_each(|(&token, (_, cosine))| alike[token] = cosine);
    by_score(&alike, rest).into_iter().take(gone).collect()
}

/// Ranks of the tokens that are there, of all heads that count: the root of the mean of their squares.
fn ranks(ranking: &Ranking, shares: &[Vec<f32>], alive: &[bool]) -> Vec<f32> {
    let of_heads: Vec<Vec<f64>> = shares.iter().map(|shares| of_head(ranking, shares, alive)).collect();
    let there = alive.iter().filter(|alive| **alive).count() as f64;
    let counts = |ranks: &&Vec<f64>| {
        let Some([least, most]) = ranking.variance else { return true };
        let off = ranks.iter().zip(alive).filter(|(_, alive)| **alive);
        let variance = off.map(|(rank, _)| (rank * there - 1.0).powi(2)).sum::<f64>() / there;
        (least..=most).contains(&variance)
    };
    let filtered: Vec<&Vec<f64>> = of_heads.iter().filter(counts).collect();
    let chosen = if filtered.is_empty() { of_heads.iter().collect() } else { filtered };
    let squares = |token: usize| chosen.iter().map(|ranks| ranks[token] * ranks[token]).sum::<f64>();
    (0..alive.len()).map(|token| (squares(token) / chosen.len() as f64).sqrt() as f32).collect()
}

/// Weighted page rank in one head: what a token has goes to those that it attends to, again and again. Tokens that are gone
/// neither vote nor are voted for, and rows add up to 1 without them.
fn of_head(ranking: &Ranking, shares: &[f32], alive: &[bool]) -> Vec<f64> {
    let count = alive.len();
    let there = alive.iter().filter(|alive| **alive).count() as f64;
    let weight = |token: usize| match ranking.start {
        _ if !alive[token] => 0.0,
        RankStart::First if token == 0 => there.sqrt(),
        RankStart::First | RankStart::Uniform => 1.0,
    };
    let mut ranks: Vec<f64> = (0..count).map(weight).collect();
    let all: f64 = ranks.iter().sum();
    ranks.iter_mut().for_each(|rank| *rank /= all);
    let kept = |row: &[f32]| -> f64 {
        row.iter().zip(alive).filter(|(_, alive)| **alive).map(|(share, _)| f64::from(*share)).sum()
    };
    let sums: Vec<f64> = shares.chunks_exact(count).map(kept).collect();
    for _ in 0..ranking.iterations {
        let mut next = vec![0.0; count];
        for (voter, row) in shares.chunks_exact(count).enumerate().filter(|(voter, _)| alive[*voter]) {
            let vote = ranks[voter] / sums[voter].max(f64::MIN_POSITIVE);
            next.iter_mut().zip(row).for_each(|(next, share)| *next += vote * f64::from(*share));
        }
        next.iter_mut().zip(alive).filter(|(_, alive)| !**alive).for_each(|(next, _)| *next = 0.0);
        ranks = next;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARES: [f32; 9] = [0.5, 0.3, 0.2, 0.2, 0.6, 0.2, 0.1, 0.4, 0.5];

    fn ranking(iterations: usize, start: RankStart) -> Ranking {
        Ranking { iterations, start, variance: None, similar: 0 }
    }

    fn near(found: &[f64], expected: &[f64]) {
        assert!(
            found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6),
            "{found:?} is not {expected:?}"
        );
    }

    #[test]
    fn votes_are_counted_as_the_card_says() {
        let of = |iterations, start| of_head(&ranking(iterations, start), &SHARES, &[true; 3]);
        near(&of(1, RankStart::Uniform), &[0.266_667, 0.433_333, 0.3]);
        near(&of(2, RankStart::Uniform), &[0.25, 0.46, 0.29]);
        near(&of(3, RankStart::Uniform), &[0.246, 0.467, 0.287]);
        near(&of(1, RankStart::First), &[0.312_436, 0.407_180, 0.280_385]);
        near(&of(2, RankStart::First), &[0.265_692, 0.450_192, 0.284_115]);
    }

    /// The limit is the stationary distribution, whatever the start: what it gives it gets.
    #[test]
    fn votes_end_where_they_no_longer_change() {
        let of = |iterations, start| of_head(&ranking(iterations, start), &SHARES, &[true; 3]);
        let limit = of(200, RankStart::Uniform);
        near(&of(200, RankStart::First), &limit);
        let given = |to: usize| (0..3).map(|from| limit[from] * f64::from(SHARES[from * 3 + to])).sum();
        near(&[given(0), given(1), given(2)], &limit);
        near(&[limit.iter().sum()], &[1.0]);
    }

    /// Without one token the others vote as in the graph of them alone.
    #[test]
    fn tokens_that_are_gone_have_no_vote() {
        let alive = [true, false, true];
        let among: Vec<f32> = vec![0.5 / 0.7, 0.2 / 0.7, 0.1 / 0.6, 0.5 / 0.6];
        for start in [RankStart::Uniform, RankStart::First] {
            let [first, gone, last] = of_head(&ranking(3, start), &SHARES, &alive)[..] else {
                panic!("three")
            };
            assert_eq!(gone, 0.0);
            near(&[first, last], &of_head(&ranking(3, start), &among, &[true; 2]));
        }
    }

    #[test]
    fn heads_that_say_nothing_are_left_out() {
        let even = vec![1.0 / 3.0; 9];
        let heads = [SHARES.to_vec(), even];
        let of = |variance, heads: &[Vec<f32>]| {
            ranks(&Ranking { variance, ..ranking(1, RankStart::Uniform) }, heads, &[true; 3])
        };
        let alone = of(None, &heads[..1]);
        assert_eq!(
            of(Some([0.01, 0.7]), &heads),
            alone,
            "the variance of the even head is 0, of the other 0.0467"
        );
        assert_ne!(of(None, &heads), alone);
        assert_eq!(of(Some([0.5, 0.7]), &heads), of(None, &heads), "no head is left, so that all count");
    }

    /// Of four patches the two of the lower rank are 2 and 4; the key of 4 is that of 1.
    #[test]
    fn the_most_similar_of_the_lower_half_goes() {
        let shares: Vec<f32> = [0.2, 0.3, 0.1, 0.3, 0.1].repeat(5);
        let keys = [1.0, 0.0, 1.0, 0.0, 0.6, 0.8, 0.0, 1.0, 1.0, 0.0];
        let of = |similar| {
            scores(
                &Ranking { similar, ..ranking(1, RankStart::Uniform) },
                std::slice::from_ref(&shares),
                &keys,
                1,
            )
        };
        let all: Vec<f64> = of(0).into_iter().map(f64::from).collect();
        near(&all, &[0.2, 0.3, 0.1, 0.3, 0.1]);
        assert_eq!(of(1).iter().position(|score| *score < 0.0), Some(4));
        let gone = of(5).iter().filter(|score| **score < 0.0).count();
        assert_eq!(gone, 2, "half of them at most");
    }
}
