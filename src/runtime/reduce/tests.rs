//! The worked cases of the papers' cards, and what holds of every rule.

use super::*;
use crate::graph::{Attention, ByEnergy, EnergyKernel, EnergyPairing, TokenCount, TokenScore};

/// The card's features: token 7 has a second one.
const FEATURES: [f32; 14] = [1.0, 0.0, 2.0, 0.0, 3.0, 0.0, 4.0, 0.0, 5.0, 0.0, 6.0, 0.0, 7.0, 1.0];
/// Keys of length 1 at these angles, the class token's first.
const DEGREES: [f64; 7] = [0.0, 10.0, 50.0, 14.0, 95.0, 52.0, 100.0];
/// What the class token attends to the patches.
const ATTENDED: [f32; 7] = [0.0, 0.05, 0.30, 0.10, 0.25, 0.20, 0.10];

fn tokens(features: &[f32]) -> Tokens<'_> {
    Tokens { features, width: 2, count: features.len() / 2, sizes: None, protected: 1 }
}

fn keys(degrees: &[f64]) -> Vec<f32> {
    degrees.iter().flat_map(|at| [at.to_radians().cos() as f32, at.to_radians().sin() as f32]).collect()
}

/// The features of what is left.
fn features(tokens: Tokens<'_>, left: &Left) -> Vec<f32> {
    let of = |parts: &Vec<(usize, f32)>, column: usize| {
        parts.iter().map(|(token, weight)| weight * tokens.features[token * tokens.width + column]).sum()
    };
    left.parts.iter().flat_map(|parts| [of(parts, 0), of(parts, 1)]).collect()
}

/// The first features of what is left.
fn features_of(tokens: Tokens<'_>, left: &Left) -> Vec<f32> {
    features(tokens, left).into_iter().step_by(2).collect()
}

fn near(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{found:?}");
    let off = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(off < 1e-5, "{found:?} is not {expected:?}");
}

#[test]
fn pairs_merge_as_the_card_of_tome_says() {
    let tokens = tokens(&FEATURES);
    let left = merged::pairs(tokens, &keys(&DEGREES), 2);
    near(&features(tokens, &left), &[1.0, 0.0, 7.0, 1.0, 2.0, 0.0, 4.0, 0.0, 14.0 / 3.0, 0.0]);
    near(&left.sizes, &[1.0, 1.0, 1.0, 1.0, 3.0]);
}

#[test]
fn sizes_count_in_the_mean_of_a_pair() {
    let sizes = [1.0, 1.0, 3.0, 1.0, 1.0, 1.0, 1.0];
    let tokens = Tokens { sizes: Some(&sizes), ..tokens(&FEATURES) };
    // Token 2 goes into token 5, three times as heavy.
    let left = merged::pairs(tokens, &keys(&DEGREES), 1);
    near(&features(tokens, &left)[10..], &[(3.0 * 3.0 + 6.0) / 4.0, 0.0]);
    near(&left.sizes, &[1.0, 1.0, 1.0, 1.0, 1.0, 4.0]);
}

#[test]
fn a_second_token_in_front_stays_too() {
    let tokens = Tokens { protected: 2, ..tokens(&FEATURES) };
    let left = merged::pairs(tokens, &keys(&DEGREES), 2);
    // The distillation token, number 1, neither goes nor receives: even tokens choose among 3 and 5.
    assert_eq!(left.parts[..2], [vec![(0, 1.0)], vec![(1, 1.0)]]);
    assert_eq!(left.sizes.iter().sum::<f32>(), 7.0);
    assert_eq!(left.parts.len(), 5);
}

#[test]
fn energy_protects_as_the_card_of_pitome_says() {
    let tokens = tokens(&FEATURES);
    // The class token is split off; patches have the angles of the card.
    let left = merged::by_energy(tokens, &keys(&DEGREES), ByEnergy::new(0.5), 1);
    near(&features(tokens, &left), &[1.0, 0.0, 4.0, 0.0, 5.0, 0.0, 2.0, 0.0, 7.0, 1.0, 4.5, 0.0]);
    near(&left.sizes, &[1.0, 1.0, 1.0, 1.0, 1.0, 2.0]);
}

/// Sorted by energy patches are 4, 1, 2, 3, 0, 5: the first halves are 4 and 2 beside 1 and 3, or all of 4, 2, 0 beside 1, 3, 5.
#[test]
fn energy_pairs_as_the_authors_code_does() {
    let tokens = tokens(&FEATURES);
    let of = |pairing, gone| {
        let left =
            merged::by_energy(tokens, &keys(&DEGREES), ByEnergy { pairing, ..ByEnergy::new(0.5) }, gone);
        (features_of(tokens, &left), left.sizes)
    };
    // Patches have the features 2 to 7; 4 (52 degrees) goes to 1 (50), 2 (14) to 3 or 1: the cosine to 50 is larger.
    let (rows, sizes) = of(EnergyPairing::Alternate, 2);
    near(&rows, &[1.0, 2.0, 7.0, 13.0 / 3.0, 5.0]);
    near(&sizes, &[1.0, 1.0, 1.0, 3.0, 1.0]);
    // The first three, 4, 1 and 2, go among 3 (95), 0 (10) and 5 (100): all of them are nearest to 10.
    let (rows, sizes) = of(EnergyPairing::Halves, 3);
    near(&rows, &[1.0, 5.0, 3.75, 7.0]);
    near(&sizes, &[1.0, 1.0, 4.0, 1.0]);
    // Of 4, 2 and 0 beside 1, 3 and 5 the pair of 4 and 1 is the closest, then 2 and 1.
    let (rows, sizes) = of(EnergyPairing::Closest, 2);
    near(&rows, &[1.0, 2.0, 13.0 / 3.0, 5.0, 7.0]);
    near(&sizes, &[1.0, 1.0, 3.0, 1.0, 1.0]);
}

