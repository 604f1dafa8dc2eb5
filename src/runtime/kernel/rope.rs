//! Rotary positions: pairs of a head's dimensions turned by an angle that grows with the position.
//!
//! Dimension `i` is turned with `i + head_dim / 2`, the layout of Hugging Face checkpoints (RoFormer, arXiv:2104.09864).

use rayon::prelude::*;

use super::{ROWS, wide};
use crate::graph::Rope;

/// Cosines and sines, a row of `head_dim / 2` for each position.
#[derive(Debug, Clone)]
pub struct Turns {
    pub half: usize,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Turns {
    pub fn new(rope: &Rope, head_dim: usize, positions: usize) -> Self {
        let half = head_dim / 2;
        let frequencies: Vec<f64> = (0..half).map(|at| rope.speed(at, head_dim)).collect();
        let angles: Vec<f64> = (0..positions)
            .flat_map(|position| frequencies.iter().map(move |frequency| position as f64 * frequency))
            .collect();
        let of = |f: fn(f64) -> f64| angles.iter().map(|&angle| f(angle) as f32).collect();
        Self { half, cos: of(f64::cos), sin: of(f64::sin) }
    }

    pub fn positions(&self) -> usize {
        self.cos.len() / self.half.max(1)
    }
}

/// Turns every head of every row; `positions` says where each row stands. Backward is the turn the other way.
pub fn turn(turns: &Turns, back: bool, positions: &[usize], x: &[f32], y: &mut [f32]) {
    if positions.is_empty() {
        return;
    }
    let width = x.len() / positions.len();
    let piece = |((x, y), positions): ((&[f32], &mut [f32]), &[usize])| {
        rows(turns, back, positions, x, y);
    };
    x.par_chunks(ROWS * width)
        .zip(y.par_chunks_mut(ROWS * width))
        .zip(positions.par_chunks(ROWS))
        .for_each(piece);
}

wide! {
    fn rows(turns: &Turns, back: bool, positions: &[usize], x: &[f32], y: &mut [f32]) {
        let (width, half) = (x.len() / positions.len(), turns.half);
        let sign = if back { -1.0 } else { 1.0 };
        for ((x, y), position) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)).zip(positions) {
            let cos = &turns.cos[position * half..][..half];
            let sin = &turns.sin[position * half..][..half];
            for (x, y) in x.chunks_exact(2 * half).zip(y.chunks_exact_mut(2 * half)) {
                let (first, second) = x.split_at(half);
                let (left, right) = y.split_at_mut(half);
                for at in 0..half {
                    left[at] = first[at] * cos[at] - second[at] * (sign * sin[at]);
                    right[at] = second[at] * cos[at] + first[at] * (sign * sin[at]);
                }
            }
        }
    }
}
