//! Runs of toy recipes: what they leave, how they fail, and that nothing but the recipe and the model matters.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use proptest::prelude::*;

use super::{Options, Outcome, Progress, RecipeText, Silent, run};
use crate::check::ExpectBound;
use crate::checkpoint::{Checkpoint, Digest, Existing};
use crate::diagnostic::{Diagnostics, codes};
use crate::optimize::{RULES, optimize};
use crate::plan::toys::{self, Body, neurons, recipe};
use crate::plan::{Plan, build};
use crate::provenance::{Lock, Provenance, Statement};
use crate::tensor::convert;

/// A directory with a model, in which outputs are made.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        toys::write_model(&dir.path().join("model"));
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn plan(&self, write: impl FnOnce(&mut Body)) -> Plan {
        build(&recipe(&self.path("model"), write))
    }

    fn run(&self, plan: &Plan) -> Result<Outcome, Diagnostics> {
        self.run_with(plan, &Silent)
    }

    fn run_with(&self, plan: &Plan, progress: &dyn Progress) -> Result<Outcome, Diagnostics> {
        let options = Options {
            families: &[&toys::FAMILY],
            recipe: RecipeText { text: "drop it\n".into(), ..RecipeText::default() },
            existing: Existing::Refuse,
            cache: Some(self.path("cache")),
            pages: &|provenance| vec![("README.md".into(), format!("{:?}", provenance.after).into_bytes())],
        };
        run(plan, &options, progress)
    }

    /// Files of an output, by name.
    /// All of a directory but what the run took, which no other run takes.
    fn files(&self, name: &str) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(self.path(name)).unwrap().map(|entry| entry.unwrap().path());
        entries
            .filter(|path| !path.ends_with(super::timings::TIMINGS))
            .map(|path| (path.file_name().unwrap().to_str().unwrap().into(), fs::read(&path).unwrap()))
            .collect()
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn values(dir: &Path, tensor: &str) -> Vec<f32> {
    let checkpoint = Checkpoint::open(dir).unwrap();
    let stored = &checkpoint.tensors[tensor];
    let bytes = checkpoint.read(stored).unwrap();
    let mut values = vec![0.0; bytes.len() / stored.dtype.size()];
    convert::read_f32(stored.dtype, &bytes, &mut values).unwrap();
    values
}

/// What was started, line by line.
#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl Progress for Log {
    fn start(&self, what: &str, _: Option<u64>) {
        self.0.lock().unwrap().push(what.into());
    }

    fn advance(&self, _: u64) {}

    fn finish(&self) {}
}

impl Log {
    fn works(&self) -> usize {
        let lines = self.0.lock().unwrap();
        lines.iter().filter(|line| line.starts_with("score") || line.starts_with("select")).count()
    }
}

#[test]
fn a_run_leaves_a_complete_directory() {
    let place = Place::new();
    let plan = place.plan(|body| {
        body.halve(&["head"]).cut("layers", &[0, 2]).save(place.path("out"));
    });
    let outcome = place.run(&plan).unwrap();
    let files = place.files("out");
    assert_eq!(
        files.keys().collect::<Vec<_>>(),
        [
            "README.md",
            "config.json",
            "model.safetensors",
            "provenance.json",
            "recipe.tamis",
            "report.json",
            "tamis.lock",
            "tokenizer.json"
        ]
    );
    // Only the number of layers changed.
    let config = toys::CONFIG.replace("\"num_layers\": 4", "\"num_layers\": 2");
    assert_eq!(files["config.json"], config.as_bytes());
    let read: Provenance = serde_json::from_slice(&files["report.json"]).unwrap();
    assert_eq!(read, outcome.saved[0].provenance);
    assert_eq!(
        values(&place.path("out"), "layers.1.up.weight"),
        values(&place.path("model"), "layers.2.up.weight")
    );
    assert_eq!(place.names(), ["cache", "model", "out"]);
}

#[test]
fn the_provenance_holds_for_every_file() {
    let place = Place::new();
    let plan = place.plan(|body| {
        body.cut("layers", &[0]).save(place.path("out"));
    });
    place.run(&plan).unwrap();
    let files = place.files("out");
    let statement: Statement = serde_json::from_slice(&files["provenance.json"]).unwrap();
    assert_eq!(statement.subject.len(), files.len() - 1);
    for subject in &statement.subject {
        assert_eq!(
            subject.digest["sha256"],
            Digest::sha256(&files[&subject.name]).to_string(),
            "{}",
            subject.name
        );
    }
    let lock = Lock::from_yaml(std::str::from_utf8(&files["tamis.lock"]).unwrap()).unwrap();
    let names: Vec<&str> = lock.model.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["config.json", "model.safetensors", "tokenizer.json"]);
    assert_eq!(lock.recipe, Digest::sha256(&files["recipe.tamis"]).to_string());
}

