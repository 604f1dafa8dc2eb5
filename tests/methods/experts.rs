//! Experts against PyTorch and SciPy, on a trained Mixtral: `tests/golden/experts.json`, made by `experts.py` beside it.
//!
//! The reference computes in float64. Weights are cast to f32 first, so that what is merged is not rounded to the stored type.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value as Json;
use tamis::checkpoint::Checkpoint;
use tamis::graph::{Op, ParamId, Routes, Weight};
use tamis::observe::experts::{Look, look};
use tamis::weights::{Expr, Version};

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

/// The SVD of f32 weights, rounded factors and their products: 1e-4 of the loss. No two rows of the rest weigh nearly the same.
#[test]
fn compressed_experts_answer_as_in_numpy() {
    let (trained, golden) = golden();
    let done = trained
        .run(&format!("{WIDE}factorize experts of layers[*] to rank(8) with {{ residual: sparse(10%) }}"));
    near(&[trained.loss(&done.version)], &[float(&golden["compressed"]["loss"])], 1e-4, "compressed");
    let graph = &done.version.graph;
    let site = graph.places().site("layers[0].experts[0].up").expect("the expert is there");
    let Weight::Factored { rest: Some(rest), .. } = &graph.sites[site].weight else {
        panic!("rows are kept")
    };
    let rows: Vec<f64> = rest.rows.iter().map(|row| *row as f64).collect();
    assert_eq!(rows, floats(&golden["compressed"]["rows"]));
}

/// Nothing is lost with all rows of what factors leave, nor behind what is nearly the whole rank; something is in between.
#[test]
fn all_rows_of_a_residual_are_the_matrix() {
    let (trained, _) = golden();
    let loss = |step: &str| trained.loss(&trained.run(&format!("{WIDE}{step}")).version);
    let dense = trained.loss(&trained.version());
    // Where all rows do not save, nothing is taken apart.
    assert_eq!(loss("factorize experts of layers[*] to rank(8) with { residual: sparse(100%) }"), dense);
    let [plain, tenth, half] = ["", " with { residual: sparse(10%) }", " with { residual: sparse(50%) }"]
        .map(|residual| loss(&format!("factorize experts of layers[*] to rank(8){residual}")));
    assert!(dense < half && half < tenth && tenth < plain, "{dense} {half} {tenth} {plain}");
}

/// The rows of PyTorch's null experts, in the place of those that were drawn: 1e-5 of the loss.
#[test]
fn null_experts_answer_as_in_pytorch() {
    let (trained, golden) = golden();
    let done = trained.run("insert null_experts of layers[*] into 4 with { top_k: 3 }");
    let mut version = done.version;
    let routers: Vec<_> = version
        .graph
        .ops
        .node_weights()
        .filter_map(|made| match &made.op {
            Op::Experts(experts) => experts.nulls.map(|nulls| nulls.router),
            _ => None,
        })
        .collect();
    let dir = tempfile::tempdir().expect("a directory");
    for (layer, router) in routers.into_iter().enumerate() {
        let param = version.graph.sites[router].views().next().expect("it has a weight").param;
        let rows: Vec<f32> =
            (0..4 * 128).map(|at| (0.3 * (0.7 * f64::from(at) + layer as f64).sin()) as f32).collect();
        replace(&mut version, param, &dir.path().join(layer.to_string()), &[4, 128], &rows);
    }
    near(&[trained.loss(&version)], &[float(&golden["nulls"]["loss"])], 1e-5, "nulls");
}

/// Puts f32 values, written to a directory, in the place of a tensor.
fn replace(version: &mut Version, param: ParamId, dir: &Path, shape: &[usize], values: &[f32]) {
    let header = serde_json::json!({
        "w": { "dtype": "F32", "shape": shape, "data_offsets": [0, values.len() * 4] },
    });
    let header = header.to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    fs::create_dir_all(dir).expect("a directory");
    fs::write(dir.join("config.json"), "{}").expect("a file");
    fs::write(dir.join("model.safetensors"), bytes).expect("a file");
    let checkpoint = Arc::new(Checkpoint::open(dir).expect("a checkpoint"));
    let stored = checkpoint.tensors["w"].clone();
    version.replace(param, Arc::new(Expr::Stored { checkpoint, stored }));
}

/// Of nulls that nobody chooses a model with the old number of choices knows nothing.
#[test]
fn nulls_that_are_not_chosen_change_nothing() {
    let (trained, _) = golden();
    let done = trained.run("insert null_experts of layers[*] into 1 with { top_k: 2, spread: 0.0 }");
    let fields = done.version.graph.config_fields();
    assert!(fields.is_err(), "no config has null experts");
    // A row of zeros has the logit 0, which the best two of eight are nearly always above.
    let (before, after) = (trained.loss(&trained.version()), trained.loss(&done.version));
    assert!((before - after).abs() < 0.2 * before, "{before} {after}");
}

/// Mixtures lose no more on their own data than the sets that they begin with, and the same seed finds the same.
#[test]
fn mixtures_are_at_least_as_good_as_sets() {
    let (trained, _) = golden();
    let loss = |mixtures: usize| {
        let by = format!("evolution(calib, population: 4, iterations: 4, mixtures: {mixtures}, seed: 3)");
        trained.loss(&trained.run(&format!("{WIDE}merge experts of layers[*] by {by} into 4")).version)
    };
    let dropped = trained.run(&format!(
        "{WIDE}drop experts of layers[*] by evolution(calib, population: 4, iterations: 4, seed: 3) keep 4"
    ));
    let sets = trained.loss(&dropped.version);
    // Of one child the better of it and of its parents stays.
    assert!(loss(1) <= sets * (1.0 + 1e-5));
    let mixed = loss(30);
    assert!(mixed < sets, "{mixed} {sets}");
    assert_eq!(mixed, loss(30));
}
