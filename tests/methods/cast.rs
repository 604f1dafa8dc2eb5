//! `cast`: which tensors, and what becomes of their values.

use tamis::graph::Graph;
use tamis::tensor::DType;

use crate::model::{BERT, LLAMA, fused, linears, numbers, of_config};
use crate::run::{refused, run};

fn types(graph: &Graph) -> Vec<(String, DType)> {
    graph.params.iter().map(|(_, param)| (param.name.resolve(), param.dtype)).collect()
}

#[test]
fn without_a_place_every_tensor_is_cast() {
    let done = run(&of_config(BERT, &[]), "cast weights to bf16");
    let types = types(&done.version.graph);
    assert!(types.len() > 20);
    assert!(types.iter().all(|(_, dtype)| *dtype == DType::Bf16));
}

#[test]
fn with_a_place_its_matrices_and_their_biases_are() {
    let done = run(&of_config(BERT, &[]), "cast weights of layers[1].mlp to f16");
    for (name, dtype) in types(&done.version.graph) {
        let meant =
            ["layer.1.intermediate.dense.", "layer.1.output.dense."].iter().any(|part| name.contains(part));
        assert_eq!(dtype == DType::F16, meant, "{name}");
    }
}

#[test]
fn values_are_rounded_once() {
    // Half way between 1 and the next number of bf16, and just above.
    let model = linears(DType::F64, &[("up", [1, 2], &[1.0 + 0.003_906_25, 1.003_906_4])]);
    assert_eq!(run(&model, "cast weights to bf16").matrix("up"), [1.0, 1.007_812_5]);
    let same = run(&linears(DType::F32, &[("up", [1, 2], &[1.5, -0.0])]), "cast weights to f32");
    assert_eq!(same.notes(), ["no-effect"]);
    assert_eq!(same.matrix("up")[1].to_bits(), (-0.0_f32).to_bits());
}

#[test]
fn what_is_too_large_is_an_error() {
    let model = linears(DType::F32, &[("up", [1, 2], &[70_000.0, 1.0])]);
    let done = run(&model, "cast weights to f16");
    let param = done.version.graph.param_named("up.weight").expect("it is there");
    let wrong = done.version.values(param).expect_err("65504 is the largest");
    assert_eq!(wrong.code.name, "cast-overflows");
    assert_eq!(run(&model, "cast weights to bf16").matrix("up"), [70_144.0, 1.0]);
}

#[test]
fn a_fused_tensor_is_cast_as_a_whole_and_the_step_says_so() {
    let model = fused(DType::F32, 4, 2, &numbers(24, 1));
    let done = run(&model, "cast weights of key to bf16");
    assert_eq!(done.notes(), ["shared-tensor"]);
    assert_eq!(done.notes[0].message, "`qkv.weight` is cast as a whole, `query` and `value` with it");
}

#[test]
fn only_float_types_are_known() {
    let wrong = refused(&of_config(LLAMA, &[]), "cast weights to f8");
    assert_eq!(wrong.code.name, "unknown-word");
}
