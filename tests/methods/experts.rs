//! Experts against PyTorch and SciPy, on a trained Mixtral: `tests/golden/experts.json`, made by `experts.py` beside it.
//!
//! The reference computes in float64. Weights are cast to f32 first, so that what is merged is not rounded to the stored type.

use std::fs;
use std::path::Path;

use serde_json::Value as Json;
use tamis::graph::{Op, Routes};
use tamis::observe::experts::{Look, look};

use crate::run::Outcome;
use crate::trained::{Trained, float, floats, near, open};

const WIDE: &str = "cast weights of layers[*] to f32\n";

fn golden() -> (Trained, Json) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/experts.json");
    let text = fs::read_to_string(path).expect("golden values are beside the tests");
    let golden: Json = serde_json::from_str(&text).expect("golden values are JSON");
    let trained = open("mixtral-sotu");
    // Those values were made of the same samples.
    for key in ["file", "samples", "tokens"] {
        assert_eq!(golden["data"][key], trained.golden["data"][key], "{key}");
    }
    (trained, golden)
}

fn paths() -> Vec<String> {
    (0..3).map(|layer| format!("layers[{layer}].experts")).collect()
}

/// Where the router's rows lead, layer by layer.
fn routes(done: &Outcome) -> Vec<Vec<usize>> {
    let graph = &done.version.graph;
    let of = |path: String| {
        let axis = graph.places().axis(&path).expect("the layer has experts");
        let (id, _) = graph.experts_of(axis).expect("experts are of an operation");
        match &graph.ops[id].op {
            Op::Experts(experts) => {
                experts.routes.as_ref().map(|Routes { to, .. }| to.clone()).unwrap_or_default()
            }
            _ => Vec::new(),
        }
    };
    paths().into_iter().map(of).collect()
}

fn numbers(json: &Json) -> Vec<Vec<usize>> {
    serde_json::from_value(json.clone()).expect("lists of numbers")
}

/// Counts are exact; a mean of norms of f32 outputs is within 1e-5 of the largest.
#[test]
fn what_is_seen_of_experts_is_what_pytorch_sees() {
    let (trained, golden) = golden();
    let counts = trained.scores("frequency(calib)", &paths());
    let reap = trained.scores("reap(calib)", &paths());
    for (layer, path) in paths().iter().enumerate() {
        assert_eq!(counts[path], floats(&golden["counts"][layer]), "{path}");
        near(&reap[path], &floats(&golden["reap"][layer]), 1e-5, path);
    }
}

/// No distance or similarity is near a tie.
#[test]
fn groups_are_those_of_the_reference() {
    let (trained, golden) = golden();
    for criterion in ["routing", "output_clusters"] {
        let done = trained.run(&format!("merge experts of layers[*] by {criterion}(calib) into 4"));
        assert_eq!(routes(&done), numbers(&golden[criterion]), "{criterion}");
    }
}

/// Aligned by exact assignment, or as they are: the first row, and the loss of the whole model. Sums of f32 products and their
/// rounding: 1e-5 of the largest weight, 1e-4 of the loss.
#[test]
fn merged_experts_answer_as_in_pytorch() {
    let (trained, golden) = golden();
    near(&[trained.loss(&trained.version())], &[float(&golden["loss"])], 1e-5, "as it is");
    for (name, align) in [("aligned", "permutation"), ("not aligned", "none")] {
        let step =
            format!("{WIDE}merge experts of layers[*] by routing(calib) into 4 with {{ align: {align} }}");
        let done = trained.run(&step);
        let golden = &golden["merged"][name];
        let row = floats(&golden["first row"]);
        let up: Vec<f64> =
            done.matrix("layers[0].experts[0].up")[..row.len()].iter().map(|it| f64::from(*it)).collect();
        near(&up, &row, 1e-5, name);
        near(&[trained.loss(&done.version)], &[float(&golden["loss"])], 1e-4, name);
    }
}

