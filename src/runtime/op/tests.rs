//! Gradients against finite differences, and values against plain loops.

use std::ops::Range;
use std::sync::Arc;

use candle_core::{Tensor, Var};

use super::*;
use crate::graph::{Activation, Rope};
use crate::runtime::kernel::attention::Heads;
use crate::runtime::kernel::rope::Turns;
use crate::runtime::rows::Rows;

mod golden;

const ACTIVATIONS: [Activation; 6] = [
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::Silu,
    Activation::Tanh,
    Activation::Sigmoid,
    Activation::Relu,
];

/// Numbers between -1 and 1 that no symmetry is in.
fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn var(shape: &[usize], seed: u32) -> Var {
    Var::from_tensor(&tensor(numbers(shape.iter().product(), seed), shape).unwrap()).unwrap()
}

/// A scalar that weighs every element of a result differently.
fn weighed(y: &Tensor) -> Tensor {
    let weights = tensor(numbers(y.elem_count(), 99), y.shape()).unwrap();
    (y * weights).unwrap().sum_all().unwrap()
}

/// The gradients of a result's weighed sum by some variables, and the largest of each.
fn gradients(made: &Tensor, vars: &[&Var]) -> Vec<(Vec<f32>, f64)> {
    let found = weighed(made).backward().unwrap();
    let of = |var: &&Var| {
        let gradient = found.get(var).expect("every variable has a gradient").flatten_all().unwrap();
        let gradient = gradient.to_vec1::<f32>().unwrap();
        let largest = gradient.iter().fold(1e-3f32, |most, it| most.max(it.abs()));
        (gradient, f64::from(largest))
    };
    vars.iter().map(of).collect()
}

/// Compares every gradient with a central difference. f32 leaves about three digits of a difference: 1e-2 of the largest.
fn check(vars: &[&Var], f: impl Fn() -> Tensor) {
    for (var, (gradient, largest)) in vars.iter().zip(gradients(&f(), vars)) {
        let values = var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for at in 0..values.len() {
            let at_offset = |offset: f32| {
                let mut moved = values.clone();
                moved[at] += offset;
                var.set(&tensor(moved, var.shape()).unwrap()).unwrap();
                f64::from(weighed(&f()).to_scalar::<f32>().unwrap())
            };
            let step = 1e-2;
            let difference = (at_offset(step) - at_offset(-step)) / (2.0 * f64::from(step));
            var.set(&tensor(values.clone(), var.shape()).unwrap()).unwrap();
            let error = (difference - f64::from(gradient[at])).abs() / largest;
            assert!(error < 1e-2, "at {at}: {difference} by differences, {} by backward", gradient[at]);
        }
    }
}

#[test]
fn activations_have_their_slopes() {
    for of in ACTIVATIONS {
        let x = var(&[3, 5], 1);
        check(&[&x], || activation(of, x.as_tensor()).unwrap());
    }
    let x = tensor(vec![0.0, -1.0, 2.0], 3).unwrap();
    let of = |of| activation(of, &x).unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(of(Activation::Relu), [0.0, 0.0, 2.0]);
    let gelu = of(Activation::Gelu);
    assert!((gelu[1] + 0.158_655_25).abs() < 1e-6 && (gelu[2] - 1.954_499_7).abs() < 1e-6, "{gelu:?}");
}

#[test]
fn norms_have_gradients_for_all_three() {
    let (x, weight, bias) = (var(&[4, 19], 2), var(&[19], 3), var(&[19], 4));
    check(&[&x, &weight, &bias], || norm(&x, &weight, Some(&bias), 1e-5).unwrap());
    check(&[&x, &weight], || norm(&x, &weight, None, 1e-5).unwrap());
}

#[test]
fn linears_have_gradients_for_all_three() {
    let (x, weight, bias) = (var(&[3, 4], 5), var(&[2, 4], 6), var(&[2], 7));
    check(&[&x, &weight, &bias], || linear(&x, &weight, Some(&bias)).unwrap());
    check(&[&x, &weight], || linear(&x, &weight, None).unwrap());
}

fn heads(causal: bool, window: Option<usize>) -> Heads {
    Heads { kv_heads: 2, group: 2, head_dim: 4, value_dim: 4, scale: 0.5, causal, window }
}

#[test]
fn attention_has_gradients_for_all_three() {
    let sequences: Arc<Vec<Range<usize>>> = Arc::new(vec![0..3, 3..7]);
    for (causal, window) in [(false, None), (true, None), (true, Some(2))] {
        let (q, k, v) = (var(&[7, 16], 8), var(&[7, 8], 9), var(&[7, 8], 10));
        for bias in [None, Some(Arc::new(numbers(7, 18)))] {
            let attend = || attention(heads(causal, window), &sequences, bias.clone(), &q, &k, &v).unwrap();
            check(&[&q, &k, &v], attend);
        }
    }
}

