//! Attention that becomes flow attention (Flowformer), against PyTorch: `tests/golden/training.py`.

use crate::run::refused;
use crate::trained::open;
use crate::training::{ALL, agree, bytes, losses};

#[test]
fn texts_of_unlike_lengths_flow_as_in_pytorch() {
    let step = format!(
        "convert attention of layers[*] into flow
         tune weights on calib for 4 steps with {{ optimizer: sgd(0.01), {ALL} }}"
    );
    agree(&losses(&open("bert-eras").run(&step)), "flow of texts");
}

#[test]
fn flow_is_distilled_as_by_pytorch() {
    let step = format!(
        "convert attention of layers[*] into flow
         distill weights from input on calib for 4 steps with {{ logits: 1, hidden: 1, optimizer: sgd(0.01), {ALL} }}"
    );
    agree(&losses(&open("vit-fashion").run(&step)), "flow of pictures");
}

/// No tensor changes; `2NCd + 8NC` in the place of `2NNC`, which is more where 17 tokens meet heads of 32.
#[test]
fn weights_stay_and_costs_follow() {
    let subject = open("vit-fashion");
    let (before, after) = (subject.run(""), subject.run("convert attention of layers[*] into flow"));
    assert!(bytes(&before) == bytes(&after));
    let macs = |outcome: &crate::run::Outcome| outcome.version.graph.cost(1).macs.max;
    assert_eq!(macs(&after) - macs(&before), 4 * 17 * 128 * (2 * 32 + 8 - 2 * 17));
}

#[test]
fn threads_do_not_change_a_byte() {
    let subject = open("bert-eras");
    let step = "convert attention of layers[*] into flow
                distill weights from input on calib for 2 steps with { hidden: 1, batch: 8 }";
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| bytes(&subject.run(step)))
    };
    assert!(with(1) == with(2));
}

#[test]
fn what_cannot_flow_is_refused() {
    let convert = "convert attention of layers[*] into flow";
    let code = |name: &str, steps: &str| refused(&open(name).model, steps).code.name;
    assert_eq!(code("llama-sotu", convert), "cannot-convert");
    let pictures = |steps: &str| code("vit-fashion", steps);
    assert_eq!(
        pictures(&format!("{convert}\ndrop tokens at layers[2] by cls_attention keep 50%")),
        "tokens-needed"
    );
    assert_eq!(
        pictures(&format!("drop tokens at layers[2] by cls_attention keep 50%\n{convert}")),
        "cannot-convert"
    );
    assert_eq!(pictures("convert attention of layers[*] into linear"), "unknown-word");
}
