//! `sparsify`, by hand.

use tamis::graph::Sparsity;
use tamis::tensor::DType;

use crate::model::{fused, linears, numbers, of_config};
use crate::run::{refused, run};

const TWO_ROWS: [f32; 8] = [9.0, -8.0, 7.0, 6.0, 1.0, 2.0, -3.0, 4.0];

#[test]
fn a_pattern_keeps_the_largest_of_each_group() {
    for dtype in [DType::F64, DType::F32, DType::F16, DType::Bf16] {
        let model = linears(dtype, &[("up", [2, 4], &TWO_ROWS)]);
        let done = run(&model, "sparsify weights by magnitude to 2:4");
        assert_eq!(done.matrix("up"), [9.0, -8.0, 0.0, 0.0, 0.0, 0.0, -3.0, 4.0]);
        assert_eq!(done.sparsity("up"), Some(Sparsity::Pattern { keep: 2, of: 4 }));
        assert_eq!(done.tensor("up.bias"), [1.0, 1.0]);
    }
}

#[test]
fn groups_run_along_the_inputs_of_a_fused_transposed_weight() {
    // 4 inputs down; query, key and value of 2 outputs along. Of query's first output the inputs are 1, 2, 3, 4.
    let mut stored: Vec<f32> = (0..24).map(|v| 10.0 + v as f32).collect();
    for (input, row) in stored.chunks_mut(6).enumerate() {
        (row[0], row[1]) = (1.0 + input as f32, 8.0 - input as f32);
    }
    let done = run(&fused(DType::F32, 4, 2, &stored), "sparsify weights of query to 2:4");
    assert_eq!(done.matrix("query"), [0.0, 0.0, 3.0, 4.0, 8.0, 7.0, 0.0, 0.0]);
    let after = done.tensor("qkv.weight");
    for (now, before) in after.chunks(6).zip(stored.chunks(6)) {
        assert_eq!(now[2..], before[2..], "key and value stay");
    }
}

#[test]
fn a_share_of_each_row_goes_as_in_wanda() {
    // The weights of the method card; of equal magnitudes the first goes.
    let weights = [4.0, 1.0, 0.0, -1.0, 0.5, 2.0, -3.0, 1.0];
    let model = linears(DType::F32, &[("up", [2, 4], &weights)]);
    let done = run(&model, "sparsify weights to 50% zeros with { scope: row }");
    assert_eq!(done.matrix("up"), [4.0, 0.0, 0.0, -1.0, 0.0, 2.0, -3.0, 0.0]);
    assert_eq!(done.sparsity("up"), Some(Sparsity::Zeros(4)));
}

#[test]
fn a_share_of_a_matrix_is_counted_to_the_weight() {
    let model = linears(DType::F32, &[("up", [2, 4], &TWO_ROWS)]);
    // 30 % of 8 are 2.4: the third makes it at least that share.
    let done = run(&model, "sparsify weights to 30% zeros");
    assert_eq!(done.matrix("up"), [9.0, -8.0, 7.0, 6.0, 0.0, 0.0, 0.0, 4.0]);
    let equal = linears(DType::F32, &[("up", [2, 2], &[1.0, -1.0, 1.0, 1.0])]);
    assert_eq!(run(&equal, "sparsify weights to 50% zeros").matrix("up"), [0.0, 0.0, 1.0, 1.0]);
}

#[test]
fn zeros_that_are_there_count() {
    let model = linears(DType::F32, &[("up", [2, 4], &TWO_ROWS)]);
    for criterion in ["magnitude", "random", "lamp"] {
        let done =
            run(&model, &format!("sparsify weights to 2:4\nsparsify weights by {criterion} to 50% zeros"));
        assert_eq!(done.matrix("up"), [9.0, -8.0, 0.0, 0.0, 0.0, 0.0, -3.0, 4.0]);
        let both = Sparsity::Both { keep: 2, of: 4, zeros: 4 };
        assert_eq!(done.sparsity("up"), Some(both), "more zeros keep it");
    }
}

