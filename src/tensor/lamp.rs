//! LAMP scores: the share of a weight in the energy of the weights of its tensor that are at least as large.
//!
//! score(w) = w^2 / (sum of u^2 over all u with |u| >= |w|), so that scores of different tensors compare whatever their
//! scale, and the largest weight of each scores 1: no tensor can vanish. DIMAP (arXiv:2404.13648)
//! ranks these scores within a module.

use rayon::prelude::*;

use super::TensorError;
use super::error::expect_length;

/// Scores one tensor. Of equal weights the first scores highest: 1, 1/2, 1/3, ... A tensor of zeros scores 0.
///
/// Needs 8 bytes a weight beside the scores. NaN ranks as the largest: refuse it before.
pub fn lamp_scores(weights: &[f32], scores: &mut [f32]) -> Result<(), TensorError> {
    expect_length("scores", weights.len(), scores.len())?;
    u32::try_from(weights.len()).map_err(|_| TensorError::Overflow)?;
    let mut energy = 0.0;
    for index in descending(weights) {
        let square = f64::from(weights[index]).powi(2);
        energy += square;
        scores[index] = if energy == 0.0 { 0.0 } else { (square / energy) as f32 };
    }
    Ok(())
}

/// Indices by falling magnitude, ties by rising index.
fn descending(weights: &[f32]) -> impl Iterator<Item = usize> {
    let rank = |weight: &f32| u64::from(!weight.abs().to_bits()) << 32;
    let mut order: Vec<u64> = weights.iter().zip(0..).map(|(weight, index)| rank(weight) | index).collect();
    order.par_sort_unstable();
    order.into_iter().map(|entry| entry as u32 as usize)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lamp(weights: &[f32]) -> Vec<f32> {
        let mut scores = vec![f32::NAN; weights.len()];
        lamp_scores(weights, &mut scores).unwrap();
        scores
    }

    #[test]
    fn the_worked_cases_of_the_method_card() {
        assert_eq!(lamp(&[4.0, -3.0, 2.0, 1.0]), [1.0, 0.36, 4.0 / 29.0, 1.0 / 30.0]);
        assert_eq!(lamp(&[1.0, 3.0, -2.0]), [1.0 / 14.0, 1.0, 4.0 / 13.0]);
    }

    #[test]
    fn equal_weights_share_out_by_index() {
        assert_eq!(lamp(&[2.0, -2.0, 2.0]), [1.0, 0.5, 1.0 / 3.0]);
    }

    #[test]
    fn zeros_score_nothing() {
        assert_eq!(lamp(&[0.0, -0.0]), [0.0, 0.0]);
        assert_eq!(lamp(&[0.0, 1e-30, 0.0]), [0.0, 1.0, 0.0]);
        assert_eq!(lamp(&[]), [0.0; 0]);
    }

    #[test]
    fn a_long_tail_is_summed_in_f64() {
        // 4096^2 is 2^24: in f32 adding ones to it would change nothing.
        let scores = lamp(&[4096.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
        assert_eq!(scores[8], (1.0 / f64::from((1 << 24) + 8)) as f32);
        assert_ne!(scores[8], scores[1]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn scale_does_not_matter(weights in prop::collection::vec(-3.0..3.0_f32, 1..80), scale in 1..20) {
            let scaled: Vec<f32> = weights.iter().map(|weight| weight * -(2.0_f32.powi(scale))).collect();
            prop_assert_eq!(lamp(&weights), lamp(&scaled));
        }

        #[test]
        fn scores_order_as_magnitudes_do(weights in prop::collection::vec(-3.0..3.0_f32, 1..80)) {
            let scores = lamp(&weights);
            prop_assert!(scores.contains(&1.0) || weights.iter().all(|w| *w == 0.0));
            for (a, b) in weights.iter().zip(&scores) {
                for (other, score) in weights.iter().zip(&scores) {
                    prop_assert!(a.abs() <= other.abs() || b >= score);
                }
            }
        }
    }
}
