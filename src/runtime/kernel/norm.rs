//! Layer norm and RMS norm over the last dimension, forward and backward.

use rayon::prelude::*;

use super::{ROWS, lanes, wide};

/// Which norm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Norm {
    /// Whether the mean is taken off first.
    pub centred: bool,
    /// Added to the variance (of RMS norms: to the mean square).
    pub eps: f32,
}

/// `y = (x - mean) / sqrt(var + eps) * weight + bias`, row by row; without centring the mean is 0 and there is no bias.
pub fn forward(norm: Norm, x: &[f32], weight: &[f32], bias: Option<&[f32]>, y: &mut [f32]) {
    let width = weight.len();
    let piece = |(x, y): (&[f32], &mut [f32])| rows(norm, x, weight, bias, y);
    x.par_chunks(ROWS * width).zip(y.par_chunks_mut(ROWS * width)).for_each(piece);
}

wide! {
    fn rows(norm: Norm, x: &[f32], weight: &[f32], bias: Option<&[f32]>, y: &mut [f32]) {
        let width = weight.len();
        for (x, y) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)) {
            let (mean, scale) = moments(norm, x);
            match bias {
                Some(bias) => {
                    for (((y, x), weight), bias) in y.iter_mut().zip(x).zip(weight).zip(bias) {
                        *y = (x - mean) * scale * weight + bias;
                    }
                }
                None => {
                    for ((y, x), weight) in y.iter_mut().zip(x).zip(weight) {
                        *y = (x - mean) * scale * weight;
                    }
                }
            }
        }
    }
}

/// The mean, and one over the deviation.
#[inline(always)]
fn moments(norm: Norm, x: &[f32]) -> (f32, f32) {
    let count = x.len() as f32;
    let mean = if norm.centred { lanes(x, x, |x, _| x) / count } else { 0.0 };
    let square = lanes(x, x, |x, _| (x - mean) * (x - mean)) / count;
    (mean, 1.0 / (square + norm.eps).sqrt())
}

/// Gradients of a norm.
pub struct Gradients {
    pub x: Vec<f32>,
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
}

pub fn backward(norm: Norm, x: &[f32], weight: &[f32], dy: &[f32]) -> Gradients {
    let width = weight.len();
    let mut dx = vec![0.0; x.len()];
    let pieces = x.par_chunks(ROWS * width).zip(dy.par_chunks(ROWS * width));
    let piece = |((x, dy), dx): ((&[f32], &[f32]), &mut [f32])| {
        let (mut of_weight, mut of_bias) = (vec![0.0; width], vec![0.0; width]);
        rows_back(norm, x, weight, dy, dx, (&mut of_weight, &mut of_bias));
        (of_weight, of_bias)
    };
    let sums: Vec<_> = pieces.zip(dx.par_chunks_mut(ROWS * width)).map(piece).collect();
    let (mut of_weight, mut of_bias) = (vec![0.0; width], vec![0.0; width]);
    for (weights, biases) in sums {
        of_weight.iter_mut().zip(weights).for_each(|(sum, it)| *sum += it);
        of_bias.iter_mut().zip(biases).for_each(|(sum, it)| *sum += it);
    }
    Gradients { x: dx, weight: of_weight, bias: of_bias }
}

wide! {
    fn rows_back(
        norm: Norm,
        x: &[f32],
        weight: &[f32],
        dy: &[f32],
        dx: &mut [f32],
        sums: (&mut [f32], &mut [f32]),
    ) {
        let width = weight.len();
        let rows = x.chunks_exact(width).zip(dy.chunks_exact(width)).zip(dx.chunks_exact_mut(width));
        let mut centred = vec![0.0; width];
        let mut scaled = vec![0.0; width];
        for ((x, dy), dx) in rows {
            let (mean, scale) = moments(norm, x);
            for at in 0..width {
                centred[at] = (x[at] - mean) * scale;
                scaled[at] = dy[at] * weight[at];
                sums.0[at] += dy[at] * centred[at];
                sums.1[at] += dy[at];
            }
            let count = width as f32;
            let along = lanes(&scaled, &centred, |a, b| a * b) / count;
            let shift = if norm.centred { lanes(&scaled, &scaled, |a, _| a) / count } else { 0.0 };
            for at in 0..width {
                dx[at] = (scaled[at] - shift - centred[at] * along) * scale;
            }
        }
    }
}
