//! What holds for any weights.

use proptest::prelude::*;
use rayon::ThreadPoolBuilder;
use tamis::tensor::DType;

use crate::model::{linears, numbers};
use crate::run::run;

/// Every way to make zeros, and how many of 6 x 8 and of 4 x 12 weights they take.
const STEPS: &[(&str, [usize; 2])] = &[
    ("to 2:4", [24, 24]),
    ("to 1:4", [36, 36]),
    ("to 40% zeros", [20, 20]),
    ("to 40% zeros with { scope: row }", [24, 20]),
    ("to 50% zeros with { block: 2 }", [24, 24]),
    ("to 75% zeros with { block: 2, scope: row }", [36, 40]),
];

fn criteria() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["magnitude", "lamp", "random(seed: 5)"])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn counts_are_exact_and_what_stays_is_untouched(seed in 1..10_000_u32, by in criteria()) {
        let (a, b) = (numbers(48, seed), numbers(48, seed + 1));
        let model = linears(DType::F32, &[("a", [6, 8], &a), ("b", [4, 12], &b)]);
        for (amount, counts) in STEPS {
            let done = run(&model, &format!("sparsify weights by {by} {amount}"));
            prop_assert_eq!([done.zeros("a"), done.zeros("b")], *counts, "{}", amount);
            for (now, before) in done.matrix("a").iter().zip(&a) {
                prop_assert!(now.to_bits() == before.to_bits() || now.to_bits() == 0);
            }
        }
        let global = run(&model, &format!("sparsify weights by {by} to 70% zeros with {{ scope: global }}"));
        prop_assert_eq!(global.zeros("a") + global.zeros("b"), 68);
    }

    #[test]
    fn outputs_in_another_order_lose_the_same_weights(seed in 1..10_000_u32) {
        let weights = numbers(48, seed);
        let turned: Vec<f32> = weights.chunks(8).rev().flatten().copied().collect();
        let model = |weights: &[f32]| linears(DType::F32, &[("a", [6, 8], weights)]);
        for (amount, _) in STEPS {
            for by in ["magnitude", "lamp"] {
                let step = format!("sparsify weights by {by} {amount}");
                let (one, other) = (run(&model(&weights), &step), run(&model(&turned), &step));
                let back: Vec<f32> = other.matrix("a").chunks(8).rev().flatten().copied().collect();
                prop_assert_eq!(one.matrix("a"), back, "{}", step);
            }
        }
    }

    #[test]
    fn scale_matters_to_magnitude_across_matrices_and_never_to_lamp(seed in 1..10_000_u32) {
        let (a, b) = (numbers(48, seed), numbers(48, seed + 1));
        let zeros_at = |scales: [f32; 2], by: &str| {
            let scaled = [(&a, scales[0]), (&b, scales[1])].map(|(m, by)| m.iter().map(|v| v * by).collect::<Vec<_>>());
            let model = linears(DType::F32, &[("a", [6, 8], &scaled[0]), ("b", [4, 12], &scaled[1])]);
            let done = run(&model, &format!("sparsify weights by {by} to 50% zeros with {{ scope: global }}"));
            ["a", "b"].map(|path| done.matrix(path).iter().map(|value| *value == 0.0).collect::<Vec<_>>())
        };
        prop_assert_eq!(zeros_at([1.0, 1.0], "magnitude"), zeros_at([4.0, 4.0], "magnitude"));
        prop_assert_ne!(zeros_at([1.0, 1.0], "magnitude"), zeros_at([1.0, 16.0], "magnitude"));
        prop_assert_eq!(zeros_at([1.0, 1.0], "lamp"), zeros_at([1.0, -16.0], "lamp"));
    }
}

#[test]
fn nothing_asked_changes_nothing() {
    let weights = numbers(48, 3);
    let model = linears(DType::Bf16, &[("a", [6, 8], &weights)]);
    let before = run(&model, "").bytes("a.weight");
    for options in ["", "with { scope: row }", "with { scope: global }", "with { block: 2 }"] {
        let done = run(&model, &format!("sparsify weights to 0% zeros {options}"));
        assert_eq!(done.bytes("a.weight"), before);
        assert_eq!(done.notes(), ["no-effect"]);
    }
    let all = run(&model, "sparsify weights to 100% zeros");
    assert_eq!(all.zeros("a"), 48);
    assert_eq!(all.notes(), ["layer-collapse"]);
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    // Large enough for several pieces and blocks.
    let weights = numbers(1500 * 1024, 11);
    let model = linears(DType::F32, &[("a", [1500, 1024], &weights), ("b", [1024, 1500], &weights)]);
    let steps = "sparsify weights of a to 2:4\nsparsify weights to 60% zeros with { scope: global }\n\
                 sparsify weights of b by random to 70% zeros\ncast weights to bf16";
    let at = |threads: usize| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| {
            let done = run(&model, steps);
            [done.bytes("a.weight"), done.bytes("b.weight")]
        })
    };
    assert!(at(1) == at(4));
}
