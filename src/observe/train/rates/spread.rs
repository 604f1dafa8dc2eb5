//! A distribution over how many tokens stay, and its gradients.

/// Candidate c, from 1 to their number, is that c tokens stay. Logits lie in the order of candidates.
#[derive(Debug, Clone, PartialEq)]
pub struct Spread {
    pub logits: Vec<f32>,
}

impl Spread {
    /// Every number is as likely.
    pub fn even(candidates: usize) -> Self {
        Self { logits: vec![0.0; candidates] }
    }

    /// The probability of each candidate.
    fn probabilities(&self) -> Vec<f64> {
        let top = self.logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let powers: Vec<f64> = self.logits.iter().map(|logit| f64::from(logit - top).exp()).collect();
        let sum: f64 = powers.iter().sum();
        powers.into_iter().map(|power| power / sum).collect()
    }

    /// How many stay on average.
    pub fn mean(&self) -> f64 {
        let likely = self.probabilities();
        likely.iter().enumerate().map(|(at, share)| (at + 1) as f64 * share).sum()
    }

    /// How many stay: the mean, rounded up.
    pub fn left(&self) -> usize {
        // A mean such as 4 can be 4.000000000000001 in floating point.
        (self.mean() - 1e-9).ceil().max(1.0) as usize
    }

    /// For each rank from 1 the probability that so many stay: what a mask of 0 or 1 has the gradient of.
    #[cfg(test)]
    pub fn stays(&self) -> Vec<f64> {
        at_least(&self.probabilities())
    }

    /// The gradient by logits of a loss with these gradients by the masks of ranks, and this one by how many stay. Rounding has a
    /// gradient of 1.
    pub fn gradient(&self, by_rank: &[f64], by_left: f64) -> Vec<f32> {
        let likely = self.probabilities();
        let (stays, mean) = (at_least(&likely), self.mean());
        // Rank i stays with candidates from i on, and a logit moves a probability by `p (1 - p)` and the others by `-p p`.
        let along: f64 = by_rank.iter().zip(&stays).map(|(gradient, stays)| gradient * stays).sum();
        let mut up_to = 0.0;
        let mut gradients = Vec::with_capacity(likely.len());
        for (at, (share, by_mask)) in likely.iter().zip(by_rank).enumerate() {
            up_to += by_mask;
            let by_mean = by_left * ((at + 1) as f64 - mean);
            gradients.push((share * (up_to - along + by_mean)) as f32);
        }
        gradients
    }
}

/// For each candidate the probability of it or a larger one.
fn at_least(likely: &[f64]) -> Vec<f64> {
    let mut sum = 0.0;
    let mut found: Vec<f64> = likely
        .iter()
        .rev()
        .map(|share| {
            sum += share;
            sum
        })
        .collect();
    found.reverse();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skewed() -> Spread {
        Spread { logits: vec![0.3, -0.7, 1.1, 0.2, -0.4] }
    }

    #[test]
    fn an_even_spread_keeps_half() {
        let even = Spread::even(4);
        assert!((even.mean() - 2.5).abs() < 1e-12);
        assert_eq!(even.left(), 3);
        assert_eq!(Spread::even(7).left(), 4, "a whole mean is not rounded up");
        let stays = even.stays();
        assert!(stays.iter().zip([1.0, 0.75, 0.5, 0.25]).all(|(a, b)| (a - b).abs() < 1e-12), "{stays:?}");
    }

    /// The first rank always stays, and ranks together stay as many times as tokens do on average.
    #[test]
    fn probabilities_of_ranks_add_up_to_the_mean() {
        let spread = skewed();
        assert!((spread.stays()[0] - 1.0).abs() < 1e-12);
        assert!((spread.stays().iter().sum::<f64>() - spread.mean()).abs() < 1e-12);
    }

    /// Against finite differences of what masks and rounding have the gradient of: the probabilities of ranks, and the mean.
    #[test]
    fn gradients_are_slopes() {
        let spread = skewed();
        let (by_rank, by_left) = ([0.4, -1.2, 0.7, 2.0, -0.3], 1.7);
        let loss = |spread: &Spread| {
            let ranks: f64 =
                spread.stays().iter().zip(by_rank).map(|(stays, gradient)| stays * gradient).sum();
            ranks + by_left * spread.mean()
        };
        let found = spread.gradient(&by_rank, by_left);
        for (at, found) in found.into_iter().enumerate() {
            let moved = |by: f32| {
                let mut other = spread.clone();
                other.logits[at] += by;
                (loss(&other), f64::from(other.logits[at]))
            };
            let ((above, right), (below, left)) = (moved(0.01), moved(-0.01));
            let slope = (above - below) / (right - left);
            // Third derivatives times 0.01 squared.
            assert!((f64::from(found) - slope).abs() < 2e-4, "{at}: {found} is not {slope}");
        }
    }
}