/// Long enough for several tiles, and against a loop that writes all scores down.
#[test]
fn attention_is_what_its_definition_says() {
    let lengths = [150, 1, 70];
    let ranges: Vec<Range<usize>> = vec![0..150, 150..151, 151..221];
    let rows = lengths.iter().sum::<usize>();
    for (causal, window) in [(false, None), (true, None), (true, Some(20))] {
        let heads = heads(causal, window);
        let (q, k, v) = (numbers(rows * 16, 11), numbers(rows * 8, 12), numbers(rows * 8, 13));
        let of = |values: &[f32], width: usize| tensor(values.to_vec(), (rows, width)).unwrap();
        let sequences = Arc::new(ranges.clone());
        let found = attention(heads, &sequences, None, &of(&q, 16), &of(&k, 8), &of(&v, 8)).unwrap();
        let found = found.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for range in &ranges {
            for row in range.clone() {
                for head in 0..4 {
                    let seen =
                        |key: &usize| !causal || (*key <= row && window.is_none_or(|it| key + it > row));
                    let keys: Vec<usize> = range.clone().filter(seen).collect();
                    let score = |key: &usize| -> f64 {
                        let pair = (0..4)
                            .map(|d| f64::from(q[row * 16 + head * 4 + d] * k[key * 8 + head / 2 * 4 + d]));
                        (pair.sum::<f64>() * 0.5).exp()
                    };
                    let all: f64 = keys.iter().map(score).sum();
                    for d in 0..4 {
                        let value = |key: &usize| score(key) * f64::from(v[key * 8 + head / 2 * 4 + d]);
                        let exact = keys.iter().map(value).sum::<f64>() / all;
                        let error = (exact - f64::from(found[row * 16 + head * 4 + d])).abs();
                        assert!(error < 1e-5, "row {row}, head {head}: off by {error}");
                    }
                }
            }
        }
    }
}

