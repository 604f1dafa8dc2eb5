//! Cases about recipes against models, which are configs alone: no weight is there to be read.
//!
//! `tamis` is a recipe with the diagnostics that it expects. Above it `set` holds a `--set` text a line, `file NAME` a file
//! that can be used. Below it `elsewhere` lists the diagnostics that have no line in the recipe: each is `error[code]`, then
//! `in` the name of its text or `end`, then a part of its message.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tamis::REGISTRY;
use tamis::check::{OpenedModel, Settings, World, check as check_recipe};
use tamis::checkpoint::{Checkpoint, read_graph};
use tamis::diagnostic::{Diagnostic, Diagnostics};
use tamis::pass::Reader;
use tamis::source::{Source, SourceId, Sources};

use crate::expectations::compare;
use crate::fixture::{Block, Case};

pub fn check(case: &mut Case) {
    let blocks = case.blocks.clone();
    if blocks.is_empty() {
        return;
    }
    let Some(recipe) = blocks.iter().find(|block| block.kind() == "tamis") else {
        return case.fail(1, "a case has a recipe");
    };
    let of_kind =
        |kind: &str| blocks.iter().filter(|block| block.kind() == kind).cloned().collect::<Vec<_>>();
    let set = of_kind("set")
        .iter()
        .flat_map(|block| block.text.lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let files = of_kind("file")
        .into_iter()
        .map(|block| (block.info["file ".len()..].to_owned(), block.text))
        .collect();
    let settings = Settings { set, ..Settings::default() };
    let mut sources = Sources::new();
    let id = sources.add(Source::new("recipe.tamis", recipe.text.as_str()));
    let (typed, found) = check_recipe(id, &settings, &Toys { files }, &REGISTRY, &mut sources);
    if typed.is_some() == found.has_errors() {
        case.fail(recipe.line, "a recipe is typed just where it has no error");
    }
    let (here, elsewhere) = split(found, id, &recipe.text);
    for (line, message) in compare(&recipe.text, &here) {
        case.fail(recipe.line + line - 1, message);
    }
    check_elsewhere(case, &of_kind("elsewhere"), &elsewhere, &sources);
}

/// Diagnostics on lines of the recipe, and all others.
fn split(found: Diagnostics, recipe: SourceId, text: &str) -> (Diagnostics, Vec<Diagnostic>) {
    let (mut here, mut elsewhere) = (Diagnostics::new(), Vec::new());
    for diagnostic in found {
        match &diagnostic.place {
            Some(place) if place.span.source == recipe && place.span.start < text.len() => {
                here.push(diagnostic);
            }
            _ => elsewhere.push(diagnostic),
        }
    }
    (here, elsewhere)
}

fn check_elsewhere(case: &mut Case, expected: &[Block], found: &[Diagnostic], sources: &Sources) {
    let mut expected: Vec<String> =
        expected.iter().flat_map(|block| block.text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    for diagnostic in found {
        let name = diagnostic.place.as_ref().map_or("nowhere", |place| {
            match sources.get(place.span.source).name() {
                "recipe.tamis" => "end",
                name => name,
            }
        });
        let start = format!("error[{}] in {name}: ", diagnostic.code.name);
        let met = expected.iter().position(|line| {
            line.strip_prefix(&start).is_some_and(|part| diagnostic.message.contains(part.trim_matches('"')))
        });
        match met {
            Some(met) => drop(expected.remove(met)),
            None => case.fail(1, format!("not expected: {start}\"{}\"", diagnostic.message)),
        }
    }
    for missing in expected {
        case.fail(1, format!("not found: {missing}"));
    }
}

/// Models of `tests/suite/models`, and the files of one case.
#[derive(Default)]
pub struct Toys {
    pub files: BTreeMap<String, String>,
}

impl World for Toys {
    fn text(&self, path: &str, _: &str) -> Result<(String, String), String> {
        let text = self.files.get(path).ok_or("there is no such file")?;
        Ok((path.to_owned(), text.clone()))
    }

    fn model(&self, path: &Path, sources: &mut Sources) -> Result<OpenedModel, Diagnostics> {
        let name = path.file_name().expect("a model has a name").to_string_lossy();
        let models = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/suite/models");
        let mut checkpoint = Checkpoint::from_config(&models.join(format!("{name}.json")))?;
        checkpoint.config.register(sources);
        let graph = Arc::new(read_graph(REGISTRY.families, &checkpoint)?);
        let keys = graph.axes.iter().filter_map(|(_, axis)| axis.key.clone());
        let key_spans = keys.filter_map(|key| Some((key.clone(), checkpoint.config.span(&key)?))).collect();
        Ok(OpenedModel { graph, key_spans })
    }

    /// No data lies beside the fixtures.
    fn data(&self, _: &dyn Reader) -> Result<(), Diagnostic> {
        Ok(())
    }
}
