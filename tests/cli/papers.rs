//! The recipes of papers, each from its text to a saved model on a small trained one. Few samples are shown: what comes out is in
//! `docs/results.md`, that it comes out is here.

use std::path::Path;

use crate::program::{Place, ran};

/// Runs a recipe on few samples; its measures.
fn run(name: &str, model: &str) -> Vec<f64> {
    run_with(name, model, &[])
}

/// The same with further arguments.
fn run_with(name: &str, model: &str, more: &[&str]) -> Vec<f64> {
    let place = Place::new();
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text =
        std::fs::read_to_string(repository.join(format!("recipes/papers/{name}.tamis"))).expect("a recipe");
    place.write("x.tamis", text.replace("tests/models/", "models/"));
    let mut arguments = vec!["run", "x.tamis", "--no-cache"];
    if text.contains("param samples") {
        arguments.extend(["--set", "samples=16"]);
    }
    arguments.extend(more);
    let model = format!("models/{model}");
    if !text.contains("model input =") {
        arguments.extend(["--model", &model]);
    }
    let ran = ran(place.command(&arguments).output().expect("the program starts"));
    assert_eq!(ran.code, Some(0), "{name}: {}", ran.stderr);
    let report: serde_json::Value =
        serde_json::from_str(&place.read(&format!("out/{name}/report.json"))).expect("a report");
    let measures = report["measures"].as_array().expect("measures are listed");
    measures.iter().map(|measure| measure["value"].as_f64().expect("a number")).collect()
}

#[test]
fn every_recipe_of_a_language_model_runs() {
    let names = [
        "wanda-2-4",
        "sparsegpt-2-4",
        "magnitude-2-4",
        "global-magnitude",
        "shortgpt",
        "minitron-width",
        "svd-llm",
    ];
    for name in names {
        let found = run(name, "llama-sotu");
        // The dense model has 23.5, one that knows how often each token comes 566.
        assert!(found.iter().all(|perplexity| (20.0..120.0).contains(perplexity)), "{name}: {found:?}");
    }
}

#[test]
fn every_recipe_of_a_classifier_runs() {
    let accuracies = run("lamp-dimap", "");
    assert!(accuracies[0] > 0.5, "{accuracies:?}");
    for name in ["optin", "nvit-taylor"] {
        let found = run(name, "");
        assert!(found[0] > 0.35, "{name}: {found:?}");
    }
    let [pruned, _, tuned, _] = run("kwon-fisher", "")[..] else { panic!("it measures four times") };
    assert!(pruned > 0.35 && tuned > 0.35, "{pruned}, {tuned}");
}

/// Each gives a model that still predicts: the dense one has 19 to 26 here, one that knows how often each token comes 566.
#[test]
fn every_recipe_of_experts_runs() {
    for name in ["mc-smoe", "hc-smoe", "naee", "reap"] {
        let found = run(name, "");
        let perplexities: Vec<f64> = found.iter().copied().step_by(2).collect();
        assert!(perplexities.iter().all(|it| (15.0..200.0).contains(it)), "{name}: {found:?}");
    }
    // One step of training.
    let few = ["--set", "epochs=1", "--set", "train_samples=8"];
    let [drawn, _, tuned, _] = run_with("adamoe", "", &few)[..] else { panic!("it measures four times") };
    assert!((15.0..200.0).contains(&drawn) && tuned < 2.0 * drawn, "{drawn}, {tuned}");
    let few = ["--set", "iterations=4", "--set", "mixtures=8"];
    let [perplexity, _] = run_with("eep", "", &few)[..] else { panic!("it measures twice") };
    assert!((20.0..400.0).contains(&perplexity), "{perplexity}");
}

/// The dense models have 0.89 and 0.66; the commonest class is a tenth and a third of the samples.
#[test]
fn every_recipe_of_tokens_runs() {
    for name in ["tome", "pitome", "evit", "zero-tprune", "diffrate"] {
        let found = run(name, "");
        assert!(found[0] > 0.7, "{name}: {found:?}");
    }
    let [accuracy, _] = run("attention-mass", "")[..] else { panic!("it measures twice") };
    assert!(accuracy > 0.4, "{accuracy}");
}

#[test]
fn every_recipe_of_a_picture_and_a_text_runs() {
    let [flops] = run("fastv", "")[..] else { panic!("it measures once") };
    assert!(flops > 0.0, "{flops}");
    // How much MustDrop saves is each sample's own.
    assert!(run("mustdrop", "").is_empty());
}

/// Sixteen samples teach little; a language model gains all the same. That zeros and budgets hold is checked by the run itself.
#[test]
fn every_recipe_that_trains_runs() {
    let few = ["--set", "epochs=2"];
    for name in
        ["hinton-kd", "minilm", "gradual-magnitude", "masksparsity", "dsee", "greentrainer", "flowformer"]
    {
        let found = run_with(name, "", &few);
        assert!(found.iter().all(|share| (0.0..=1.0).contains(share)), "{name}: {found:?}");
    }
    let accuracies = run_with("progressive-gradient-flow", "", &few);
    assert!((0.0..=1.0).contains(&accuracies[0]), "{accuracies:?}");
    let [sparse, tuned, dense] = run_with("spdf", "", &few)[..] else { panic!("it measures three times") };
    assert!(tuned < sparse && dense < tuned, "{sparse}, {tuned}, {dense}");
}

#[test]
fn no_recipe_is_left_out() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/papers");
    assert_eq!(std::fs::read_dir(dir).expect("recipes").count(), 34);
}