#[test]
fn one_threshold_over_all_matrices_and_the_floor_of_global_mp() {
    // Layers of 1000, 100 and 10 weights, the later the smaller: 999 of 1110 go.
    let descending = |len: usize, top: f32| (0..len).map(|i| top - i as f32 * 1e-4).collect::<Vec<_>>();
    let (a, b, c) = (descending(1000, 3.0), descending(100, 2.0), descending(10, 1.0));
    let model = linears(DType::F32, &[("a", [25, 40], &a), ("b", [10, 10], &b), ("c", [5, 2], &c)]);
    let done = run(&model, "sparsify weights to 90% zeros with { scope: global }");
    assert_eq!(["a", "b", "c"].map(|path| done.zeros(path)), [889, 100, 10]);
    let warned: Vec<&str> = done.remarks.iter().map(|remark| remark.code.name).collect();
    assert_eq!(warned, ["layer-collapse"]);
    assert_eq!(done.remarks[0].message, "nothing is left of the weights of `b` and 1 more");
    // 0.2 % of 1110 are 2.22: two of each stay.
    let done = run(&model, "sparsify weights to 90% zeros with { scope: global, floor: 0.2% }");
    assert_eq!(["a", "b", "c"].map(|path| done.zeros(path)), [893, 98, 8]);
    assert_eq!(done.matrix("c")[..3], [1.0, 0.9999, 0.0]);
    assert_eq!(done.remarks, []);
    assert_eq!(done.sparsity("b"), Some(Sparsity::Zeros(98)));
}

#[test]
fn lamp_lets_matrices_of_any_scale_compete() {
    // Of the seven scores 1, .36, 4/29, 1/30 and 1, 4/13, 1/14 the three lowest go.
    let model =
        linears(DType::F32, &[("a", [1, 4], &[4.0, -3.0, 2.0, 1.0]), ("b", [1, 3], &[300.0, 200.0, -100.0])]);
    let lamp = run(&model, "sparsify weights by lamp to 42% zeros with { scope: global }");
    assert_eq!(lamp.matrix("a"), [4.0, -3.0, 0.0, 0.0]);
    assert_eq!(lamp.matrix("b"), [300.0, 200.0, 0.0]);
    let magnitude = run(&model, "sparsify weights to 42% zeros with { scope: global }");
    assert_eq!(magnitude.zeros("a"), 3);
}

#[test]
fn matrices_compete_within_their_kind() {
    let small = [1.0, 2.0, 3.0, 4.0];
    let large = [10.0, 20.0, 30.0, 40.0];
    let model = linears(
        DType::F32,
        &[
            ("attention.query", [1, 4], &small),
            ("attention.value", [1, 4], &large),
            ("attention.output", [1, 4], &small),
            ("mlp.up", [1, 4], &large),
            ("mlp.down", [1, 4], &large),
        ],
    );
    let done = run(&model, "sparsify weights to 50% zeros with { scope: group }");
    let paths = ["attention.query", "attention.value", "attention.output", "mlp.up", "mlp.down"];
    assert_eq!(paths.map(|path| done.zeros(path)), [4, 0, 2, 2, 2]);
}

