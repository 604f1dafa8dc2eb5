//! Activations and their derivatives.

use rayon::prelude::*;

use super::exp::{erf, exp, sigmoid, tanh};
use super::wide;
use crate::graph::Activation;

/// Values that one thread takes at a time.
const PIECE: usize = 1 << 14;

/// `y = f(x)`.
pub fn forward(of: Activation, x: &[f32], y: &mut [f32]) {
    let piece = |(x, y): (&[f32], &mut [f32])| match of {
        Activation::Relu => relu(x, y),
        Activation::Gelu => gelu(x, y),
        Activation::GeluTanh => gelu_tanh(x, y),
        Activation::Silu => silu(x, y),
        Activation::Tanh => tanhs(x, y),
        Activation::Sigmoid => sigmoids(x, y),
    };
    x.par_chunks(PIECE).zip(y.par_chunks_mut(PIECE)).for_each(piece);
}

/// `dx = dy f'(x)`.
pub fn backward(of: Activation, x: &[f32], dy: &[f32], dx: &mut [f32]) {
    let piece = |((x, dy), dx): ((&[f32], &[f32]), &mut [f32])| match of {
        Activation::Relu => relu_back(x, dy, dx),
        Activation::Gelu => gelu_back(x, dy, dx),
        Activation::GeluTanh => gelu_tanh_back(x, dy, dx),
        Activation::Silu => silu_back(x, dy, dx),
        Activation::Tanh => tanh_back(x, dy, dx),
        Activation::Sigmoid => sigmoid_back(x, dy, dx),
    };
    x.par_chunks(PIECE).zip(dy.par_chunks(PIECE)).zip(dx.par_chunks_mut(PIECE)).for_each(piece);
}

#[inline(always)]
fn map(x: &[f32], y: &mut [f32], f: impl Fn(f32) -> f32) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y = f(*x));
}

#[inline(always)]
fn map_back(x: &[f32], dy: &[f32], dx: &mut [f32], slope: impl Fn(f32) -> f32) {
    dx.iter_mut().zip(x).zip(dy).for_each(|((dx, x), dy)| *dx = dy * slope(*x));
}

const INV_SQRT_2: f32 = std::f32::consts::FRAC_1_SQRT_2;
/// `1 / sqrt(2 pi)`
const DENSITY: f32 = 0.398_942_3;
/// `sqrt(2 / pi)`
const OUTER: f32 = 0.797_884_6;
const CUBIC: f32 = 0.044_715;

wide! { fn relu(x: &[f32], y: &mut [f32]) { map(x, y, |x| x.max(0.0)); } }
wide! { fn gelu(x: &[f32], y: &mut [f32]) { map(x, y, |x| 0.5 * x * (1.0 + erf(x * INV_SQRT_2))); } }
wide! {
    fn gelu_tanh(x: &[f32], y: &mut [f32]) {
        map(x, y, |x| 0.5 * x * (1.0 + tanh(OUTER * (x + CUBIC * x * x * x))));
    }
}
wide! { fn silu(x: &[f32], y: &mut [f32]) { map(x, y, |x| x * sigmoid(x)); } }
wide! { fn tanhs(x: &[f32], y: &mut [f32]) { map(x, y, tanh); } }
wide! { fn sigmoids(x: &[f32], y: &mut [f32]) { map(x, y, sigmoid); } }

// The slope of relu at 0 is 0, as in PyTorch.
wide! {
    fn relu_back(x: &[f32], dy: &[f32], dx: &mut [f32]) {
        map_back(x, dy, dx, |x| if x > 0.0 { 1.0 } else { 0.0 });
    }
}
wide! {
    fn gelu_back(x: &[f32], dy: &[f32], dx: &mut [f32]) {
        map_back(x, dy, dx, |x| 0.5 * (1.0 + erf(x * INV_SQRT_2)) + x * DENSITY * exp(-0.5 * x * x));
    }
}
wide! {
    fn gelu_tanh_back(x: &[f32], dy: &[f32], dx: &mut [f32]) {
        map_back(x, dy, dx, |x| {
            let t = tanh(OUTER * (x + CUBIC * x * x * x));
            0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * OUTER * (1.0 + 3.0 * CUBIC * x * x)
        });
    }
}
wide! {
    fn silu_back(x: &[f32], dy: &[f32], dx: &mut [f32]) {
        map_back(x, dy, dx, |x| {
            let s = sigmoid(x);
            s * (1.0 + x * (1.0 - s))
        });
    }
}
wide! {
    fn tanh_back(x: &[f32], dy: &[f32], dx: &mut [f32]) {
        map_back(x, dy, dx, |x| {
            let t = tanh(x);
            1.0 - t * t
        });
    }
}
wide! {
    fn sigmoid_back(x: &[f32], dy: &[f32], dx: &mut [f32]) {
        map_back(x, dy, dx, |x| {
            let s = sigmoid(x);
            s * (1.0 - s)
        });
    }
}
