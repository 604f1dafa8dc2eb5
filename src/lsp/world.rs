//! Files as the editor sees them: open texts before those on disk, models kept until their files change.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::SystemTime;

use tamis::check::{OpenedModel, World};
use tamis::diagnostic::{Diagnostic, Diagnostics};
use tamis::graph::Graph;
use tamis::pass::Reader;
use tamis::source::{Source, Sources, Span};
use tamis::world::{Files, plain};

/// Texts of open documents, by path.
pub type OpenTexts = Arc<RwLock<BTreeMap<PathBuf, Arc<str>>>>;

/// What a file or the files of a directory looked like: names, sizes and times; `None` where nothing is there.
pub type Stamp = Option<Vec<(String, u64, Option<SystemTime>)>>;

/// Files of a data set beyond this many are not watched.
const WATCHED: usize = 16;

/// Models that were opened, until their files change.
#[derive(Debug, Default)]
pub struct Models {
    opened: BTreeMap<PathBuf, Kept>,
    /// Data sets that were looked at and found to be fine, until something changes.
    looked: BTreeMap<String, Stamp>,
}

#[derive(Debug)]
struct Kept {
    stamp: Stamp,
    graph: Arc<Graph>,
    config: (String, Arc<str>),
    /// Bytes of values in the config, by key.
    keys: Vec<(String, (usize, usize))>,
}

impl Models {
    /// Forgets what no check asks for any more.
    pub fn keep(&mut self, is_asked: impl Fn(&Path) -> bool) {
        self.opened.retain(|path, _| is_asked(path));
        if self.looked.len() > 256 {
            self.looked.clear();
        }
    }
}

/// The world of one check.
pub struct Desk<'a> {
    pub files: &'a Files,
    pub models: &'a RefCell<Models>,
    pub open: &'a OpenTexts,
    pub is_stale: &'a dyn Fn() -> bool,
    /// What was asked for, and what it looked like.
    pub asked: RefCell<BTreeMap<PathBuf, Stamp>>,
}

impl Desk<'_> {
    fn ask(&self, path: &Path) -> Stamp {
        let stamp = stamp(path);
        self.asked.borrow_mut().insert(path.to_owned(), stamp.clone());
        stamp
    }

    fn open_model(
        &self,
        path: &Path,
        at: &Path,
        stamp: Stamp,
        sources: &mut Sources,
    ) -> Result<OpenedModel, Diagnostics> {
        let (checkpoint, graph) = self.files.graph(path, sources)?;
        let config = &checkpoint.config;
        let mut keys: Vec<String> = graph.axes.iter().filter_map(|(_, axis)| axis.key.clone()).collect();
        keys.sort_unstable();
        keys.dedup();
        let keys: Vec<_> =
            keys.into_iter().filter_map(|key| Some((key.clone(), config.span_of(&key)?))).collect();
        let key_spans = keys.iter().filter_map(|(key, _)| Some((key.clone(), config.span(key)?))).collect();
        let graph = Arc::new(graph);
        let config = (config.path.display().to_string(), Arc::clone(&config.text));
        let kept = Kept { stamp, graph: Arc::clone(&graph), config, keys };
        self.models.borrow_mut().opened.insert(at.to_owned(), kept);
        Ok(OpenedModel { graph, key_spans })
    }
}

impl World for Desk<'_> {
    fn text(&self, path: &str, from: &str) -> Result<(String, String), String> {
        let found = plain(&Path::new(from).with_file_name(path));
        self.ask(&found);
        let open = self.open.read().ok().and_then(|open| open.get(&found).cloned());
        match open {
            Some(text) => Ok((found.display().to_string(), text.to_string())),
            None => self.files.text(path, from),
        }
    }

    fn model(&self, path: &Path, sources: &mut Sources) -> Result<OpenedModel, Diagnostics> {
        let at = self.files.locate(path).inspect_err(|_| drop(self.ask(path)))?;
        let stamp = self.ask(&at);
        if let Some(kept) = self.models.borrow().opened.get(&at).filter(|kept| kept.stamp == stamp) {
            let (name, text) = &kept.config;
            let source = sources.add(Source::new(name.as_str(), Arc::clone(text)));
            let span = |(key, (start, end)): &(String, (usize, usize))| {
                (key.clone(), Span::new(source, *start, *end))
            };
            let key_spans = kept.keys.iter().map(span).collect();
            return Ok(OpenedModel { graph: Arc::clone(&kept.graph), key_spans });
        }
        self.models.borrow_mut().opened.remove(&at);
        self.open_model(path, &at, stamp, sources)
    }

    fn data(&self, reader: &dyn Reader) -> Result<(), Diagnostic> {
        let said = reader.describe();
        let files = reader.files();
        let stamps = files.iter().take(WATCHED).filter_map(|file| self.ask(file));
        let stamp: Stamp = Some(stamps.flatten().collect());
        if self.models.borrow().looked.get(&said).is_some_and(|looked| *looked == stamp) {
            return Ok(());
        }
        reader.look()?;
        self.models.borrow_mut().looked.insert(said, stamp);
        Ok(())
    }

    fn is_stale(&self) -> bool {
        (self.is_stale)()
    }
}

/// What a file, or the configs and headers of a directory, look like.
pub fn stamp(path: &Path) -> Stamp {
    let file = |path: &Path| {
        let about = fs::metadata(path).ok()?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Some((name, about.len(), about.modified().ok()))
    };
    if !path.is_dir() {
        return Some(vec![file(path)?]);
    }
    let entries = fs::read_dir(path).ok()?.flatten().map(|entry| entry.path());
    let matters = |path: &PathBuf| path.extension().is_some_and(|end| end == "json" || end == "safetensors");
    let mut all: Vec<_> = entries.filter(matters).filter_map(|path| file(&path)).collect();
    all.sort_unstable();
    Some(all)
}
