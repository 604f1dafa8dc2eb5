//! What a model's logits cost, and what they predict.

use super::kernel::exp::exp;
use super::kernel::lanes;

/// The logarithm of the sum of exponentials of a row.
pub fn log_sum_exp(row: &[f32]) -> f64 {
    let top = row.iter().copied().fold(f32::MIN, f32::max);
    let sum: f64 = row.chunks(1024).map(|chunk| f64::from(lanes(chunk, chunk, |x, _| exp(x - top)))).sum();
    f64::from(top) + sum.ln()
}

/// `KL(p || q)` of the probabilities behind two rows of logits divided by a temperature, in nats.
///
/// It is `ln sum e^q - ln sum e^p - sum p (q - p)`, the last with the probabilities of p, and all of it in f64: between rows that are
/// nearly equal it is far smaller than what logarithms of f32 sums are off by.
pub fn divergence(p: &[f32], q: &[f32], temperature: f64) -> f64 {
    let top = |row: &[f32]| f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let (top_p, top_q) = (top(p), top(q));
    let (mut sum_p, mut sum_q, mut along) = (0.0, 0.0, 0.0);
    for (p, q) in p.iter().zip(q) {
        let (p, q) = ((f64::from(*p) - top_p) / temperature, (f64::from(*q) - top_q) / temperature);
        let share = p.exp();
        sum_p += share;
        sum_q += q.exp();
        along += share * (q - p);
    }
    let divergence = sum_q.ln() - sum_p.ln() - along / sum_p;
    if divergence < 0.0 { 0.0 } else { divergence }
}

/// The place of the largest value; of equals the first.
pub fn argmax(row: &[f32]) -> usize {
    let mut best = 0;
    for (at, value) in row.iter().enumerate() {
        if *value > row[best] {
            best = at;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_of_sums_do_not_overflow() {
        assert!((log_sum_exp(&[0.0, 0.0]) - 2f64.ln()).abs() < 1e-7);
        assert!((log_sum_exp(&[1000.0, 1000.0]) - 1000.0 - 2f64.ln()).abs() < 1e-7);
        assert!((log_sum_exp(&[-1000.0, 0.0]) - 0.0).abs() < 1e-7);
    }

    /// p = (0.7, 0.3), q = (0.6, 0.4): 0.0216009 nats, the worked case of OPTIN's card.
    #[test]
    fn divergences_are_those_of_the_probabilities() {
        let logits = |p: f32| [p.ln(), (1.0 - p).ln()];
        assert!((divergence(&logits(0.7), &logits(0.6), 1.0) - 0.021_600_9).abs() < 1e-6);
        assert_eq!(divergence(&logits(0.3), &logits(0.3), 4.0), 0.0);
        // A shift of all logits is no change.
        assert!(divergence(&[1.0, 2.0], &[4.0, 5.0], 1.0) < 1e-15);
    }

    /// A change of `d` of one of two equal logits has the divergence `d^2 / 8`, however small it is.
    #[test]
    fn small_divergences_are_not_lost() {
        let small = f32::EPSILON * 64.0;
        let expected = f64::from(small).powi(2) / 8.0;
        assert!((divergence(&[1.0, 1.0], &[1.0, 1.0 + small], 1.0) / expected - 1.0).abs() < 1e-3);
    }

    #[test]
    fn of_equal_values_the_first_is_the_largest() {
        assert_eq!(argmax(&[1.0, 3.0, 3.0, 2.0]), 1);
    }
}