/// A key that counts three times is three equal keys.
#[test]
fn a_bias_of_a_logarithm_counts_a_key_so_often() {
    let of = |values: Vec<f32>, width: usize| tensor(values.clone(), (values.len() / width, width)).unwrap();
    let (q, k, v) = (numbers(16 * 2, 19), numbers(8 * 2, 20), numbers(8 * 2, 21));
    let tripled = |values: &[f32], width: usize| [values, &values[width..], &values[width..]].concat();
    let attend = |bias, q, k, v, rows: usize| {
        let found =
            attention(heads(false, None), &Arc::new(Rows::of([rows]).ranges()), bias, &q, &k, &v).unwrap();
        found.flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    let bias = Some(Arc::new(vec![0.0, 3f32.ln()]));
    let once = attend(bias, of(q.clone(), 16), of(k.clone(), 8), of(v.clone(), 8), 2);
    let thrice = attend(None, of(tripled(&q, 16), 16), of(tripled(&k, 8), 8), of(tripled(&v, 8), 8), 4);
    let off = once.iter().zip(&thrice).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(off < 1e-6, "{off}");
}

#[test]
fn combined_rows_give_their_gradients_back() {
    let x = var(&[4, 3], 22);
    let rows = [vec![(0, 1.0)], vec![(1, 0.25), (3, 0.75)], vec![(3, -2.0)]];
    let combination = Arc::new(Combination::new(rows));
    check(&[&x], || combine(&x, Arc::clone(&combination)).unwrap());
    let y = combine(&x, combination).unwrap().to_vec2::<f32>().unwrap();
    let x = x.to_vec2::<f32>().unwrap();
    assert_eq!(y[0], x[0]);
    assert_eq!(y[1][2], 0.25 * x[1][2] + 0.75 * x[3][2]);
}

#[test]
fn turns_are_undone_by_turning_back() {
    let turns = Arc::new(Turns::new(&Rope { theta: 100.0, scaling: None }, 4, 8));
    let positions = Arc::new(vec![0, 1, 5]);
    let x = var(&[3, 8], 14);
    check(&[&x], || rope(&x, &turns, &positions).unwrap());
    let y = rope(&x, &turns, &positions).unwrap();
    let first =
        |tensor: &Tensor| tensor.narrow(0, 0, 1).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(first(&x), first(&y), "position 0 is not turned");
}

#[test]
fn gates_have_gradients_by_sample_and_element() {
    let (x, gates) = (var(&[5, 12], 15), var(&[2, 3], 16));
    let gate_of = || Gate { extent: 3, inner: 2, gates_of_row: Arc::new(vec![0, 0, 1, 1, 1]) };
    check(&[&x, &gates], || gate(&x, &gates, gate_of()).unwrap());
}

#[test]
fn cross_entropy_is_the_negative_log_of_the_probability() {
    let logits = var(&[3, 4], 17);
    let classes = Arc::new(vec![Some(2), None, Some(0)]);
    for smoothing in [0.0, 0.1] {
        check(&[&logits], || cross_entropy(&logits, Arc::clone(&classes), smoothing).unwrap());
    }
    let even = tensor(vec![1.0; 4], (1, 4)).unwrap();
    let loss = cross_entropy(&even, Arc::new(vec![Some(1)]), 0.0).unwrap().to_vec1::<f32>().unwrap();
    assert!((loss[0] - 4f32.ln()).abs() < 1e-6);
}

/// Logits 2, 0, 0 at smoothing 0.3: ln(e^2 + 2) - 0.7 x 2 - 0.3 x 2 / 3 = 2.239545 - 1.6.
#[test]
fn smoothing_aims_at_every_class_a_little() {
    let logits = tensor(vec![2.0, 0.0, 0.0], (1, 3)).unwrap();
    let loss = cross_entropy(&logits, Arc::new(vec![Some(0)]), 0.3).unwrap().to_vec1::<f32>().unwrap();
    assert!((loss[0] - 0.639_545).abs() < 1e-6, "{loss:?}");
}

/// The worked case of the card of distillation: teacher (2, 0, 0), student 0, T = 2.
#[test]
fn divergence_from_a_teacher_is_that_of_the_card() {
    let logits = var(&[3, 4], 23);
    let teacher = Arc::new(numbers(12, 24));
    for temperature in [1.0, 3.0] {
        check(&[&logits], || divergence(&logits, Arc::clone(&teacher), temperature).unwrap());
    }
    let student = Var::zeros((1, 3), candle_core::DType::F32, &candle_core::Device::Cpu).unwrap();
    let loss = divergence(&student, Arc::new(vec![2.0, 0.0, 0.0]), 2.0).unwrap();
    let value = loss.to_vec1::<f32>().unwrap()[0];
    assert!((value - 0.123_284_5).abs() < 1e-6, "{value}");
    let scaled = (loss * 4.0).unwrap().sum_all().unwrap().backward().unwrap();
    let gradient = scaled.get(&student).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    for (found, expected) in gradient.iter().zip([-0.485_567 * 1.0, 0.242_784, 0.242_784]) {
        assert!((found - expected).abs() < 2e-6, "{gradient:?}");
    }
    // A student like its teacher has nothing to learn.
    let alike = divergence(&logits, Arc::new(logits.flatten_all().unwrap().to_vec1().unwrap()), 2.0).unwrap();
    let gradient = alike.sum_all().unwrap().backward().unwrap();
    let gradient = gradient.get(&logits).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert!(
        alike.to_vec1::<f32>().unwrap().iter().all(|it| *it == 0.0) && gradient.iter().all(|it| *it == 0.0)
    );
}

fn related(rows: usize, width: usize, seed: u32) -> Related {
    let of = |seed| Arc::new(numbers(rows * width, seed));
    Related { left: of(seed), right: of(seed + 1), width }
}

#[test]
fn relations_have_gradients_for_both_sides() {
    let sequences: Arc<Vec<Range<usize>>> = Arc::new(vec![0..3, 3..7]);
    let (left, right) = (var(&[7, 4], 25), var(&[7, 4], 26));
    for causal in [false, true] {
        let of = |left: &Tensor, right: &Tensor| {
            relation(left, right, related(7, 6, 27), &sequences, 2, causal).unwrap()
        };
        check(&[&left, &right], || of(&left, &right));
        check(&[&left], || of(&left, &left));
    }
}

/// One head, two rows: the teacher looks at both alike, the student's scores for row 0 are 1 and 0.
#[test]
fn a_relation_is_the_divergence_of_its_rows() {
    let x = |values: Vec<f32>| tensor(values, (2, 1)).unwrap();
    let teacher = Related { left: Arc::new(vec![0.0; 2]), right: Arc::new(vec![0.0; 2]), width: 1 };
    let sequences = Arc::new(Rows::of([2]).ranges());
    let found = relation(&x(vec![1.0, 0.0]), &x(vec![1.0, 0.0]), teacher, &sequences, 1, false).unwrap();
    let found = found.to_vec1::<f32>().unwrap();
    // ln 0.5 - (ln sigmoid(1) + ln sigmoid(-1)) / 2
    assert!((found[0] - 0.120_115).abs() < 1e-6 && found[1] == 0.0, "{found:?}");
}
