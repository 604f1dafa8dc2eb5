//! Training on trained models, against PyTorch's own optimizers in float64: `tests/golden/training.json`, made by `training.py` beside
//! it. Ours computes in f32: losses agree to 1e-4 of themselves, over the steps that there are.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use serde_json::Value as Json;
use tamis::pass::{Context, Finding, Progress, Training};

use crate::run::{Outcome, refused};
use crate::trained::{Trained, floats, keys, open, shown};

pub fn golden(case: &str) -> Json {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/training.json");
    let all: Json = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    all[case].clone()
}

/// What is told of the last training.
pub fn training(outcome: &Outcome) -> Training {
    let of = |finding: &Finding| match finding {
        Finding::Trained { training, .. } => Some((**training).clone()),
        _ => None,
    };
    outcome.findings.iter().rev().find_map(|finding| of(finding)).expect("a step trains")
}

pub fn losses(outcome: &Outcome) -> Vec<f64> {
    training(outcome).curve.iter().map(|point| point.loss).collect()
}

pub fn agree(found: &[f64], case: &str) {
    let golden = floats(&golden(case)["losses"]);
    assert_eq!(found.len(), golden.len(), "{case}");
    for (step, (found, golden)) in found.iter().zip(&golden).enumerate() {
        let error = (found - golden).abs() / golden.abs();
        assert!(error < 1e-4, "{case}, step {step}: {found}, PyTorch has {golden}");
    }
}

/// Every sample in every step.
pub const ALL: &str = "schedule: constant, warmup: 0, batch: 32, clip: 0";

#[test]
fn a_classifier_is_tuned_as_by_pytorch() {
    let step = format!(
        "tune weights on calib for 4 steps with {{ optimizer: sgd(0.001, momentum: 0.9), smoothing: 10%, {ALL} }}"
    );
    let outcome = open("bert-eras").run(&step);
    agree(&losses(&outcome), "smoothed");
    assert_eq!(training(&outcome).untouched, Vec::<String>::new());
}

#[test]
fn a_language_model_is_tuned_as_by_pytorch() {
    let step = "tune weights on calib for 5 steps with { optimizer: adamw(1e-3, beta2: 0.99, eps: 1e-6, decay: 0.1), \
                schedule: linear, warmup: 1, batch: 4, accumulate: 2, clip: 0.5 }";
    let outcome = open("llama-sotu").run(step);
    agree(&losses(&outcome), "language");
    assert_eq!(training(&outcome).untouched, Vec::<String>::new());
}

#[test]
fn experts_and_their_router_are_tuned_as_by_pytorch() {
    let step =
        format!("tune weights on calib for 4 steps with {{ optimizer: sgd(0.1, nesterov: true), {ALL} }}");
    let outcome = open("mixtral-sotu").run(&step);
    agree(&losses(&outcome), "experts");
    // One that no token of these samples is routed to has no gradient, in PyTorch neither.
    let untouched = training(&outcome).untouched;
    let is_of_one = |name: &String| name.starts_with("model.layers.1.block_sparse_moe.experts.1.");
    assert!(untouched.len() == 3 && untouched.iter().all(is_of_one), "{untouched:?}");
}

#[test]
fn a_sparse_model_learns_from_the_dense_one_as_by_pytorch() {
    let subject = open("vit-fashion");
    let steps = format!(
        "sparsify weights of layers[*] by magnitude to 2:4
         distill weights from input on calib for 4 steps
           with {{ logits: 1, temperature: 2, labels: 0.5, hidden: 0.3, optimizer: sgd(0.005), {ALL} }}"
    );
    let outcome = subject.run(&steps);
    agree(&losses(&outcome), "from teacher");
    assert_eq!(training(&outcome).untouched, Vec::<String>::new());
    let golden = golden("from teacher");
    for path in keys(&golden["weights"]) {
        let found: Vec<f64> = outcome.matrix(&path).into_iter().map(f64::from).collect();
        // A weight has moved by some thousandths of itself: 1e-5 is a hundredth of the way.
        shown(&found, &golden["weights"][&path], 1e-5, &path);
        assert_eq!(outcome.zeros(&path) * 2, found.len(), "`{path}` is 2:4 still");
    }
}