#[test]
fn blocks_go_as_one() {
    // Energies of the 2 x 2 blocks: 1 + 1, 4 + 9 + 1, 25, 1 + 4 + 1.
    let weights = [1.0, 0.0, 2.0, 3.0, 0.0, 1.0, 0.0, 1.0, 5.0, 0.0, 1.0, 2.0, 0.0, 0.0, 0.0, 1.0];
    let model = linears(DType::Bf16, &[("up", [4, 4], &weights)]);
    let done = run(&model, "sparsify weights to 50% zeros with { block: 2 }");
    let expected = [0.0, 0.0, 2.0, 3.0, 0.0, 0.0, 0.0, 1.0, 5.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    assert_eq!(done.matrix("up"), expected);
    assert_eq!(done.sparsity("up"), Some(Sparsity::Zeros(8)));
    let rows = run(&model, "sparsify weights to 50% zeros with { block: 2, scope: row }");
    assert_eq!(rows.matrix("up"), expected);
}

#[test]
fn chance_follows_its_seed_alone() {
    let weights = numbers(4096, 1);
    let model = linears(DType::F32, &[("a", [64, 64], &weights), ("b", [64, 64], &weights)]);
    let by_seed = |seed: u64| run(&model, &format!("sparsify weights by random(seed: {seed}) to 50% zeros"));
    let first = by_seed(1);
    assert_eq!(first.matrix("a"), by_seed(1).matrix("a"));
    assert_ne!(first.matrix("a"), by_seed(2).matrix("a"));
    assert_ne!(first.matrix("a"), first.matrix("b"), "places have streams of their own");
    assert_eq!(first.zeros("a"), 2048);
}

#[test]
fn the_same_chance_in_every_layout() {
    // Key of a fused weight, stored inputs first, against the same matrix stored by rows.
    let stored = numbers(8 * 12, 5);
    let layers = fused(DType::F32, 8, 4, &stored);
    let matrix = run(&layers, "sparsify weights of key by random to 0% zeros").matrix("key");
    let plain = linears(DType::F32, &[("key", [4, 8], &matrix)]);
    for amount in ["2:4", "40% zeros", "40% zeros with { scope: row }", "50% zeros with { block: 2 }"] {
        for criterion in ["random(seed: 3)", "magnitude", "lamp"] {
            let step = format!("sparsify weights of key by {criterion} to {amount}");
            assert_eq!(run(&layers, &step).matrix("key"), run(&plain, &step).matrix("key"), "{step}");
        }
    }
}

#[test]
fn only_what_is_selected_changes() {
    let model = of_config(crate::model::BERT, &[]);
    let before = run(&model, "");
    let steps = "sparsify weights of layers[0].mlp.down to 1:3\n\
                 sparsify weights of layers[1].attention.query to 2:4";
    let done = run(&model, steps);
    for name in before.names() {
        let changes = ["encoder.layer.0.output.dense.weight", "encoder.layer.1.attention.self.query.weight"]
            .iter()
            .any(|end| name.ends_with(end));
        assert_eq!(done.bytes(&name) != before.bytes(&name), changes, "{name}");
    }
}

#[test]
fn a_pattern_that_does_not_divide_is_refused_with_a_way_out() {
    let model = of_config(crate::model::LLAMA, &[]);
    let wrong = refused(&model, "sparsify weights of layers[*].mlp to 2:4");
    assert_eq!(wrong.code.name, "pattern-does-not-divide");
    let message = "4 does not divide the 3 inputs of `layers[0].mlp.down`, nor those of 1 other weight";
    assert_eq!(wrong.message, message);
    assert_eq!(wrong.help.as_deref(), Some("leave them out with `except layers[*].mlp.down`"));
    run(&model, "sparsify weights of layers[*].mlp except layers[*].mlp.down to 2:4");
}

#[test]
fn densify_lets_a_pattern_go() {
    let model = of_config(crate::model::LLAMA, &[]);
    let step = "sparsify weights of layers[*].attention to 2:4";
    let wrong = refused(&model, &format!("{step}\nprune hidden keep 3"));
    assert_eq!(wrong.code.name, "undoes-step");
    let done = run(&model, &format!("{step}\ndensify weights of layers[*].attention\nprune hidden keep 3"));
    assert_eq!(done.sparsity("layers[0].attention.query"), None);
    let idle = run(&model, "densify weights of layers[*].attention");
    assert_eq!(idle.notes(), ["no-effect"]);
}

#[test]
fn weights_that_are_no_numbers_have_no_rank() {
    let weights = [1.0, f32::NAN, 2.0, f32::NEG_INFINITY];
    let model = linears(DType::F32, &[("up", [1, 4], &weights)]);
    let done = run(&model, "sparsify weights to 2:4");
    let param = done.version.graph.param_named("up.weight").expect("it is there");
    let wrong = done.version.values(param).expect_err("a NaN is not compared");
    assert_eq!(wrong.code.name, "weights-not-finite");
    assert_eq!(wrong.message, "2 values of `up` are not finite: NaN or infinite");
}
