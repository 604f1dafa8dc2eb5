//! Readers from their text, and the golden values.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tamis::REGISTRY;
use tamis::diagnostic::Diagnostic;
use tamis::pass::{Data, For, Input, Sample, Sides, Takes, ValueKind, bind_call, constant};
use tamis::source::{Source, Sources, Span};

pub fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// A file of `tests/models`, as a recipe names it.
pub fn file(name: &str) -> String {
    tests().join("models").join(name).display().to_string()
}

/// What transformers makes of the data.
pub fn golden() -> Value {
    let text = fs::read_to_string(tests().join("golden/data.json")).expect("the golden values are there");
    serde_json::from_str(&text).expect("the golden values are JSON")
}

/// A data set from its reader call.
pub fn data(call: &str) -> Data {
    let source = Sources::new().add(Source::new("call", call));
    let span = Span::new(source, 0, call.len());
    let ValueKind::Call { name, args, .. } = constant(call, span).kind else { panic!("`{call}` is a call") };
    let spec = REGISTRY.reader(&name).expect("a reader of that name");
    let reader = bind_call((spec.name, span), &args, spec.arguments, &REGISTRY, spec.bind);
    Data { name: "data".into(), span, reader: reader.expect("the call is right").into() }
}

/// A model of `tests/models`.
pub fn model(dir: &Path) -> For<'_> {
    For { dir, causal: false, positions: None, picture: None }
}

/// Pictures of Fashion-MNIST's size.
pub fn takes(channels: usize) -> Takes {
    Takes { channels, sides: Sides::Exactly([28, 28]) }
}

/// The samples up to the first error.
pub fn samples(data: &Data, model: &For<'_>) -> Result<Vec<Sample>, Diagnostic> {
    data.samples(model)?.collect()
}

pub fn refused(data: &Data, model: &For<'_>) -> Diagnostic {
    samples(data, model).expect_err("there is something wrong")
}

pub fn tokens(samples: Vec<Sample>) -> Vec<Vec<u32>> {
    let tokens = |sample: Sample| match sample.input {
        Input::Tokens(tokens) => tokens,
        Input::Pixels(_) => panic!("these are texts"),
    };
    samples.into_iter().map(tokens).collect()
}
