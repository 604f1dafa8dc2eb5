//! Every example of the reference is one that a reader may copy.

use tamis::REGISTRY;
use tamis::check::Settings;
use tamis::diagnostic::{Diagnostics, Severity};
use tamis::source::{Source, Sources};
use tamis::syntax::ast::StatementKind;
use tamis::syntax::parse;

use crate::checker::Toys;

const MODELS: [&str; 4] = ["bert", "llama", "mixtral", "llava"];

/// A recipe with its model and what it saves is checked as it stands. Of all others each step is, on some model that it fits.
#[test]
fn every_example_of_the_reference_checks() {
    let mut faults = Vec::new();
    for (owner, text) in tamis::reference::examples(&REGISTRY) {
        if text.contains("\nmodel ") && text.contains("\nsave ") {
            faults.extend(fault(&text).map(|fault| format!("{owner}: {fault}\n{text}")));
            continue;
        }
        for step in steps(&text) {
            let on = |model: &&str| {
                fault(&format!("model input = \"models/{model}\"\n{step}\nsave \"out\"\n")).is_none()
            };
            if !MODELS.iter().any(on) {
                faults.push(format!("{owner}: on no model: {step}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The texts of the steps, each behind the data that it may use; sweeps have nothing to do with them.
fn steps(text: &str) -> Vec<String> {
    let mut sources = Sources::new();
    let source = sources.add(Source::new("example", text));
    let mut diagnostics = Diagnostics::new();
    let recipe = parse(source, text, &mut diagnostics);
    assert!(diagnostics.is_empty(), "{text}\n{diagnostics:?}");
    let texts = |wanted: fn(&StatementKind) -> bool| -> Vec<String> {
        let statements = recipe.statements.iter().filter(|statement| wanted(&statement.kind));
        statements.map(|statement| sources.text(statement.span).to_owned()).collect()
    };
    let data = texts(|kind| matches!(kind, StatementKind::Data { .. })).join("\n");
    let steps = texts(|kind| matches!(kind, StatementKind::Step(_)));
    steps.into_iter().map(|step| format!("{data}\n{step}")).collect()
}

/// The first error. A step that changes nothing where it stands alone, as `densify`, is told so, and fine.
fn fault(text: &str) -> Option<String> {
    let mut sources = Sources::new();
    let source = sources.add(Source::new("example", text));
    let (_, found) =
        tamis::check::check(source, &Settings::default(), &Toys::default(), &REGISTRY, &mut sources);
    let mut errors = found.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
    errors.next().map(|diagnostic| diagnostic.message.clone())
}
