//! `factorize`, by hand and by what the SVD promises.

use tamis::graph::{Graph, Weight};
use tamis::tensor::{DType, svd};

use crate::model::{LLAMA, fused, linears, numbers, of_config};
use crate::run::{Outcome, refused, run};

/// A diagonal matrix.
fn diagonal(size: usize, entries: &[f32]) -> Vec<f32> {
    let mut values = vec![0.0; size * size];
    entries.iter().enumerate().for_each(|(at, entry)| values[at * (size + 1)] = *entry);
    values
}

fn rank(done: &Outcome, path: &str) -> Option<usize> {
    let graph: &Graph = &done.version.graph;
    match &graph.sites[graph.places().site(path).expect("a site")].weight {
        Weight::Dense(_) => None,
        Weight::Factored { right, .. } => graph.shape(&graph.params[right.param]).first().copied(),
    }
}

fn near(found: &[f32], expected: &[f32]) -> bool {
    found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5)
}

#[test]
fn the_largest_singular_values_stay() {
    let model = linears(DType::F32, &[("up", [4, 4], &diagonal(4, &[1.0, 4.0, -9.0, 2.0]))]);
    let done = run(&model, "factorize weights to rank(1)");
    assert!(near(&done.matrix("up"), &diagonal(4, &[0.0, 0.0, -9.0, 0.0])));
    assert_eq!(done.tensor("up.weight_left").len() + done.tensor("up.weight_right").len(), 8);
    assert_eq!(done.tensor("up.bias"), [1.0; 4], "a bias stays with the outer factor");
    // The roots of the singular values stand on both sides, and the left one is positive.
    assert!(near(&done.tensor("up.weight_left"), &[0.0, 0.0, 3.0, 0.0]));
    assert!(near(&done.tensor("up.weight_right"), &[0.0, 0.0, -3.0, 0.0]));
}

#[test]
fn energy_is_the_sum_of_squares() {
    // Squares 81, 16, 2, 1 of 100 in all.
    let entries = [9.0, 4.0, 2.0_f32.sqrt(), 1.0];
    let model = linears(DType::F64, &[("up", [8, 8], &diagonal(8, &entries))]);
    for (share, expected) in [(81, Some(1)), (82, Some(2)), (97, Some(2)), (98, Some(3)), (100, None)] {
        let done = run(&model, &format!("factorize weights to {share}% energy"));
        assert_eq!(rank(&done, "up"), expected, "{share} %");
    }
}

#[test]
fn what_is_lost_is_what_was_cut() {
    let weights = numbers(12 * 20, 4);
    let model = linears(DType::F32, &[("up", [12, 20], &weights)]);
    let sigma = svd::singular_values(&weights, 12, 20).expect("an svd");
    for kept in [1, 3, 7] {
        let done = run(&model, &format!("factorize weights by svd to rank({kept})"));
        let lost: f64 = done.matrix("up").iter().zip(&weights).map(|(a, b)| f64::from(a - b).powi(2)).sum();
        let cut: f64 = sigma[kept..].iter().map(|value| value * value).sum();
        assert!((lost - cut).abs() < 1e-4 * cut, "rank {kept}: {lost} and {cut}");
    }
}

#[test]
fn only_where_it_saves() {
    let (wide, small) = (numbers(16 * 16, 1), numbers(4 * 4, 2));
    let model = linears(DType::F32, &[("wide", [16, 16], &wide), ("small", [4, 4], &small)]);
    // 7 x 32 < 256, but 7 x 8 > 16.
    let done = run(&model, "factorize weights to rank(7)");
    assert_eq!((rank(&done, "wide"), rank(&done, "small")), (Some(7), None));
    assert_eq!(done.notes(), ["stays-dense"]);
    assert_eq!(done.notes[0].message, "`small` stays dense: factors save below rank 2");
    assert_eq!(done.matrix("small"), small);
    // 8 x 32 = 256 is no saving.
    let none = run(&model, "factorize weights to rank(8)");
    assert_eq!(none.notes(), ["no-effect"]);
    assert_eq!(none.matrix("wide"), wide);
}

#[test]
fn a_budget_is_met_and_used() {
    let sizes = [("head_dim", 2, 16), ("hidden_size", 4, 64), ("intermediate_size", 3, 96)];
    let wide = sizes.iter().fold(LLAMA.to_string(), |config, (key, small, large)| {
        config.replace(&format!("\"{key}\": {small}"), &format!("\"{key}\": {large}"))
    });
    let model = of_config(&wide, &[]);
    let before = model.graph.cost(1);
    for (amount, share) in [("70% params", 0.7), ("80% flops", 0.8), ("75% bytes", 0.75)] {
        let done =
            run(&model, &format!("measure at {{ tokens: 8 }}\nfactorize weights of layers[*] to {amount}"));
        let after = done.version.graph.cost(1);
        let (now, all) = match amount.split_once(' ').expect("a unit").1 {
            "params" => (after.params.max, before.params.max),
            "flops" => (after.flops().max, before.flops().max),
            _ => (after.bytes.max, before.bytes.max),
        };
        let reached = now as f64 / all as f64;
        assert!(reached <= share && reached > share - 0.04, "{amount}: {reached}");
    }
    let wrong = refused(&model, "factorize weights of layers[*].mlp to 5% params");
    assert_eq!(wrong.code.name, "unreachable-budget");
}

#[test]
fn a_transposed_weight_is_turned_and_a_part_of_one_is_refused() {
    let model = fused(DType::F32, 8, 8, &numbers(8 * 24, 1));
    let wrong = refused(&model, "factorize weights of key to rank(1)");
    assert_eq!(wrong.code.name, "cannot-factor");
    assert_eq!(wrong.message, "`key` cannot be factored: it is a part of the fused tensor `qkv.weight`");
}

#[test]
fn factors_are_not_masked() {
    let model = linears(DType::F32, &[("up", [8, 8], &numbers(64, 1)), ("down", [8, 8], &numbers(64, 2))]);
    let done = run(&model, "sparsify weights of up to 50% zeros\nfactorize weights of up to rank(2)");
    assert_eq!(rank(&done, "up"), Some(2));
    let wrong = refused(&model, "factorize weights of up to rank(2)\nsparsify weights of up to 2:4");
    assert_eq!(wrong.code.name, "factored");
}

#[test]
fn factors_have_the_type_of_the_weight() {
    let model = linears(DType::Bf16, &[("up", [8, 8], &numbers(64, 1))]);
    let done = run(&model, "factorize weights to rank(2)\ncast weights to f32");
    let (left, bits) = (done.bytes("up.weight_left"), 16);
    assert!(left.chunks(4).all(|value| value[..2] == [0, 0]), "rounded to bf16, {bits} bits, before");
}