#[test]
fn what_was_done_is_told_by_step_and_layer() {
    let place = Place::new();
    let plan = place.plan(|body| {
        body.prune(&[1], 4).cut("layers", &[1, 3]).halve(&["head"]).measure().save(place.path("out"));
    });
    let Provenance { steps, layers, tensors, after, before, measures, loads_in, .. } =
        place.run(&plan).unwrap().saved.remove(0).provenance;
    assert_eq!(before.cost.params, 328);
    let kept = &steps[0].kept[0];
    assert_eq!((kept.axis.as_str(), kept.of, kept.kept.len()), (&*neurons(1), 8, 4));
    let scores = kept.scores.as_ref().unwrap();
    let least = kept.kept.iter().map(|&at| scores[at]).fold(f64::MAX, f64::min);
    assert!((0..8).filter(|at| !kept.kept.contains(at)).all(|at| scores[at] <= least));
    assert_eq!(steps[1].kept[0].kept, [1, 3]);
    assert_eq!(steps[2].sparsified[0].place, "head");
    assert_eq!((steps[1].after, steps[2].before), (steps[2].before, steps[2].after));
    let now: Vec<Option<&str>> = layers.iter().map(|layer| layer.now.as_deref()).collect();
    assert_eq!(now, [None, Some("layers[0]"), None, Some("layers[1]")]);
    assert_eq!((layers[1].axes[0].before, layers[1].axes[0].after), (8, 4));
    let head = tensors.iter().find(|tensor| tensor.place == "head").unwrap();
    assert_eq!((head.zeros, after.zeros), (10, 10));
    assert_eq!(measures[0].value, 10.0 / (20.0 + 32.0 + 64.0));
    assert!(!loads_in.transformers, "layers of different widths");
    assert!(place.path("out/tamis.graph.json").exists());
}

#[test]
fn an_expectation_that_fails_fails_after_all_is_written() {
    let place = Place::new();
    let plan = place.plan(|body| {
        body.halve(&["head"])
            .expect(ExpectBound::Absolute(0.9))
            .expect(ExpectBound::OfInput(1.0))
            .save(place.path("out"));
    });
    let outcome = place.run(&plan).unwrap();
    assert_eq!(outcome.unmet.len(), 1);
    assert_eq!(outcome.unmet[0].code, &codes::EXPECTATION_FAILED);
    let held: Vec<bool> = outcome.saved[0].provenance.expectations.iter().map(|it| it.held).collect();
    assert_eq!(held, [false, true]);
    assert!(place.path("out/report.json").exists());
}

#[test]
fn a_second_run_finds_what_the_first_found() {
    let place = Place::new();
    let plan = |out: &str| {
        place.plan(|body| {
            body.prune(&[0, 1], 4).save(place.path(out));
        })
    };
    let logs = [Log::default(), Log::default(), Log::default()];
    place.run_with(&plan("a"), &logs[0]).unwrap();
    place.run_with(&plan("b"), &logs[1]).unwrap();
    // Another last step does that step anew.
    let edited = place.plan(|body| {
        body.prune(&[0, 1], 2).save(place.path("c"));
    });
    place.run_with(&edited, &logs[2]).unwrap();
    assert_eq!(logs.each_ref().map(Log::works), [2, 0, 1]);
    assert_eq!(place.files("a"), place.files("b"));
}

#[test]
fn what_exists_is_not_touched_and_two_outputs_have_two_places() {
    let place = Place::new();
    fs::create_dir(place.path("out")).unwrap();
    let plan = place.plan(|body| {
        body.cut("layers", &[0]).save(place.path("out"));
    });
    assert_eq!(place.run(&plan).unwrap_err().iter().next().unwrap().code, &codes::OUTPUT_EXISTS);
    let twice = place.plan(|body| {
        body.sweep(&["a", "b"], |at, body| {
            body.cut("layers", &[at]).save(place.path("x"));
        });
    });
    assert_eq!(place.run(&twice).unwrap_err().iter().next().unwrap().code, &codes::DUPLICATE_SAVE);
    assert_eq!(place.names(), ["model", "out"]);
}

