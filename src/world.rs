//! Files as the checker's world: recipes, the texts that they use, models on disk.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::check::{OpenedModel, World};
use crate::checkpoint::{Checkpoint, Family, locate, read_graph};
use crate::diagnostic::{Diagnostic, Diagnostics, codes, nearest};
use crate::graph::Graph;
use crate::pass::Reader;
use crate::report::license_of;
use crate::source::{Source, SourceId, Sources};

/// No recipe is longer; what claims to be is refused before memory is taken for it.
const LONGEST_RECIPE: u64 = 64 << 20;

/// Files, from the current directory. A model is opened once, however many recipes name it.
///
/// It belongs to one [`Sources`], whose ids it remembers.
#[derive(Debug)]
pub struct Files {
    families: &'static [&'static Family],
    opened: RefCell<BTreeMap<PathBuf, OpenedModel>>,
    /// Texts that recipes used, in the order in which they were read.
    used: RefCell<Vec<(PathBuf, String)>>,
}

impl Files {
    pub fn new(families: &'static [&'static Family]) -> Self {
        Self { families, opened: RefCell::default(), used: RefCell::default() }
    }

    /// Reads a recipe.
    ///
    /// # Errors
    /// Where it is not there, no file, no text or too large.
    pub fn recipe(&self, path: &Path, sources: &mut Sources) -> Result<SourceId, Diagnostic> {
        let text = read_text(path).map_err(|why| unreadable(path, &why))?;
        Ok(sources.add(Source::new(path.display().to_string(), text)))
    }

    /// Texts that recipes used: the path from the recipe's directory, and the text.
    pub fn used(&self, recipe: &Path) -> Vec<(String, String)> {
        let dir = plain(recipe.parent().unwrap_or(Path::new("")));
        let shown = |path: &Path| path.strip_prefix(&dir).unwrap_or(path).display().to_string();
        self.used.borrow().iter().map(|(path, text)| (shown(path), text.clone())).collect()
    }

    /// The directory that a path or a name in the cache means.
    pub fn locate(&self, path: &Path) -> Result<PathBuf, Diagnostic> {
        match path.to_str() {
            Some(given) => locate(given, Path::new("")),
            None => Ok(path.to_owned()),
        }
    }

    /// The licence that a model's card states.
    pub fn license(&self, model: &Path) -> Option<String> {
        let card = read_text(&self.locate(model).ok()?.join("README.md")).ok()?;
        license_of(&card)
    }

    /// Opens a checkpoint by path or by name. A file is taken for a `config.json` without weights.
    pub fn checkpoint(&self, path: &Path) -> Result<Checkpoint, Diagnostic> {
        let dir = self.locate(path)?;
        if dir.is_file() { Checkpoint::from_config(&dir) } else { Checkpoint::open(&dir) }
    }

    /// A checkpoint and its graph. What is wrong with the config points into it.
    pub fn graph(&self, path: &Path, sources: &mut Sources) -> Result<(Checkpoint, Graph), Diagnostics> {
        let mut checkpoint = self.checkpoint(path)?;
        checkpoint.config.register(sources);
        let graph = read_graph(self.families, &checkpoint)?;
        Ok((checkpoint, graph))
    }

    fn open(&self, path: &Path, sources: &mut Sources) -> Result<OpenedModel, Diagnostics> {
        let (Checkpoint { config, .. }, graph) = self.graph(path, sources)?;
        let keys: BTreeSet<&str> = graph.axes.iter().filter_map(|(_, axis)| axis.key.as_deref()).collect();
        let span = |key: &str| Some((key.to_owned(), config.span(key)?));
        let key_spans = keys.into_iter().filter_map(span).collect();
        Ok(OpenedModel { graph: Arc::new(graph), key_spans })
    }
}

impl World for Files {
    fn text(&self, path: &str, from: &str) -> Result<(String, String), String> {
        let path = plain(&Path::new(from).with_file_name(path));
        let text = read_text(&path)?;
        let mut used = self.used.borrow_mut();
        if !used.iter().any(|(known, _)| *known == path) {
            used.push((path.clone(), text.clone()));
        }
        Ok((path.display().to_string(), text))
    }

    fn model(&self, path: &Path, sources: &mut Sources) -> Result<OpenedModel, Diagnostics> {
        if let Some(opened) = self.opened.borrow().get(path) {
            return Ok(opened.clone());
        }
        let opened = self.open(path, sources)?;
        self.opened.borrow_mut().insert(path.to_owned(), opened.clone());
        Ok(opened)
    }

    fn data(&self, reader: &dyn Reader) -> Result<(), Diagnostic> {
        reader.look()
    }
}

/// A text file, or why it cannot be one.
fn read_text(path: &Path) -> Result<String, String> {
    let fail = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        _ => error.to_string(),
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(fail)?;
    file.take(LONGEST_RECIPE + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > LONGEST_RECIPE {
        return Err(format!("it is larger than {} MiB", LONGEST_RECIPE >> 20));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|&&byte| byte == b'\n').count() + 1;
        format!("line {line} is not UTF-8")
    })
}

fn unreadable(path: &Path, why: &str) -> Diagnostic {
    let message = format!("cannot read `{}`: {why}", path.display());
    let error = Diagnostic::new(&codes::RECIPE_UNREADABLE, message).path(path);
    match beside(path) {
        Some(like) if !path.exists() => error.help(format!("there is `{}`", like.display())),
        _ => error,
    }
}

/// The recipe in the same directory whose name is most like this one.
fn beside(path: &Path) -> Option<PathBuf> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = dir.read_dir().ok()?.flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| name.ends_with(".tamis"));
    names.sort_unstable();
    let near = nearest(path.file_name()?.to_str()?, names.iter().map(String::as_str))?;
    Some(path.with_file_name(near))
}

/// The path without `.` and without `x/..`, so that one file has one name.
pub fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match (part, plain.components().next_back()) {
            (Component::CurDir, _) => {}
            (Component::ParentDir, Some(Component::Normal(_))) => {
                plain.pop();
            }
            _ => plain.push(part),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_used_file_is_found_beside_the_one_that_uses_it() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("shared")).unwrap();
        std::fs::write(dir.path().join("shared/sizes.tamis"), "let r = 30%\n").unwrap();
        let from = dir.path().join("recipes/x.tamis").display().to_string();
        let (name, text) = Files::new(&[]).text("../shared/./sizes.tamis", &from).unwrap();
        assert_eq!(name, dir.path().join("shared/sizes.tamis").display().to_string());
        assert_eq!(text, "let r = 30%\n");
        assert_eq!(Files::new(&[]).text("sizes.tamis", &from).unwrap_err(), "there is no such file");
    }

    #[test]
    fn parents_are_taken_back_only_where_there_is_one() {
        for (given, expected) in [
            ("./a/../b", "b"),
            ("../a", "../a"),
            ("a/../../b", "../b"),
            ("/a/./b", "/a/b"),
            ("../../a/..", "../.."),
        ] {
            assert_eq!(plain(Path::new(given)), Path::new(expected), "{given}");
        }
    }

    #[test]
    fn what_is_no_text_says_where() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.tamis");
        std::fs::write(&path, b"a\nb\xff\n").unwrap();
        assert_eq!(read_text(&path).unwrap_err(), "line 2 is not UTF-8");
        assert_eq!(read_text(dir.path()).unwrap_err(), "it is a directory");
        let missing = Files::new(&[]).recipe(&dir.path().join("y.tamis"), &mut Sources::new()).unwrap_err();
        assert_eq!(missing.help.unwrap(), format!("there is `{}`", path.display()));
    }
}
