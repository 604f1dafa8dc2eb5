//! What holds for the trained models whatever other programs say: gates, nothing asked, threads.

use rayon::ThreadPoolBuilder;
use tamis::graph::Graph;
use tamis::observe::{ObserveInputs, Outputs, Statistic, read_batches};
use tamis::pass::{Finding, Work};
use tamis::runtime::op::tensor;
use tamis::runtime::{Gates, Model};
use tamis::weights::Version;

use crate::trained::{Trained, keys, near, open};

/// The logits of all samples, one after the other.
fn logits(trained: &Trained, version: &Version, gates: &Gates) -> Vec<f32> {
    let batches = read_batches(&trained.at(version), &trained.data, None).expect("samples are read");
    let model = Model::new(version);
    let weights = model.load().expect("weights are read");
    let of_batch = |batch| {
        let mut outputs = Outputs::default();
        model.forward(&weights, batch, gates, &mut outputs).expect("it runs");
        let logits = outputs.logits.expect("the model has a head").tensor;
        logits.flatten_all().and_then(|logits| logits.to_vec1()).expect("logits are floats")
    };
    batches.iter().flat_map(of_batch).collect()
}

/// Puts gates of 1 on an axis, and of 0 on one of its elements where there is one to be out.
fn put(gates: &mut Gates, graph: &Graph, path: &str, out: Option<usize>) {
    let axis = graph.places().axis(path).expect("an axis of that path");
    let extent = graph.extent(axis).max;
    let factors = (0..extent).map(|at| if Some(at) == out { 0.0 } else { 1.0 }).collect();
    gates.put(graph, axis, &tensor(factors, (1, extent)).expect("a tensor"));
}

#[test]
fn gates_of_one_change_no_bit() {
    for name in ["bert-eras", "llama-sotu", "vit-fashion"] {
        let trained = open(name);
        let version = trained.version();
        let mut gates = Gates::default();
        for path in keys(&trained.golden["gradient"]) {
            put(&mut gates, &version.graph, &path, None);
        }
        let (gated, plain) =
            (logits(&trained, &version, &gates), logits(&trained, &version, &Gates::default()));
        assert!(gated.iter().map(|it| it.to_bits()).eq(plain.iter().map(|it| it.to_bits())), "{name}");
    }
}

/// The sums have fewer terms, so that they are rounded otherwise: 1e-5 of the largest logit.
#[test]
fn a_gate_of_zero_is_what_pruning_would_be() {
    for (name, heads) in [("bert-eras", "heads"), ("llama-sotu", "kv_heads"), ("vit-fashion", "heads")] {
        let trained = open(name);
        let version = trained.version();
        let plain = logits(&trained, &version, &Gates::default());
        for (step, path, out) in [
            (format!("prune {heads}[0] of layers[1]"), format!("layers[1].attention.{heads}"), 0),
            ("prune neurons[5] of layers[2]".into(), "layers[2].mlp.neurons".into(), 5),
        ] {
            let mut gates = Gates::default();
            put(&mut gates, &version.graph, &path, Some(out));
            let gated = logits(&trained, &version, &gates);
            assert_ne!(gated, plain, "{name} {step}");
            let pruned = logits(&trained, &trained.run(&step).version, &Gates::default());
            let wide = |logits: Vec<f32>| logits.into_iter().map(f64::from).collect::<Vec<f64>>();
            near(&wide(pruned), &wide(gated), 1e-5, &format!("{name} {step}"));
        }
    }
}

#[test]
fn no_zeros_asked_of_wanda_change_nothing() {
    let trained = open("llama-sotu");
    let before = trained.run("");
    let done = trained.run("sparsify weights of layers[*] by wanda(calib) to 0% zeros");
    assert_eq!(done.notes(), ["no-effect"]);
    for name in before.names() {
        assert!(done.bytes(&name) == before.bytes(&name), "{name}");
    }
}

#[test]
fn any_number_of_threads_gives_the_same_scores() {
    let trained = open("bert-eras");
    let (sites, axes) = (keys(&trained.golden["input_norms"]), keys(&trained.golden["gradient"]));
    let at = |threads: usize| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| {
            let version = trained.version();
            let data = trained.data.clone();
            let observe = ObserveInputs::new(&version.graph, data, Statistic::Squares, &sites, None);
            let Finding::Statistics(seen) = observe.run(&trained.at(&version)).expect("samples are read")
            else {
                panic!("squares are statistics")
            };
            let gradients = trained.scores("fisher(calib)", &axes);
            let bits = |of: &Vec<f64>| of.iter().map(|it| it.to_bits()).collect::<Vec<u64>>();
            seen.0.values().chain(gradients.values()).map(bits).collect::<Vec<_>>()
        })
    };
    assert!(at(1) == at(3));
}
