//! Numbers of tokens that are learned (DiffRate): masks beside tokens that go, and what comes of a training on a trained model.

use candle_core::Tensor;
use tamis::graph::{ReductionRule, TokenCount};
use tamis::runtime::op::{Host, tensor};
use tamis::runtime::{Batch, Masks, Model, batches, masked_logits};
use tamis::weights::Version;

use crate::run::Outcome;
use crate::runtime::{forward, row, trained};
use crate::tokens::pictures;
use crate::trained::open;

/// What is left behind layers 1 and 2, of 17 tokens: dropped, then merged.
const LISTS: [[usize; 2]; 2] = [[12, 8], [7, 5]];

/// `vit-fashion` with reductions in layers 1 and 2.
fn reduced(lists: [[usize; 2]; 2]) -> Version {
    let (_, mut version) = trained("vit-fashion");
    for (layer, [kept, merged]) in [1, 2].into_iter().zip(lists) {
        let rule = ReductionRule::MergeByAttention { kept };
        version.graph.reduce_tokens(layer, TokenCount::Exactly(merged), rule, true).unwrap();
    }
    version
}

fn batch(count: usize) -> Batch {
    let mut found = batches(pictures(count).into_iter().map(Ok), usize::MAX, 1);
    found.next().unwrap().unwrap()
}

/// Masks with one number changed by `by`: of a layer, of its first or second mask, of a rank.
fn masks(changed: Option<([usize; 3], f32)>) -> Vec<Masks> {
    let mut masks = Masks::of(17, &LISTS).unwrap();
    if let Some(([layer, which, rank], by)) = changed {
        let of = &mut masks[layer];
        let mask = if which == 0 { &mut of.prune } else { &mut of.merge };
        let mut values = Host::of(mask).unwrap().values().to_vec();
        values[rank] += by;
        *mask = tensor(values, 17).unwrap();
    }
    masks
}

/// A masked token is as good as gone. The small number that keeps a masked softmax finite, 1e-6, is what they differ by.
#[test]
fn masks_answer_as_tokens_that_go() {
    let version = reduced(LISTS);
    let dense = forward(&version, pictures(6)).logits.unwrap();
    let model = Model::new(&version);
    let masked = masked_logits(&model, &model.load().unwrap(), &batch(6), &masks(None)).unwrap().unwrap();
    for sample in 0..6 {
        let (dense, masked) = (row(&dense, sample), row(&masked, sample));
        let off = dense.iter().zip(&masked).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(off < 1e-3, "picture {sample}: {off}");
    }
}

#[test]
fn gradients_by_masks_are_slopes() {
    let version = reduced(LISTS);
    let model = Model::new(&version);
    let (weights, batch) = (model.load().unwrap(), batch(3));
    let loss = |masks: &[Masks]| {
        let logits = masked_logits(&model, &weights, &batch, masks).unwrap().unwrap().tensor;
        let factors = (0..logits.elem_count()).map(|at| ((at * 7) % 5) as f32 / 5.0 - 0.4).collect();
        (logits.clone() * tensor(factors, logits.shape()).unwrap()).unwrap().sum_all().unwrap()
    };
    let whole = masks(None);
    let found = loss(&whole).backward().unwrap();
    let of = |[layer, which, rank]: [usize; 3]| {
        let mask = if which == 0 { &whole[layer].prune } else { &whole[layer].merge };
        f64::from(Host::of(&found.get(mask).unwrap().contiguous().unwrap()).unwrap().values()[rank])
    };
    // Tokens that stay, one that is merged, one that is dropped, and some of the second reduction; what is dropped has no gradient by
    // the mask of what is merged.
    let places =
        [[0, 0, 2], [0, 0, 7], [0, 0, 12], [0, 1, 5], [0, 1, 9], [1, 0, 3], [1, 1, 4], [1, 1, 6], [0, 1, 12]];
    let largest = places.iter().map(|&place| of(place).abs()).fold(0.0, f64::max);
    for place in places {
        let moved = |by: f32| f64::from(loss(&masks(Some((place, by)))).to_scalar::<f32>().unwrap());
        let slope = (moved(0.02) - moved(-0.02)) / 0.04;
        assert!((of(place) - slope).abs() < 0.01 * largest, "{place:?}: {} is not {slope}", of(place));
    }
    assert!(largest > 0.01 && of([0, 0, 12]) != 0.0 && of([0, 1, 12]) == 0.0);
}