#[test]
fn attention_is_learned_as_by_pytorch() {
    let steps = format!(
        "sparsify weights of layers[*] by magnitude to 2:4
         distill weights from input on calib for 4 steps
           with {{ logits: 0, attention: 1, relations: 2, layers: last, optimizer: sgd(0.005, momentum: 0), {ALL} }}"
    );
    let outcome = open("bert-eras").run(&steps);
    agree(&losses(&outcome), "relations");
    // What lies behind the last layer's values is not looked at.
    let untouched = training(&outcome).untouched;
    assert!(untouched.iter().any(|name| name == "classifier.weight"), "{untouched:?}");
    assert!(!outcome.remarks.is_empty());
}

/// All bytes of all tensors.
pub fn bytes(outcome: &Outcome) -> Vec<Vec<u8>> {
    outcome.names().iter().map(|name| outcome.bytes(name)).collect()
}

#[test]
fn threads_do_not_change_a_byte() {
    let subject = open("bert-eras");
    let step = "prune heads, neurons of layers[*] by magnitude to 60% flops
                distill weights from input on calib for 3 steps with { hidden: 1, relations: 1, labels: 1, batch: 8 }";
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| bytes(&subject.run(step)))
    };
    let one = with(1);
    assert!(one == with(2) && one == with(3));
}

#[test]
fn a_model_like_its_teacher_has_nothing_to_learn() {
    let subject = open("vit-fashion");
    let with = "optimizer: adamw(1e-3, decay: 0), batch: 16";
    let step =
        format!("distill weights from input on calib for 3 steps with {{ hidden: 1, relations: 1, {with} }}");
    let outcome = subject.run(&step);
    assert_eq!(losses(&outcome), [0.0; 3]);
    assert!(bytes(&outcome) == bytes(&subject.run("")), "no gradient, no step");
}

/// Ends the program in a step, as far as a test can.
struct Stopping(u64);

impl Progress for Stopping {
    fn start(&self, _: &str, _: Option<u64>) {}

    fn advance(&self, _: u64) {}

    fn step(&self, done: u64, _: &str) {
        assert!(done != self.0, "stopped");
    }

    fn finish(&self) {}
}

