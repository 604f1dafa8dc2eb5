//! The trained models of `tests/models` with their data, and what PyTorch finds on both: `tests/golden/calibrated.py`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value as Json;
use tamis::REGISTRY;
use tamis::checkpoint::{Checkpoint, read_graph};
use tamis::diagnostic::{Diagnostic, Diagnostics};
use tamis::observe::scored;
use tamis::pass::{Argument, Context, Data, Names, Scorer, ValueKind, Work, bind_call, constant, evaluate};
use tamis::source::{Source, Sources, Span};
use tamis::syntax::parse_expr;
use tamis::weights::Version;

use crate::model::Model;
use crate::run::{Outcome, first_work, refused, run, tried};

/// A trained model, and the samples that the golden values are of.
pub struct Trained {
    pub model: Model,
    /// The reader call of the samples.
    call: String,
    pub data: Data,
    /// The golden values.
    pub golden: Json,
}

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// Opens a model of `tests/models`; its samples are read as the golden values say theirs were.
pub fn open(name: &str) -> Trained {
    let dir = tests().join("models").join(name);
    let checkpoint = Arc::new(Checkpoint::open(&dir).expect("the model is in the repository"));
    let graph = read_graph(REGISTRY.families, &checkpoint).expect("a graph");
    let text = fs::read_to_string(tests().join("golden/calibrated.json")).expect("golden values are there");
    let mut all: Json = serde_json::from_str(&text).expect("golden values are JSON");
    let golden = all[name].take();
    let call = call(&golden["data"]);
    Trained { model: Model { graph, checkpoint }, data: read(&call), call, golden }
}

/// The reader call for the data that golden values name.
fn call(of: &Json) -> String {
    let file = tests().join("models").join(of["file"].as_str().expect("a file")).display().to_string();
    let number = |key: &str| of.get(key).map_or_else(String::new, |number| format!(", {key}: {number}"));
    let common = format!("{file:?}{}{}", number("samples"), number("split"));
    match of.get("split") {
        Some(_) => format!("image({common})"),
        None => format!("text({common}{}{}{})", number("field"), number("label"), number("tokens")),
    }
}

fn read(call: &str) -> Data {
    let source = Sources::new().add(Source::new("call", call));
    let span = Span::new(source, 0, call.len());
    let ValueKind::Call { name, args, .. } = constant(call, span).kind else { panic!("`{call}` is a call") };
    let spec = REGISTRY.reader(&name).expect("a reader of that name");
    let reader = bind_call((spec.name, span), &args, spec.arguments, &REGISTRY, spec.bind);
    Data { name: "calib".into(), span, reader: reader.expect("the call is right").into() }
}

/// What `calib` stands for.
struct Calib<'a>(&'a Data);

impl Names for Calib<'_> {
    fn lookup(&self, name: &str) -> Option<ValueKind> {
        (name == "calib").then(|| ValueKind::Data(self.0.clone()))
    }
}

impl Trained {
    pub fn version(&self) -> Version {
        self.model.version()
    }

    pub fn at<'a>(&'a self, version: &'a Version) -> Context<'a> {
        Context::of(version, &self.model.checkpoint.dir)
    }

    /// The model after some steps, whose data is `calib`.
    pub fn run(&self, steps: &str) -> Outcome {
        run(&self.model, &format!("data calib = {}\n{steps}", self.call))
    }

    /// The first work of some steps.
    pub fn first_work(&self, steps: &str) -> Arc<dyn Work> {
        first_work(&self.model, &format!("data calib = {}\n{steps}", self.call))
    }

    /// Why some steps failed while they ran.
    pub fn failed(&self, steps: &str) -> Diagnostic {
        match tried(&self.model, &format!("data calib = {}\n{steps}", self.call)) {
            Ok(_) => panic!("`{steps}` did not fail"),
            Err(wrong) => wrong,
        }
    }

    /// The first error of some steps, before anything is read.
    pub fn refused(&self, steps: &str) -> Diagnostic {
        refused(&self.model, &format!("data calib = {}\n{steps}", self.call))
    }

    /// The scores of axes by a criterion, whose data is `calib`.
    pub fn scores(&self, criterion: &str, paths: &[String]) -> BTreeMap<String, Vec<f64>> {
        let source = Sources::new().add(Source::new("criterion", criterion));
        let mut wrong = Diagnostics::new();
        let value = parse_expr(source, criterion, &mut wrong)
            .and_then(|expr| evaluate(&expr, &Calib(&self.data), &mut wrong))
            .unwrap_or_else(|| panic!("`{criterion}`: {wrong:#?}"));
        let scorer = Scorer::read(&value, &REGISTRY).expect("a criterion");
        let units = scorer.criterion.units().expect("it scores units");
        units.score(&self.at(&self.version()), paths).expect("samples and weights are read")
    }

    /// The mean loss of a version of the model.
    pub fn loss(&self, version: &Version) -> f64 {
        scored(&self.at(version), &self.data).expect("samples have labels").mean_loss()
    }
}

/// The keys of an object, in their order.
pub fn keys(json: &Json) -> Vec<String> {
    json.as_object().expect("an object").keys().cloned().collect()
}

pub fn float(json: &Json) -> f64 {
    json.as_f64().expect("a number")
}

pub fn floats(json: &Json) -> Vec<f64> {
    json.as_array().expect("a list").iter().map(float).collect()
}

/// All values within `tolerance` of the largest of the golden ones.
pub fn near(found: &[f64], golden: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), golden.len(), "{what}");
    let largest = golden.iter().fold(f64::MIN_POSITIVE, |most, it| most.max(it.abs()));
    for (at, (found, golden)) in found.iter().zip(golden).enumerate() {
        let error = (found - golden).abs() / largest;
        assert!(error <= tolerance, "{what}, {at}: {found}, PyTorch has {golden}: {error:.1e} apart");
    }
}

/// The same where the golden values are all, or the first ones, the sum, and the sum of squares.
pub fn shown(found: &[f64], golden: &Json, tolerance: f64, what: &str) {
    let Some(first) = golden.get("first") else {
        return near(found, &floats(golden), tolerance, what);
    };
    let first = floats(first);
    near(&found[..first.len()], &first, tolerance, what);
    // Of values of both signs the sum is small, and its error is that of all of them.
    let (sum, size): (f64, f64) =
        found.iter().fold((0.0, 0.0), |(sum, size), it| (sum + it, size + it.abs()));
    let error = (sum - float(&golden["sum"])).abs() / size;
    assert!(error <= tolerance, "{what}: the sum is {sum}, PyTorch has {}", golden["sum"]);
    if let Some(squares) = golden.get("squares") {
        near(&[found.iter().map(|it| it * it).sum()], &[float(squares)], 2.0 * tolerance, what);
    }
}