#[test]
fn dropped_experts_are_those_of_the_reference() {
    let (trained, golden) = golden();
    for criterion in ["reap", "frequency", "reconstruction"] {
        let done = trained.run(&format!("drop experts of layers[*] by {criterion}(calib) keep 4"));
        near(&[trained.loss(&done.version)], &[float(&golden["dropped"][criterion])], 1e-5, criterion);
    }
    // The reference says which.
    let done = trained.run("drop experts of layers[*] by reconstruction(calib) keep 4");
    for (layer, path) in paths().iter().enumerate() {
        let axis = done.version.graph.places().axis(path).expect("experts are left");
        let kept: Vec<f64> =
            done.version.kept(axis).expect("some went").iter().map(|it| *it as f64).collect();
        assert_eq!(kept, floats(&golden["reconstruction"][layer]["kept"]), "{path}");
    }
}

/// A median of f32 ratios: 1e-6.
#[test]
fn second_experts_are_skipped_as_in_pytorch() {
    let (trained, golden) = golden();
    let done = trained.run("skip experts of layers[*] by gate_ratio(calib)");
    let bounds: Vec<f64> = done
        .version
        .graph
        .ops
        .node_weights()
        .filter_map(|made| match &made.op {
            Op::Experts(experts) => experts.skip_below,
            _ => None,
        })
        .collect();
    near(&bounds, &floats(&golden["skipped"]["medians"]), 1e-6, "medians");
    // Whoever stands at the median itself may go either way.
    near(&[trained.loss(&done.version)], &[float(&golden["skipped"]["loss"])], 1e-3, "skipped");
}

/// As many groups as experts, and every tensor is as it was, to the bit.
#[test]
fn merging_into_as_many_changes_nothing() {
    let (trained, _) = golden();
    for criterion in ["routing(calib)", "output_clusters(calib)", "weights", "random(seed: 3)"] {
        let done = trained.run(&format!("merge experts of layers[*] by {criterion} into 8"));
        for path in ["layers[0].experts[3].gate", "layers[2].experts[7].down", "layers[1].router"] {
            assert_eq!(done.matrix(path), trained.run("").matrix(path), "{criterion} {path}");
        }
        assert_eq!(trained.loss(&done.version), trained.loss(&trained.version()), "{criterion}");
    }
}

/// One expert of all: every token goes to it with a gate of one, whatever the router says.
#[test]
fn one_expert_for_all_has_all_of_the_gate() {
    let (trained, _) = golden();
    let done = trained.run(&format!("{WIDE}merge experts of layers[*] by routing(calib) into 1"));
    assert_eq!(routes(&done), vec![vec![0; 8]; 3]);
    let seen = look(&trained.at(&done.version), &trained.data, &paths(), Look { norms: true, means: true });
    for (path, seen) in seen.expect("samples are read") {
        assert_eq!(seen.counts, [2.0 * seen.tokens as f64], "{path}");
        let (gated, plain) = (seen.gated_norms[0], seen.norms[0]);
        assert!((gated - plain).abs() <= 1e-6 * plain, "{path}: {gated} of {plain}");
    }
}

/// Groups are shared out over layers by how unevenly their experts are chosen.
#[test]
fn groups_of_layers_share_a_budget() {
    let (trained, golden) = golden();
    let done = trained.run("merge experts of layers[*] by routing(calib) into 4 with { groups: global }");
    // As M-SMoE has it: shares of each layer with its largest set to 1, above the thirteenth of all.
    let shares: Vec<Vec<f64>> = (0..3)
        .map(|layer| {
            let counts = floats(&golden["counts"][layer]);
            let (sum, most) = (counts.iter().sum::<f64>(), counts.iter().copied().fold(0.0, f64::max));
            counts.iter().map(|count| if *count == most { 1.0 } else { count / sum }).collect()
        })
        .collect();
    let mut all = shares.concat();
    all.sort_by(|a, b| b.total_cmp(a));
    let expected: Vec<usize> =
        shares.iter().map(|shares| shares.iter().filter(|share| **share > all[12]).count()).collect();
    let found: Vec<usize> =
        routes(&done).iter().map(|to| to.iter().max().map_or(0, |last| last + 1)).collect();
    assert_eq!(found, expected);
    assert!(found.iter().any(|count| *count != 4), "layers differ");
}

/// With averaged rows the result is a Mixtral of four experts, which its own config can say.
#[test]
fn averaged_routers_are_plain() {
    let (trained, _) = golden();
    let done = trained.run("merge experts of layers[*] by routing(calib) into 4 with { router: average }");
    let fields = done.version.graph.config_fields().expect("the config can say it");
    assert_eq!(fields["num_local_experts"], 4);
    assert!(trained.loss(&done.version).is_finite());
}
