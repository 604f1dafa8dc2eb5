//! Gradients against PyTorch's in float64: `tests/golden/gradients.json`, made by `gradients.py` beside it on the same numbers.

use std::collections::BTreeMap;

use super::*;

/// Of all operands: ours are computed in f32, over sums of up to a hundred terms, so that five digits of the largest agree.
const TOLERANCE: f64 = 1e-5;

struct Golden(BTreeMap<String, Vec<Vec<f64>>>);

impl Golden {
    fn read() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/gradients.json");
        let text = std::fs::read_to_string(path).expect("golden gradients are there");
        Self(serde_json::from_str(&text).expect("lists of numbers"))
    }

    /// Takes a case away, so that none is forgotten.
    fn check(&mut self, case: &str, vars: &[&Var], made: &Tensor) {
        let golden = self.0.remove(case).unwrap_or_else(|| panic!("no case `{case}`"));
        assert_eq!(golden.len(), vars.len(), "{case}");
        for (operand, ((found, largest), golden)) in gradients(made, vars).iter().zip(&golden).enumerate() {
            assert_eq!(found.len(), golden.len(), "{case}");
            for (at, (found, golden)) in found.iter().zip(golden).enumerate() {
                let off = (f64::from(*found) - golden).abs() / largest;
                assert!(off < TOLERANCE, "{case}, operand {operand} at {at}: {found}, PyTorch has {golden}");
            }
        }
    }
}

#[test]
fn gradients_are_those_of_pytorch() {
    let mut golden = Golden::read();
    for of in ACTIVATIONS {
        let x = var(&[3, 5], 1);
        golden.check(&format!("{of:?}"), &[&x], &activation(of, &x).unwrap());
    }
    let (x, weight, bias) = (var(&[4, 19], 2), var(&[19], 3), var(&[19], 4));
    golden.check("layer_norm", &[&x, &weight, &bias], &norm(&x, &weight, Some(&bias), 1e-5).unwrap());
    golden.check("rms_norm", &[&x, &weight], &norm(&x, &weight, None, 1e-5).unwrap());
    let (x, weight, bias) = (var(&[3, 4], 5), var(&[2, 4], 6), var(&[2], 7));
    golden.check("linear", &[&x, &weight, &bias], &linear(&x, &weight, Some(&bias)).unwrap());
    let (x, scale) = (var(&[3, 5], 1), var(&[5], 2));
    golden.check("layer_scale", &[&x, &scale], &x.broadcast_mul(&scale).unwrap());
    let turns = Arc::new(Turns::new(&Rope { theta: 100.0, scaling: None }, 4, 8));
    let x = var(&[3, 8], 14);
    golden.check("rope", &[&x], &rope(&x, &turns, &Arc::new(vec![0, 1, 5])).unwrap());
    of_attention(&mut golden);
    let logits = var(&[3, 4], 17);
    let classes = Arc::new(vec![Some(2), None, Some(0)]);
    for (case, smoothing) in [("cross_entropy", 0.0), ("cross_entropy, smoothed", 0.1)] {
        golden.check(case, &[&logits], &cross_entropy(&logits, Arc::clone(&classes), smoothing).unwrap());
    }
    let (logits, teacher) = (var(&[3, 4], 23), Arc::new(numbers(12, 24)));
    golden.check("divergence", &[&logits], &divergence(&logits, teacher, 3.0).unwrap());
    assert!(golden.0.is_empty(), "not looked at: {:?}", golden.0.keys());
}

fn of_attention(golden: &mut Golden) {
    let sequences: Arc<Vec<Range<usize>>> = Arc::new(vec![0..3, 3..7]);
    let (q, k, v) = (var(&[7, 16], 8), var(&[7, 8], 9), var(&[7, 8], 10));
    let sizes = Some(Arc::new(numbers(7, 18)));
    for (case, causal, window, bias) in [
        ("attention", false, None, None),
        ("attention, causal", true, None, None),
        ("attention, causal in a window", true, Some(2), None),
        ("attention by size", false, None, sizes),
    ] {
        let made = attention(heads(causal, window), &sequences, bias, &q, &k, &v).unwrap();
        golden.check(case, &[&q, &k, &v], &made);
    }
    let (q, k, v) = (var(&[7, 8], 8), var(&[7, 8], 9), var(&[7, 8], 10));
    let heads = Heads { group: 1, ..heads(false, None) };
    golden.check("flow", &[&q, &k, &v], &flow(heads, &sequences, &q, &k, &v).unwrap());
}
