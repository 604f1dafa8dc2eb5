//! The hot loops of the runtime, on plain slices.
//!
//! Products go through `gemm`. The rest is written so that compilers make vector code of it: no branches, no fused
//! multiply-add (which would round otherwise on another machine), sums in a fixed number of lanes. Work is cut by rows, never
//! by threads, so that no bit depends on how many there are.

pub mod activation;
pub mod attention;
pub mod dot;
pub mod exp;
pub mod integer;
pub mod norm;
pub mod product;
pub mod rope;
mod wide;

pub(crate) use wide::wide;

/// Rows that one thread takes at a time. Also the unit of sums over rows: fixed, so that their order is.
pub const ROWS: usize = 64;

/// Sums in lanes: the same order on every machine, and wide enough for any.
pub const LANES: usize = 16;

/// The sum of `f` over pairs, in `LANES` partial sums.
#[inline(always)]
pub(crate) fn lanes(left: &[f32], right: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (left_chunks, right_chunks) = (left.chunks_exact(LANES), right.chunks_exact(LANES));
    let rest = left_chunks.remainder().iter().zip(right_chunks.remainder());
    for (left, right) in left_chunks.zip(right_chunks) {
        for lane in 0..LANES {
            sums[lane] += f(left[lane], right[lane]);
        }
    }
    for (lane, (&left, &right)) in rest.enumerate() {
        sums[lane] += f(left, right);
    }
    // Halves onto halves, as a tree: less rounding than one after the other.
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0]
}
