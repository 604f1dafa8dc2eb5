//! Pictures made smaller or larger as Pillow does it, bit for bit: <https://github.com/python-pillow/Pillow>, `Resample.c`.
//!
//! Each pixel is a weighted sum of the pixels under the filter, which is as wide as the picture shrinks, so that nothing
//! between is skipped. Rows are done first, then columns; weights are whole numbers of 2^-22, and sums are rounded to bytes.
//! Pillow 13 does columns first where that is less work: then some bytes differ by one.

use super::picture::Picture;

/// How pixels between pixels are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    Bilinear,
    Bicubic,
}

/// Bits behind the point of a weight.
const PRECISION: u32 = 32 - 8 - 2;

impl Filter {
    /// How far from its centre it reaches, in pixels of the smaller picture.
    fn support(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    fn weight(self, at: f64) -> f64 {
        // Pillow's choice for the cubic's free parameter.
        const A: f64 = -0.5;
        let x = at.abs();
        match self {
            Self::Bilinear if x < 1.0 => 1.0 - x,
            Self::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
            _ => 0.0,
        }
    }
}

/// The picture with another height and width.
pub fn resample(picture: &Picture, height: usize, width: usize, filter: Filter) -> Picture {
    let rows = match width == picture.width {
        true => picture.clone(),
        false => across(picture, width, filter),
    };
    match height == picture.height {
        true => rows,
        false => across(&rows.turned(), height, filter).turned(),
    }
}

/// Every row made `width` long.
fn across(picture: &Picture, width: usize, filter: Filter) -> Picture {
    let taps = taps(picture.width, width, filter);
    let mut values = Vec::with_capacity(picture.values.len() / picture.width * width);
    for row in picture.values.chunks_exact(picture.width) {
        values.extend(taps.iter().map(|tap| tap.of(row)));
    }
    Picture { width, values, ..*picture }
}

/// The pixels that one pixel is made of.
struct Tap {
    first: usize,
    weights: Vec<i64>,
}

impl Tap {
    fn of(&self, row: &[u8]) -> u8 {
        let pixels = &row[self.first..];
        let sum: i64 =
            self.weights.iter().zip(pixels).map(|(weight, pixel)| weight * i64::from(*pixel)).sum();
        let half = 1 << (PRECISION - 1);
        ((sum + half) >> PRECISION).clamp(0, 255) as u8
    }
}

fn taps(from: usize, to: usize, filter: Filter) -> Vec<Tap> {
    let scale = from as f64 / to as f64;
    let stretch = scale.max(1.0);
    let support = filter.support() * stretch;
    let tap = |at: usize| {
        let centre = (at as f64 + 0.5) * scale;
        // Casts cut towards zero, and what is below it to zero.
        let first = (centre - support + 0.5) as usize;
        let end = ((centre + support + 0.5) as usize).min(from);
        let inverse = 1.0 / stretch;
        let weights: Vec<f64> =
            (first..end).map(|x| filter.weight((x as f64 - centre + 0.5) * inverse)).collect();
        let sum: f64 = weights.iter().sum();
        let fixed = |weight: &f64| {
            let weight = if sum == 0.0 { *weight } else { weight / sum };
            let rounding = if weight < 0.0 { -0.5 } else { 0.5 };
            (rounding + weight * f64::from(1 << PRECISION)) as i64
        };
        Tap { first, weights: weights.iter().map(fixed).collect() }
    };
    (0..to).map(tap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grey(height: usize, width: usize, values: &[u8]) -> Picture {
        Picture { channels: 1, height, width, values: values.to_vec() }
    }

    #[test]
    fn bytes_are_those_of_pillow() {
        use sha2::{Digest, Sha256};
        let golden: serde_json::Value =
            serde_json::from_str(include_str!("../../../tests/golden/data.json")).unwrap();
        let byte = |at: u64| ((at * at * 31 + at * 7 + (at >> 3) * 13) % 256) as u8;
        let bytes: Vec<u8> = (0..23 * 17 * 3).map(byte).collect();
        let picture = Picture::interleaved(3, 23, 17, &bytes);
        for case in golden["resampled"].as_array().unwrap() {
            let filter = if case["filter"] == "bicubic" { Filter::Bicubic } else { Filter::Bilinear };
            let [height, width] = ["height", "width"].map(|key| case[key].as_u64().unwrap() as usize);
            let values = resample(&picture, height, width, filter).values;
            assert_eq!(serde_json::json!(values[..values.len().min(24)]), case["first"]);
            let sha256: String = Sha256::digest(&values).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(sha256, case["sha256"].as_str().unwrap(), "{height} x {width}, {filter:?}");
        }
    }

    #[test]
    fn a_shrunk_picture_averages_what_the_filter_covers() {
        // The centre lies between the middle two; weights are 1/8, 3/8, 3/8, 1/8.
        let half = resample(&grey(1, 4, &[0, 80, 160, 240]), 1, 1, Filter::Bilinear);
        assert_eq!(half.values, [120]);
    }

    #[test]
    fn an_even_picture_stays_even() {
        for filter in [Filter::Bilinear, Filter::Bicubic] {
            for (height, width) in [(1, 1), (3, 7), (20, 9)] {
                let resized = resample(&grey(5, 6, &[77; 30]), height, width, filter);
                assert_eq!(resized, grey(height, width, &vec![77; height * width]));
            }
        }
    }

    #[test]
    fn an_edge_may_overshoot_and_is_cut_to_bytes() {
        let edge = resample(&grey(1, 4, &[0, 0, 255, 255]), 1, 8, Filter::Bicubic);
        assert_eq!(edge.values, [0, 0, 0, 52, 203, 255, 255, 255]);
    }
}