/// A mask that takes nothing away is no variable: what is merged has no gradient where dropping leaves as few.
#[test]
fn a_number_that_takes_nothing_has_no_gradient() {
    let ones = |mask: &Tensor| Host::of(mask).unwrap().values().iter().all(|&it| it == 1.0);
    let masks = Masks::of(6, &[[4, 4], [5, 3]]).unwrap();
    assert!(!ones(&masks[0].prune) && ones(&masks[0].merge) && !masks[0].merge.is_variable());
    assert!(ones(&masks[1].prune) && masks[1].merge.is_variable());
    assert_eq!(Host::of(&masks[1].merge).unwrap().values(), [1.0, 1.0, 1.0, 0.0, 1.0, 1.0]);
}

/// What is left behind each layer: dropped, then merged.
fn lists(outcome: &Outcome) -> Vec<[usize; 2]> {
    let of = |rule: &ReductionRule, keep: TokenCount| match (rule, keep) {
        (ReductionRule::MergeByAttention { kept }, TokenCount::Exactly(left)) => [*kept, left],
        other => panic!("{other:?}"),
    };
    outcome.version.graph.reductions().iter().map(|(_, it)| of(&it.rule, it.keep)).collect()
}

const LEARNED: &str =
    "reduce tokens at layers[*] to 75% macs on calib for 12 steps with { rate: 0.1, batch: 16, weight: 20 }";

#[test]
fn learned_numbers_meet_the_budget() {
    let subject = open("vit-fashion");
    let dense = subject.run("").version.graph.cost(1).macs.max as f64;
    let outcome = subject.run(LEARNED);
    let share = outcome.version.graph.cost(1).macs.max as f64 / dense;
    assert!(share <= 0.75 && share > 0.68, "{share}");
    let lists = lists(&outcome);
    assert_eq!(lists.len(), 4);
    assert!(lists.iter().flatten().all(|count| (2..=17).contains(count)), "{lists:?}");
    let other = subject.run(&LEARNED.replace("75%", "65%"));
    assert!(other.version.graph.cost(1).macs.max as f64 <= 0.65 * dense);
}

#[test]
fn threads_do_not_change_what_is_learned() {
    let subject = open("vit-fashion");
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| subject.run(LEARNED).findings)
    };
    assert!(with(1) == with(2));
}

#[test]
fn what_cannot_be_learned_is_refused() {
    let subject = open("vit-fashion");
    let code = |step: &str| subject.refused(step).code.name;
    let lists = "with { prune: [12], merge: [10] }";
    assert_eq!(code("reduce tokens at layers[1]"), "missing-clause");
    assert_eq!(code("reduce tokens at layers[1] with { prune: [12] }"), "missing-clause");
    assert_eq!(code("reduce tokens at layers[1] to 70% macs"), "missing-clause");
    assert_eq!(code(&format!("reduce tokens at layers[1] to 70% macs {lists}")), "conflicting-clauses");
    assert_eq!(code("reduce tokens at layers[*] to 70% params on calib for 1 epoch"), "wrong-unit");
    assert_eq!(code("reduce tokens at layers[3] to 10% macs on calib for 1 epoch"), "unreachable-budget");
    let twice =
        "merge tokens at layers[0] remove 2\nreduce tokens at layers[1] to 90% macs on calib for 1 epoch";
    assert_eq!(code(twice), "tokens-reduced");
    let words = open("bert-eras").refused("reduce tokens at layers[*] to 70% macs on calib for 1 epoch");
    assert_eq!(words.code.name, "not-in-model");
}
