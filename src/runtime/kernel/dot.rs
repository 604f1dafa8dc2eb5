//! Products of vectors, in f64.

use super::{LANES, wide};

/// The product of two vectors, summed in f64, in lanes.
pub(crate) fn dot(left: &[f32], right: &[f32]) -> f64 {
    let mut sums = [0.0; LANES];
    products(left, right, &mut sums);
    sums.iter().sum()
}

wide! {
    fn products(left: &[f32], right: &[f32], sums: &mut [f64; LANES]) {
        let (left, left_rest) = left.as_chunks::<LANES>();
        let (right, right_rest) = right.as_chunks::<LANES>();
        for (left, right) in left.iter().zip(right) {
            for lane in 0..LANES {
                sums[lane] += f64::from(left[lane]) * f64::from(right[lane]);
            }
        }
        for (lane, (left, right)) in left_rest.iter().zip(right_rest).enumerate() {
            sums[lane] += f64::from(*left) * f64::from(*right);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worked_case() {
        let right: Vec<f32> = (0..20).map(|at| at as f32).collect();
        assert_eq!(dot(&[2.0; 20], &right), 380.0);
        assert_eq!(dot(&[], &[]), 0.0);
    }

    /// Floats would lose the small one.
    #[test]
    fn sums_are_wide() {
        assert_eq!(dot(&[1e8, 1.0, -1e8], &[1.0; 3]), 1.0);
    }
}