/// A run that was stopped goes on from its last state, and what comes out is what would have come out. Zeros that come over a
/// training, held-out samples and the choice of a budget are among what goes on.
#[test]
fn a_stopped_training_goes_on_to_the_same_bytes() {
    let subject = open("vit-fashion");
    let options = "batch: 8, checkpoint: 2, optimizer: adamw(1e-3)";
    let steps = [
        format!(
            "distill weights from input on calib for 8 steps with {{ hidden: 1, labels: 1, {options}, held_out: calib, every: 2 }}"
        ),
        format!("tune weights on calib for 8 steps with {{ {options}, spend: 50%, choose_every: 1 }}"),
        format!(
            "sparsify weights of layers[*].mlp to 75% zeros over tune(calib, steps: 8, {options}) with {{ flow: rigl(every: 2) }}"
        ),
        "reduce tokens at layers[*] to 75% macs on calib for 8 steps with { batch: 8, checkpoint: 2, rate: 0.1 }"
            .to_owned(),
    ];
    for step in steps {
        let work = subject.first_work(&step);
        let (version, dir) = (subject.version(), tempfile::tempdir().unwrap());
        let run = |room: &str, stop: u64| {
            let (room, progress) = (dir.path().join(room), Stopping(stop));
            let at = Context { room: &room, progress: &progress, lasting: true, ..subject.at(&version) };
            catch_unwind(AssertUnwindSafe(|| work.run(&at).expect("it trains")))
        };
        let state = dir.path().join("stopped.state");
        assert!(run("stopped", 5).is_err() && state.is_dir(), "{step}");
        let (went_on, at_once) = (run("stopped", 99).unwrap(), run("at once", 99).unwrap());
        assert!(!state.exists(), "a training that ended leaves no state");
        match (&went_on, &at_once) {
            (
                Finding::Trained { dir: left, training: first },
                Finding::Trained { dir: right, training: second },
            ) => {
                assert_eq!(first, second, "{step}");
                let bytes = |dir: &Path| fs::read(dir.join("model.safetensors")).unwrap();
                assert!(bytes(left) == bytes(right), "{step}");
            }
            (Finding::Learned { training, .. }, at_once) => {
                assert_eq!(training.curve.len(), 8);
                assert!(went_on == *at_once, "{step}");
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A budget leaves tensors out, and costs no more than it says.
#[test]
fn a_budget_chooses_what_is_trained() {
    let subject = open("bert-eras");
    let step = |spend: &str| {
        format!(
            "tune weights on calib for 6 steps with {{ batch: 8, optimizer: adamw(5e-4), spend: {spend} }}"
        )
    };
    let changed = |outcome: &Outcome| {
        let plain = subject.run("");
        outcome.names().iter().filter(|name| outcome.bytes(name) != plain.bytes(name)).count()
    };
    let (less, more) = (subject.run(&step("50%")), subject.run(&step("80%")));
    let backward = |outcome: &Outcome| training(outcome).backward.expect("it was chosen");
    // Half of all, of which a third is the forward pass: a quarter of the way back.
    assert!(backward(&less) <= 0.27, "{}", backward(&less));
    assert!(backward(&less) < backward(&more) && backward(&more) <= 0.72);
    assert!(
        changed(&less) > 0 && changed(&less) < changed(&more),
        "{} and {}",
        changed(&less),
        changed(&more)
    );
    assert!(losses(&less)[5] < losses(&less)[0], "{:?}", losses(&less));
}

/// Held-out samples end a training that does not become better, and its best weights are kept.
#[test]
fn the_best_weights_are_kept() {
    let subject = open("bert-eras");
    let wild = "tune weights on calib for 20 steps
        with { optimizer: sgd(3, momentum: 0.9), clip: 0, warmup: 0, schedule: constant, held_out: calib, every: 1, patience: 4 }";
    let outcome = subject.run(wild);
    let told = training(&outcome);
    let best = told.held_out.iter().map(|point| point.loss).fold(f64::INFINITY, f64::min);
    assert!(told.steps < told.planned, "{told:?}");
    let kept = told.kept.expect("samples were held out");
    assert_eq!(told.held_out[kept - 1].loss, best);
    // The stored type is f16: the loss of the rounded weights is that of the weights to three digits.
    assert!((subject.loss(&outcome.version) - best).abs() < 1e-2 * best.max(1.0));
}

const FLOWS: [&str; 7] = [
    "to 75% zeros over tune(calib, steps: 8, optimizer: sgd(0.05))",
    "to 75% zeros over tune(calib, steps: 8) with { scope: global, flow: gradual(start: 20%, every: 2, until: 50%) }",
    "to 75% zeros over tune(calib, steps: 8) with { flow: rigl(every: 2) }",
    "to 2:4 over tune(calib, steps: 8)",
    "to 1:8 over tune(calib, steps: 8) with { flow: mask_decay(exponential, 0.1) }",
    "to 1:8 over tune(calib, steps: 8) with { flow: structure_decay }",
    "to 1:8 over tune(calib, steps: 8) with { flow: structure_decay(geometric, last: 25%) }",
];

#[test]
fn zeros_that_come_over_a_training_are_those_asked_for() {
    let subject: Trained = open("vit-fashion");
    for flow in FLOWS {
        let outcome = subject.run(&format!("sparsify weights of layers[*].mlp by magnitude {flow}"));
        let paths = (0..4).flat_map(|layer| ["up", "down"].map(|part| format!("layers[{layer}].mlp.{part}")));
        let (mut zeros, mut all) = (0, 0);
        for path in paths {
            let matrix = outcome.matrix(&path);
            zeros += outcome.zeros(&path);
            all += matrix.len();
            let group = match () {
                () if flow.contains("2:4") => Some((4, 2)),
                () if flow.contains("1:8") => Some((8, 1)),
                () => None,
            };
            if let Some((of, keep)) = group {
                let full = |group: &[f32]| group.iter().filter(|it| **it != 0.0).count() > keep;
                assert!(!matrix.chunks(of).any(full), "{flow}: `{path}`");
            }
            assert!(outcome.sparsity(&path).is_some(), "{flow}: `{path}` is known to be sparse");
        }
        let share = zeros as f64 / all as f64;
        let asked = if flow.contains("2:4") {
            0.5
        } else if flow.contains("1:8") {
            0.875
        } else {
            0.75
        };
        assert!((share - asked).abs() < 1e-3, "{flow}: {share}");
        assert!(losses(&outcome).iter().all(|loss| loss.is_finite()));
    }
}

/// With nothing off a flow is training, to the bit: a mask that counts as much as what is on.
#[test]
fn what_counts_in_full_is_dense_training() {
    let subject = open("vit-fashion");
    let tune = "steps: 4, optimizer: sgd(0.05), batch: 16";
    let faded = format!(
        "sparsify weights of layers[*].mlp to 2:4 over tune(calib, {tune}) with {{ flow: mask_decay(linear, 1e-30, last: 0%) }}"
    );
    let plain = "tune weights on calib for 4 steps with { optimizer: sgd(0.05), batch: 16 }
                 sparsify weights of layers[*].mlp by magnitude to 2:4";
    assert!(bytes(&subject.run(&faded)) == bytes(&subject.run(plain)));
}

/// SPDF's way: a sparse training, then a dense one, in which zeros move from 0 (arXiv:2303.10464).
#[test]
fn zeros_stay_until_they_are_freed() {
    let subject = open("vit-fashion");
    let sparse = "sparsify weights of layers[*].mlp by random(seed: 0) to 75% zeros
                  tune weights on calib for 3 steps with { optimizer: adamw(1e-3) }";
    let path = "layers[1].mlp.up";
    let count = subject.run("").matrix(path).len();
    let before = subject.run(sparse);
    assert_eq!(before.zeros(path), (count * 3).div_ceil(4), "training moves no zero");
    let freed = format!(
        "{sparse}\ndensify weights of layers[*].mlp\ntune weights on calib for 1 steps with {{ warmup: 0 }}"
    );
    let after = subject.run(&freed);
    assert!(after.zeros(path) < count / 100, "{} zeros are left", after.zeros(path));
}

/// Updates of one layer's matrices, which have no biases: all single weights together are the matrix.
#[test]
fn an_adapter_of_all_weights_is_training_of_the_matrix() {
    let subject = open("llama-sotu");
    let with = "optimizer: sgd(0.05), batch: 8, clip: 0, warmup: 0";
    let step =
        |more: &str| format!("tune weights of layers[1].mlp on calib for 3 steps with {{ {with}{more} }}");
    let whole = subject.run(&step(""));
    let adapted = subject.run(&step(", adapter: sparse(10000000)"));
    for (found, expected) in losses(&adapted).iter().zip(losses(&whole)) {
        assert!((found - expected).abs() < 1e-6 * expected, "{found} is not {expected}");
    }
    let (found, expected) = (adapted.matrix("layers[1].mlp.up"), whole.matrix("layers[1].mlp.up"));
    // Stored in bf16: where f32 rounds otherwise the next number of three digits is as good.
    let apart = found.iter().zip(&expected).filter(|(a, b)| (*a - *b).abs() > 0.01 * b.abs()).count();
    assert!(apart * 1000 < found.len(), "{apart} of {}", found.len());
}

#[test]
fn adapters_begin_at_nothing_and_move_no_zero() {
    let subject = open("vit-fashion");
    let sparse = "sparsify weights of layers[*].mlp by magnitude to 2:4";
    let before = subject.run(sparse);
    let dense_loss = subject.loss(&before.version);
    for adapter in ["lowrank(4)", "sparse(16)", "dsee(rank: 4, count: 16)"] {
        let step = format!(
            "{sparse}
             tune weights of layers[*].mlp on calib for 3 steps with {{ batch: 32, optimizer: adamw(1e-2), adapter: {adapter} }}"
        );
        let outcome = subject.run(&step);
        let found = losses(&outcome);
        assert!((found[0] - dense_loss).abs() < 1e-5, "{adapter}: {found:?}, before {dense_loss}");
        assert!(found[2] < found[0], "{adapter}: {found:?}");
        let path = "layers[1].mlp.up";
        assert_eq!(outcome.zeros(path), before.zeros(path), "{adapter}");
        let (now, then) = (outcome.matrix(path), before.matrix(path));
        let moved = now.iter().zip(&then).filter(|(a, b)| a != b).count();
        match adapter.starts_with("sparse") {
            true => assert!((1..=16).contains(&moved), "{moved} weights moved"),
            false => assert!(moved > 16),
        }
        // What is not named stays.
        assert_eq!(outcome.tensor("classifier.weight"), before.tensor("classifier.weight"));
    }
}

/// Two teachers that are the same one teach what one does.
#[test]
fn several_teachers_are_averaged() {
    let subject = open("vit-fashion");
    let other = subject.model.checkpoint.dir.display().to_string();
    let step = |from: &str| {
        format!(
            "model other = {other:?}
             sparsify weights of layers[*].mlp by magnitude to 2:4
             distill weights from {from} on calib for 2 steps with {{ hidden: 1, batch: 32, optimizer: sgd(0.01) }}"
        )
    };
    let one = losses(&subject.run(&step("other")));
    for (found, expected) in losses(&subject.run(&step("[input, other]"))).iter().zip(&one) {
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let subject = open("llama-sotu");
    let data = "data calib = text(\"calib.txt\")\n";
    let code = |steps: &str| refused(&subject.model, &format!("{data}{steps}")).code.name;
    assert_eq!(
        code("distill weights from input on calib for 1 epochs with { attention: 1 }"),
        "not-in-model"
    );
    assert_eq!(code("distill weights from input on calib for 1 epochs with { logits: 0 }"), "no-loss");
    assert_eq!(code("tune weights on calib for 2 hours"), "wrong-unit");
    assert_eq!(code("tune weights on calib for 1 epochs with { optimizer: adam(1e-3) }"), "unknown-word");
    assert_eq!(code("tune weights on calib for 1 epochs with { optimizer: adamw(0) }"), "out-of-range");
    assert_eq!(code("tune weights on calib for 1 epochs with { optimizer: adamw }"), "missing-argument");
    let sparsify = "sparsify weights of layers[*]";
    assert_eq!(
        code(&format!("{sparsify} by wanda(calib) to 2:4 over tune(calib, epochs: 1)")),
        "conflicting-clauses"
    );
    assert_eq!(code(&format!("{sparsify} to 2:4 over tune(calib)")), "missing-argument");
    assert_eq!(
        code(&format!("{sparsify} to 2:4 over tune(calib, epochs: 1) with {{ flow: gradual }}")),
        "conflicting-clauses"
    );
    assert_eq!(code(&format!("{sparsify} to 2:4 with {{ flow: sr_ste }}")), "missing-clause");
    let factored = "factorize weights of layers[*].mlp by svd to rank(8)";
    let adapted = "tune weights of layers[*].mlp on calib for 1 steps with { adapter: lowrank(2) }";
    assert_eq!(code(&format!("{factored}\n{adapted}")), "factored");
    assert_eq!(code("distill weights from [input, input] on calib for 1 steps"), "out-of-range");
    assert_eq!(code("model other\ndistill weights from other on calib for 1 steps"), "model-statement");
    assert_eq!(code("prune vocab[0..10]\ndistill weights from input on calib for 1 epochs"), "no-loss");
}

#[test]
fn what_diverges_is_told_with_its_step() {
    let subject = open("vit-fashion");
    let wrong = subject
        .failed("tune weights on calib for 50 steps with { optimizer: sgd(1e30), clip: 0, warmup: 0 }");
    assert_eq!(wrong.code.name, "training-diverged");
    assert!(wrong.message.contains("step"), "{}", wrong.message);
}