/// A Gaussian of deviation 0.5 adds 0.797885 for a cosine of 1 and 0.107982 for one of 0.
#[test]
fn sizes_start_anew_where_energy_is_of_words() {
    let sizes = [1.0, 9.0, 9.0, 1.0, 1.0];
    let features = [1.0, 0.0, 2.0, 0.0, 4.0, 0.0, 6.0, 0.0, 8.0, 0.0];
    let tokens = Tokens { sizes: Some(&sizes), ..tokens(&features) };
    let of = ByEnergy {
        kernel: EnergyKernel::Gaussian,
        pairing: EnergyPairing::Halves,
        restart: true,
        ..ByEnergy::new(0.5)
    };
    near(&merged::energies(&[1.0, 0.0, 0.0, 1.0], 2, of), &[0.452_933; 2]);
    // Words at 0, 0, 90 and 90 degrees have the same energy: the first two are first. The first goes to the second.
    let left = merged::by_energy(tokens, &keys(&[0.0, 0.0, 0.0, 90.0, 90.0]), of, 1);
    near(&features_of(tokens, &left), &[1.0, 6.0, 8.0, 3.0]);
    near(&left.sizes, &[1.0; 4]);
}

#[test]
fn the_rest_is_fused_as_the_card_of_evit_says() {
    let tokens = tokens(&FEATURES);
    let left = chosen::best(tokens, &ATTENDED, 5, true, true);
    near(&features(tokens, &left), &[1.0, 0.0, 3.0, 0.0, 5.0, 0.0, 6.0, 0.0, 1.2, 0.1]);
    let unsorted = chosen::best(tokens, &ATTENDED, 3, false, false);
    near(&features(tokens, &unsorted), &[1.0, 0.0, 3.0, 0.0, 5.0, 0.0]);
}

#[test]
fn attention_decides_as_the_card_of_diffrate_says() {
    let features_of_keys = keys(&DEGREES);
    let tokens = tokens(&features_of_keys);
    let left = merged::by_attention(tokens, &ATTENDED, 6, 4);
    near(&left.sizes, &[1.0, 1.809_017, 1.996_195, 1.0]);
    near(&features(tokens, &left)[2..6], &[0.806_542, 0.503_983, -0.130_402, 0.990_501]);
}

fn reduction(rule: ReductionRule, keep: TokenCount) -> Reduction {
    let attention = Attention::new(false, 1.0);
    Reduction { protected: 1, keep, rule, attention }
}

#[test]
fn counts_are_those_of_the_papers() {
    let after = |rule: ReductionRule, keep: TokenCount, times: usize| {
        let reduction = reduction(rule, keep);
        let mut tokens = vec![197];
        for _ in 0..times {
            tokens.push(reduction.after(tokens[tokens.len() - 1]));
        }
        tokens
    };
    let drop = |fuse| ReductionRule::Drop { score: TokenScore::FirstAttention, fuse, sorted: true };
    assert_eq!(
        after(ReductionRule::MergePairs, TokenCount::Less(16), 12),
        [197, 181, 165, 149, 133, 117, 101, 85, 69, 53, 37, 21, 11]
    );
    assert_eq!(
        after(ReductionRule::MergeByEnergy(ByEnergy::new(0.5)), TokenCount::Share(0.9), 12),
        [197, 178, 161, 145, 131, 118, 107, 97, 88, 80, 73, 66, 60]
    );
    assert_eq!(after(drop(true), TokenCount::Share(0.7), 3), [197, 140, 100, 72]);
    assert_eq!(after(drop(true), TokenCount::Share(1.0), 2), [197; 3]);
    assert_eq!(after(drop(false), TokenCount::Share(0.0), 1), [197, 2], "one is left beside the class token");
    assert_eq!(after(drop(false), TokenCount::Exactly(50), 2), [197, 50, 50]);
}

#[test]
fn equal_scores_keep_the_first() {
    let features = [0.0; 10];
    let left = chosen::best(tokens(&features), &[0.2; 5], 3, false, true);
    assert_eq!(left.parts, [[(0, 1.0)], [(1, 1.0)], [(2, 1.0)]]);
}

#[test]
fn no_token_is_lost_where_tokens_merge() {
    let mut state = 1.0f32;
    let mut chance = || {
        state = (state * 16_807.0) % 2_147_483_647.0;
        state / 2_147_483_647.0 - 0.5
    };
    for count in 3..20 {
        let features: Vec<f32> = (0..2 * count).map(|_| chance()).collect();
        let degrees: Vec<f64> = (0..count).map(|_| f64::from(chance()) * 360.0).collect();
        let tokens = tokens(&features);
        for gone in 1..=(count - 1) / 2 {
            for left in [
                merged::pairs(tokens, &keys(&degrees), gone),
                merged::by_energy(tokens, &keys(&degrees), ByEnergy::new(0.4), gone),
            ] {
                assert_eq!(left.parts.len(), count - gone);
                assert_eq!(left.parts[0], [(0, 1.0)], "the class token stays in front");
                assert_eq!(left.sizes.iter().sum::<f32>(), count as f32);
                let mut all: Vec<usize> = left.parts.iter().flatten().map(|(token, _)| *token).collect();
                all.sort_unstable();
                assert_eq!(all, (0..count).collect::<Vec<_>>());
            }
        }
    }
}
