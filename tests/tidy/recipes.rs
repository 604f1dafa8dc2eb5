//! Every recipe of the repository is one that a user may copy.

use tamis::REGISTRY;
use tamis::check::Settings;
use tamis::diagnostic::{Style, human};
use tamis::source::{Source, Sources};
use tamis::world::Files;

use crate::files::{File, files, none};

#[test]
fn every_recipe_is_in_order() {
    let faults = files(&["recipes"], &[".tamis"]).iter().flat_map(faults).collect::<Vec<_>>();
    none(&faults);
}

/// What is wrong with one recipe. It opens by saying what it is, is formatted, and checks: on its own model, or where the
/// command line names one, on a small Llama.
fn faults(file: &File) -> Vec<String> {
    let mut faults = Vec::new();
    if !file.text.starts_with("## ") {
        faults.push(format!("{}: open it with a `##` comment that says what it does", file.path));
    }
    if tamis::syntax::format(&file.text).as_ref() != Ok(&file.text) {
        faults.push(format!("{}: `tamis fmt` writes it otherwise", file.path));
    }
    let has_own = file.text.lines().any(|line| line.starts_with("model input ="));
    let model = (!has_own).then(|| "tests/models/llama-sotu".into());
    let settings = Settings { model, ..Settings::default() };
    let mut sources = Sources::new();
    let id = sources.add(Source::new(file.path.as_str(), file.text.as_str()));
    let (typed, found) = tamis::check(id, &settings, &Files::new(REGISTRY.families), &mut sources);
    if typed.is_none() {
        faults.push(human(&found, &sources, Style::default()));
    }
    faults
}
