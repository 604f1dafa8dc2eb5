//! What a model's logits cost, and what they predict.

use super::kernel::exp::exp;
use super::kernel::lanes;

/// The logarithm of the sum of exponentials of a row.
pub fn log_sum_exp(row: &[f32]) -> f64 {
    let top = row.iter().copied().fold(f32::MIN, f32::max);
    let sum: f64 = row.chunks(1024).map(|chunk| f64::from(lanes(chunk, chunk, |x, _| exp(x - top)))).sum();
    f64::from(top) + sum.ln()
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

    #[test]
    fn of_equal_values_the_first_is_the_largest() {
        assert_eq!(argmax(&[1.0, 3.0, 3.0, 2.0]), 1);
    }
}
