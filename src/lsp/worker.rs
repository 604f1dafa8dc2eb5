//! The thread that checks: the newest version of each text, and again when files change that were looked at.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use gen_lsp_types::Uri;
use tamis::ide::{self, Analysis};
use tamis::world::Files;

use super::settings::Options;
use super::world::{Desk, Models, OpenTexts, Stamp, stamp};

/// How long a text is let rest before it is checked: changes that come together are checked once.
const SETTLE: Duration = Duration::from_millis(2);
/// How often files are looked at while nothing is typed.
const WATCH: Duration = Duration::from_millis(1000);

/// A text to check.
#[derive(Debug)]
pub struct Job {
    pub uri: Uri,
    /// The path that the recipe has, or its address where it is no file.
    pub name: String,
    pub text: Arc<str>,
    pub ticket: u64,
    /// The newest ticket of the same text.
    pub newest: Arc<AtomicU64>,
    pub options: Options,
}

/// What a job came to.
#[derive(Debug)]
pub struct Checked {
    pub uri: Uri,
    pub ticket: u64,
    /// Nothing where the check ended in a panic, which is a mistake of ours.
    pub analysis: Option<Analysis>,
    /// Files that were looked for.
    pub asked: BTreeSet<PathBuf>,
}

/// What the worker has to say.
#[derive(Debug)]
pub enum Event {
    Checked(Arc<Checked>),
    /// Files that checks of these texts looked at are not what they were.
    FilesChanged(Vec<Uri>),
}

/// Starts the thread. It ends once nobody sends jobs any more.
pub fn start(open: OpenTexts) -> (Sender<Job>, Receiver<Event>) {
    let (jobs, received) = unbounded();
    let (events, seen) = unbounded();
    thread::Builder::new()
        .name("check".into())
        // The parser and the checker recurse as deep as texts nest.
        .stack_size(16 << 20)
        .spawn(move || Worker::new(open, events).run(&received))
        .expect("a thread can be started");
    (jobs, seen)
}

struct Worker {
    files: Files,
    models: RefCell<Models>,
    open: OpenTexts,
    /// What each text's check looked at.
    asked: BTreeMap<String, BTreeMap<PathBuf, Stamp>>,
    events: Sender<Event>,
}

impl Worker {
    fn new(open: OpenTexts, events: Sender<Event>) -> Self {
        let files = Files::new(tamis::REGISTRY.families);
        Self { files, models: RefCell::default(), open, asked: BTreeMap::new(), events }
    }

    fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            let first = match jobs.recv_timeout(WATCH) {
                Ok(job) => job,
                Err(RecvTimeoutError::Timeout) => {
                    self.watch();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let mut newest = vec![first];
            // Whoever never rests is told something all the same.
            let patience = Instant::now() + 10 * SETTLE;
            while Instant::now() < patience
                && let Ok(job) = jobs.recv_timeout(SETTLE)
            {
                newest.retain(|other| other.uri != job.uri);
                newest.push(job);
            }
            for job in newest {
                self.check(job);
            }
        }
    }

    fn check(&mut self, job: Job) {
        let Job { uri, name, text, ticket, newest, options } = job;
        let is_stale = || newest.load(Ordering::Acquire) != ticket;
        if is_stale() {
            return;
        }
        let desk = Desk {
            files: &self.files,
            models: &self.models,
            open: &self.open,
            is_stale: &is_stale,
            asked: RefCell::default(),
        };
        let settings = options.for_check(names_model(&text));
        let analysis =
            catch_unwind(AssertUnwindSafe(|| ide::analyse(&name, text, &settings, &desk, &tamis::REGISTRY)));
        let asked = desk.asked.into_inner();
        if is_stale() {
            return;
        }
        let paths = asked.keys().cloned().collect();
        self.asked.insert(uri.as_ref().to_owned(), asked);
        let all = &self.asked;
        self.models.borrow_mut().keep(|path| all.values().any(|asked| asked.contains_key(path)));
        let checked = Checked { uri, ticket, analysis: analysis.ok(), asked: paths };
        let _ = self.events.send(Event::Checked(Arc::new(checked)));
    }

    /// Looks at the files again, and tells whose check would be another now.
    fn watch(&mut self) {
        let changed =
            |asked: &BTreeMap<PathBuf, Stamp>| asked.iter().any(|(path, then)| stamp(path) != *then);
        let texts: Vec<String> =
            self.asked.iter().filter(|(_, asked)| changed(asked)).map(|(uri, _)| uri.clone()).collect();
        if !texts.is_empty() {
            texts.iter().for_each(|text| drop(self.asked.remove(text)));
            let _ = self.events.send(Event::FilesChanged(texts.into_iter().map(Uri).collect()));
        }
    }
}

/// Whether a recipe says itself which model it is for.
fn names_model(text: &str) -> bool {
    text.lines().any(|line| line.trim_start().starts_with("model ") && line.contains('"'))
}
