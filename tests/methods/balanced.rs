//! Training that makes the load of experts even, against PyTorch: `tests/golden/training.py`. Null rows begin at 0 there and here,
//! so that both have the same.

use crate::run::refused;
use crate::trained::open;
use crate::training::{ALL, agree, losses};

fn step(options: &str) -> String {
    format!("tune weights on calib for 4 steps with {{ optimizer: sgd(0.1), {ALL}{options} }}")
}

#[test]
fn the_load_of_experts_is_balanced_as_by_pytorch() {
    agree(&losses(&open("mixtral-sotu").run(&step(", balance: 0.5"))), "balanced");
}

#[test]
fn null_experts_count_with_their_mean_as_in_pytorch() {
    let insert = "insert null_experts of layers[*] into 8 with { top_k: 3, spread: 0 }";
    let steps = format!("{insert}\n{}", step(", balance: 0.5"));
    agree(&losses(&open("mixtral-sotu").run(&steps)), "balanced with nulls");
}

#[test]
fn a_term_that_counts_nothing_changes_nothing() {
    let subject = open("mixtral-sotu");
    assert_eq!(losses(&subject.run(&step(", balance: 0"))), losses(&subject.run(&step(""))));
}

#[test]
fn a_model_without_a_router_has_no_load() {
    let subject = open("llama-sotu");
    let data = "data calib = text(\"calib.txt\")\n";
    let code = |step: &str| refused(&subject.model, &format!("{data}{step}")).code.name;
    assert_eq!(code("tune weights on calib for 1 epochs with { balance: 0.1 }"), "not-in-model");
    assert_eq!(code("distill weights from input on calib for 1 epochs with { balance: 1 }"), "not-in-model");
}
