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
    for entry in descending(weights) {
        let square = f64::from(f32::from_bits(!(entry >> 32) as u32)).powi(2);
        energy += square;
        scores[entry as u32 as usize] = if energy == 0.0 { 0.0 } else { (square / energy) as f32 };
    }
    Ok(())
}

/// Weights by falling magnitude, ties by rising index: the complement of the magnitude's bits above, the index below.
///
/// Buckets of the upper 16 bits first: they are small enough to sort in cache, and sorted already for bf16.
fn descending(weights: &[f32]) -> Vec<u64> {
    let entries = || weights.iter().zip(0..).map(|(w, index)| u64::from(!w.abs().to_bits()) << 32 | index);
    let bucket = |entry: u64| usize::from((entry >> 48) as u16);
    let mut counts = vec![0_usize; 1 << 16];
    entries().for_each(|entry| counts[bucket(entry)] += 1);
    let place = |start: &mut usize, count| Some(std::mem::replace(start, *start + count));
    let mut places: Vec<usize> = counts.into_iter().scan(0, place).collect();
    let mut order = vec![0; weights.len()];
    for entry in entries() {
        let place = &mut places[bucket(entry)];
        order[*place] = entry;
        *place += 1;
    }
    order.par_chunk_by_mut(|a, b| bucket(*a) == bucket(*b)).for_each(<[u64]>::sort_unstable);
    order
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
