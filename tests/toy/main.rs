//! The toy pass of CONTRIBUTING.md: it is the code that stands there, and adding it takes a file and a line in a list.

mod thin;

use std::path::Path;

use tamis::REGISTRY;
use tamis::check::{Settings, check};
use tamis::pass::{PassSpec, Registry};
use tamis::source::{Source, Sources};
use tamis::world::Files;

/// The list with one line more.
static PASSES: &[&PassSpec] = &[&thin::SPEC];

#[test]
fn a_toy_pass_is_checked_and_run_on_the_graph() {
    let registry = Registry { passes: PASSES, ..REGISTRY };
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models/llama-sotu");
    let recipe = format!("model input = \"{}\"\nthin layers keep 2\nsave \"out\"\n", model.display());
    let mut sources = Sources::new();
    let id = sources.add(Source::new("recipe.tamis", recipe));
    let files = Files::new(REGISTRY.families);
    let (typed, diagnostics) = check(id, &Settings::default(), &files, &registry, &mut sources);
    let typed = typed.unwrap_or_else(|| panic!("{diagnostics:?}"));
    let items = typed.items();
    let tamis::check::Item::Step(step) = items[0] else { panic!("a step comes first") };
    assert_eq!(typed.model.graph.blocks.len(), 4);
    assert_eq!(step.graph.blocks.len(), 2);
}

#[test]
fn contributing_shows_this_very_code() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("CONTRIBUTING.md");
    let guide = std::fs::read_to_string(guide).expect("the guide is there");
    let (_, rest) = guide.split_once("```rust\n").expect("the guide shows a pass");
    let (shown, _) = rest.split_once("\n```\n\n").expect("the code ends");
    let code = include_str!("thin.rs").replace("tamis::", "crate::");
    assert_eq!(shown.trim_end(), code.trim_end());
}
