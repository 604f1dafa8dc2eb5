//! Elements that shrink over a training and then go (MaskSparsity), against PyTorch: `tests/golden/training.py`.

use tamis::pass::{Finding, Kept};

use crate::run::{Outcome, refused};
use crate::trained::{keys, open, shown};
use crate::training::{ALL, agree, bytes, golden, losses};

/// What goes in the golden values, in every layer.
const GONE: &str = "prune heads[1], neurons[0, 5, 17] of layers[*]";

fn over(flow: &str) -> String {
    format!("{GONE} over tune(calib, steps: 4, optimizer: sgd(0.005), {ALL}) with {{ flow: {flow} }}")
}

#[test]
fn what_goes_shrinks_as_by_pytorch() {
    let subject = open("vit-fashion");
    for penalty in ["l1", "group"] {
        let case = format!("shrunk by {penalty}");
        let outcome = subject.run(&over(&format!("mask_sparsity(0.02, penalty: {penalty})")));
        agree(&losses(&outcome), &case);
        let golden = golden(&case);
        for path in keys(&golden["weights"]) {
            let found: Vec<f64> = outcome.matrix(&path).into_iter().map(f64::from).collect();
            // A weight has moved by some thousandths of itself: 1e-5 is a hundredth of the way.
            shown(&found, &golden["weights"][&path], 1e-5, &path);
        }
        assert_eq!(outcome.matrix("layers[1].mlp.up").len(), 253 * 128);
        assert_eq!(outcome.matrix("layers[1].attention.output").len(), 128 * 96);
    }
}

/// The elements that stay of an axis.
fn stay(outcome: &Outcome, axis: &str) -> Vec<usize> {
    let kept = |finding: &Finding| match finding {
        Finding::Kept(Kept { stay, .. }) => Some(stay[axis].clone()),
        _ => None,
    };
    outcome.findings.iter().find_map(|finding| kept(finding)).expect("elements are chosen")
}

/// Without a penalty it is training, then pruning of the same elements, to the byte.
#[test]
fn a_penalty_of_nothing_is_training_and_pruning() {
    let subject = open("vit-fashion");
    let train = "steps: 3, optimizer: adamw(1e-3), batch: 16";
    let prune = "prune heads, neurons of layers[*] by random(seed: 3) keep 50%";
    let spread = subject.run(&format!("{prune} over tune(calib, {train}) with {{ flow: mask_sparsity(0) }}"));
    let apart = subject.run(&format!(
        "tune weights on calib for 3 steps with {{ optimizer: adamw(1e-3), batch: 16 }}\n{prune}"
    ));
    let axis = "layers[2].mlp.neurons";
    assert_eq!(stay(&spread, axis), stay(&apart, axis), "chance asks for no weights");
    assert!(bytes(&spread) == bytes(&apart));
}

/// What is chosen is chosen before the training, by the criterion.
#[test]
fn elements_are_chosen_before_they_shrink() {
    let subject = open("bert-eras");
    let prune = "prune neurons of layers[*] by magnitude keep 50%";
    let at_once = subject.run(prune);
    let spread = subject.run(&format!("{prune} over tune(calib, steps: 2, optimizer: sgd(0.1))"));
    for layer in 0..4 {
        let axis = format!("layers[{layer}].mlp.neurons");
        assert_eq!(stay(&at_once, &axis), stay(&spread, &axis));
    }
}

#[test]
fn threads_do_not_change_a_byte() {
    let subject = open("bert-eras");
    let step = "prune heads, neurons of layers[*] to 60% flops over tune(calib, steps: 3, batch: 8)
                  with { flow: mask_sparsity(1e-2, penalty: group) }";
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| bytes(&subject.run(step)))
    };
    assert!(with(1) == with(2));
}

#[test]
fn what_does_not_shrink_is_refused() {
    let subject = open("llama-sotu");
    let data = "data calib = text(\"calib.txt\")\n";
    let code = |step: &str| refused(&subject.model, &format!("{data}{step}")).code.name;
    let tune = "over tune(calib, epochs: 1)";
    assert_eq!(code(&format!("prune vocab[0..8] {tune}")), "conflicting-clauses");
    assert_eq!(code("prune neurons of layers[*] keep 50% over tune(calib)"), "missing-argument");
    assert_eq!(code("prune neurons of layers[*] keep 50% with { flow: mask_sparsity }"), "missing-clause");
    let held = "over tune(calib, epochs: 1, held_out: calib)";
    assert_eq!(code(&format!("prune neurons of layers[*] keep 50% {held}")), "conflicting-clauses");
    let negative = "with { flow: mask_sparsity(-1) }";
    assert_eq!(code(&format!("prune neurons of layers[*] keep 50% {tune} {negative}")), "out-of-range");
    let other = "with { flow: gradual }";
    assert_eq!(code(&format!("prune neurons of layers[*] keep 50% {tune} {other}")), "unknown-word");
}
