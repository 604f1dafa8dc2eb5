//! Resampling a grid of positions to the grid of another picture.
//!
//! Bicubic with a = -0.75 and without anti-aliasing, corners not aligned: what `torch.nn.functional.interpolate` does for
//! `mode="bicubic"`, which DINOv2 was trained to live with.

/// How much of each place of a grid `from` a place of the grid `to` takes: `[to rows x columns, from rows x columns]`.
pub fn weights(from: [usize; 2], to: [usize; 2]) -> Vec<f32> {
    let [down, across] = [0, 1].map(|side| taps(from[side], to[side]));
    let mut weights = vec![0.0; to[0] * to[1] * from[0] * from[1]];
    for (place, row) in weights.chunks_exact_mut((from[0] * from[1]).max(1)).enumerate() {
        for (y, by_row) in &down[place / to[1]] {
            for (x, by_column) in &across[place % to[1]] {
                row[y * from[1] + x] += (by_row * by_column) as f32;
            }
        }
    }
    weights
}

/// The four places that each of `to` places takes from, and their shares. Places beyond an end are the end's.
fn taps(from: usize, to: usize) -> Vec<[(usize, f64); 4]> {
    let step = from as f64 / to as f64;
    let place = |index: usize| {
        let at = (index as f64 + 0.5) * step - 0.5;
        let (first, part) = (at.floor(), at - at.floor());
        std::array::from_fn(|tap| {
            let place = first + tap as f64 - 1.0;
            (place.clamp(0.0, from as f64 - 1.0) as usize, cubic(part + 1.0 - tap as f64))
        })
    };
    (0..to).map(place).collect()
}

/// Keys' cubic convolution kernel.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.75;
    match x.abs() {
        x if x <= 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        x if x < 2.0 => ((x - 5.0) * x + 8.0) * A * x - 4.0 * A,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_grid_is_kept() {
        let weights = weights([2, 3], [2, 3]);
        assert!((0..36).all(|at| weights[at] == f32::from(u8::from(at / 6 == at % 6))));
    }

    /// By hand: four places to two, step 2, so that each lies half-way: -0.09375, 0.59375, 0.59375, -0.09375, ends held.
    #[test]
    fn a_row_of_four_becomes_two() {
        let weights = weights([1, 4], [1, 2]);
        assert_eq!(weights[..4], [0.5, 0.59375, -0.09375, 0.0]);
        assert_eq!(weights[4..], [0.0, -0.09375, 0.59375, 0.5]);
    }

    #[test]
    fn shares_sum_to_one() {
        for row in weights([37, 37], [16, 11]).chunks(37 * 37) {
            assert!((row.iter().map(|it| f64::from(*it)).sum::<f64>() - 1.0).abs() < 1e-5);
        }
    }
}