#[test]
fn a_model_that_changed_since_it_was_checked_is_refused() {
    let place = Place::new();
    let plan = place.plan(|body| {
        body.cut("layers", &[0]).save(place.path("out"));
    });
    fs::remove_dir_all(place.path("model")).unwrap();
    toys::write_small_model(&place.path("model"));
    assert_eq!(place.run(&plan).unwrap_err().iter().next().unwrap().code, &codes::MODEL_CHANGED);
    assert_eq!(place.names(), ["model"]);
}

#[test]
fn weights_that_are_not_finite_are_named_and_leave_nothing() {
    let place = Place::new();
    toys::spoil(&place.path("model"), "layers.1.up.weight");
    let plan = place.plan(|body| {
        body.prune(&[1], 4).save(place.path("out"));
    });
    let error = place.run(&plan).unwrap_err().into_iter().next().unwrap();
    assert!(error.message.contains("layers.1.up.weight"), "{}", error.message);
    assert_eq!(error.code.fault.exit_code(), 3);
    assert!(!place.names().contains(&"out".to_string()));
}

/// A step of a random recipe.
#[derive(Debug, Clone)]
enum Step {
    Prune(Vec<usize>, usize),
    CutLayers(Vec<usize>),
    CutNeurons(usize, Vec<usize>),
    Halve(Vec<usize>),
    Factor(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let some = |all: usize| prop::sample::subsequence((0..all).collect::<Vec<_>>(), 1..=all);
    prop_oneof![
        (some(2), 1..4_usize).prop_map(|(layers, keep)| Step::Prune(layers, keep)),
        some(3).prop_map(Step::CutLayers),
        (0..2_usize, some(4)).prop_map(|(layer, keep)| Step::CutNeurons(layer, keep)),
        some(2).prop_map(Step::Halve),
        (0..2_usize).prop_map(Step::Factor),
    ]
}

/// Does a step where the model still has what it is about.
fn put(body: &mut Body, step: &Step) {
    match step {
        Step::Prune(layers, keep) => {
            let there: Vec<usize> =
                layers.iter().copied().filter(|&at| body.extent(&neurons(at)) >= *keep).collect();
            if !there.is_empty() {
                body.prune(&there, *keep);
            }
        }
        Step::CutLayers(keep) => cut(body, "layers", keep),
        Step::CutNeurons(layer, keep) => cut(body, &neurons(*layer), keep),
        Step::Halve(layers) => {
            let sites: Vec<String> = layers.iter().map(|at| format!("layers[{at}].mlp.down")).collect();
            let even: Vec<&str> =
                sites.iter().map(String::as_str).filter(|site| body.can_halve(site)).collect();
            if !even.is_empty() {
                body.halve(&even);
            }
        }
        Step::Factor(layer) => {
            let site = format!("layers[{layer}].mlp.up");
            if body.can_factor(&site) {
                body.factor(&[&site]);
            }
        }
    }
}

fn cut(body: &mut Body, axis: &str, keep: &[usize]) {
    let extent = body.extent(axis);
    let keep: Vec<usize> = keep.iter().copied().filter(|&at| at < extent).collect();
    if !keep.is_empty() && keep.len() < extent {
        body.cut(axis, &keep);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn rules_and_threads_change_no_byte(first in prop::collection::vec(step(), 0..4), rest in prop::collection::vec(step(), 0..3)) {
        let place = Place::new();
        let written = |out: &str| {
            place.plan(|body| {
                first.iter().for_each(|step| put(body, step));
                body.measure().save(place.path(&format!("{out}-all")));
                body.sweep(&["a", "b"], |at, body| {
                    rest.iter().skip(at).for_each(|step| put(body, step));
                    body.save(place.path(&format!("{out}-{at}"))).measure().expect(ExpectBound::OfInput(1.0));
                });
            })
        };
        place.run(&written("plain")).unwrap();
        fs::remove_dir_all(place.path("cache")).unwrap();
        let (optimized, _) = optimize(written("rules"), RULES);
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        one.install(|| place.run(&optimized)).unwrap();
        for save in ["all", "0", "1"] {
            prop_assert_eq!(place.files(&format!("plain-{save}")), place.files(&format!("rules-{save}")));
        }
    }
}
