//! N:M by magnitude on one thread, as a ratio to copying the same bytes in the same run.

use std::hint::black_box;
use std::time::Instant;

use tamis::tensor::pattern::{Pattern, count_violations, zero_pattern_magnitude};
use tamis::tensor::{DType, MatrixView};

const BYTES: usize = 128 << 20;
const ROUNDS: usize = 7;

fn main() {
    let source = random_bytes();
    let mut target = vec![0; BYTES];
    let copy = best(|| target.copy_from_slice(black_box(&source)));
    println!("{:<28}{:>7.2} GB/s", "copy", rate(copy));
    for (dtype, keep, of, transposed) in CASES {
        let pattern = Pattern::new(keep, of).expect("the cases are patterns");
        let (out, inputs) = (4096, BYTES / dtype.size() / 4096);
        let view =
            if transposed { MatrixView::transposed(out, inputs) } else { MatrixView::rows(out, inputs) };
        target.copy_from_slice(&source);
        let time = best(|| {
            zero_pattern_magnitude(dtype, black_box(&mut target), &view, pattern).expect("the view fits");
        });
        let name = format!("{dtype} {pattern}{}", if transposed { " transposed" } else { "" });
        println!("{name:<28}{:>7.2} GB/s, {:.2} x the copy", rate(time), time / copy);
        let time = best(|| {
            let found = count_violations(dtype, black_box(&target), &view, pattern).expect("the view fits");
            assert_eq!(found, 0);
        });
        println!("{:<28}{:>7.2} GB/s, {:.2} x the copy", "  checked", rate(time), time / copy);
    }
}

const CASES: [(DType, usize, usize, bool); 10] = [
    (DType::Bf16, 2, 4, false),
    (DType::F16, 2, 4, false),
    (DType::Bf16, 4, 8, false),
    (DType::Bf16, 1, 16, false),
    (DType::Bf16, 32, 64, false),
    (DType::F32, 2, 4, false),
    (DType::F32, 4, 8, false),
    (DType::F64, 2, 4, false),
    (DType::Bf16, 2, 4, true),
    (DType::F32, 2, 4, true),
];

/// Bytes without structure that a branch predictor could learn. The work does not depend on values.
fn random_bytes() -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..BYTES).map(|_| next()).collect()
}

fn best(mut work: impl FnMut()) -> f64 {
    let mut time = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        work();
        time = time.min(start.elapsed().as_secs_f64());
    }
    time
}

fn rate(seconds: f64) -> f64 {
    BYTES as f64 / seconds / 1e9
}
