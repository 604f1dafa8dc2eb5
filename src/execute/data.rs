//! The data sets of a plan: digests of their files, and what of them a task's finding depends on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::cache::Cache;
use super::input::Input;
use crate::checkpoint::Digest;
use crate::diagnostic::{Diagnostic, codes};
use crate::pass::Data;
use crate::pass::Progress;
use crate::plan::{Does, Plan, Task, TaskId};
use crate::provenance::{InputFile, LockedData};

/// Data sets by their description, each with its files and their digests, once somebody asked for them.
#[derive(Debug)]
pub struct DataSets {
    wanted: BTreeMap<String, Data>,
    digested: Option<BTreeMap<String, Vec<InputFile>>>,
}

impl DataSets {
    pub fn of(plan: &Plan) -> Self {
        let all = plan.ordered().flat_map(|(_, task)| read_by(task));
        Self { wanted: all.map(|data| (data.reader.describe(), data)).collect(), digested: None }
    }

    /// Every data set with its files: computed when first asked for, and remembered between runs.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub fn locked(&mut self, cache: &Cache, progress: &dyn Progress) -> Result<Vec<LockedData>, Diagnostic> {
        let locked = |(reader, files): (&String, &Vec<InputFile>)| LockedData {
            reader: reader.clone(),
            files: files.clone(),
        };
        Ok(self.digested(cache, progress)?.iter().map(locked).collect())
    }

    /// What a task's finding depends on beside its own key: the model, and where it or what it needs reads data, the data and
    /// all that stands beside the weights, tokenizers among it.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub fn key(
        &mut self,
        plan: &Plan,
        task: TaskId,
        input: &mut Input,
        cache: &Cache,
        progress: &dyn Progress,
    ) -> Result<Digest, Diagnostic> {
        let model = input.key(cache, progress)?;
        let readers = read_before(plan, task);
        if readers.is_empty() {
            return Ok(model);
        }
        let digested = self.digested(cache, progress)?;
        let mut lines = format!("{model}\n");
        let files = readers.iter().flat_map(|reader| &digested[reader]);
        for file in files.chain(input.files(cache, progress)?) {
            lines.push_str(&format!("{} {}\n", file.sha256, file.name));
        }
        Ok(Digest::blake3(lines.as_bytes()))
    }

    fn digested(
        &mut self,
        cache: &Cache,
        progress: &dyn Progress,
    ) -> Result<&BTreeMap<String, Vec<InputFile>>, Diagnostic> {
        if self.digested.is_none() {
            self.digested = Some(digest(&self.wanted, cache, progress)?);
        }
        Ok(self.digested.as_ref().expect("it was put there just now"))
    }
}

fn digest(
    wanted: &BTreeMap<String, Data>,
    cache: &Cache,
    progress: &dyn Progress,
) -> Result<BTreeMap<String, Vec<InputFile>>, Diagnostic> {
    if wanted.is_empty() {
        return Ok(BTreeMap::new());
    }
    progress.start("digest the data", None);
    let mut memo = cache.digests();
    let mut digested = BTreeMap::new();
    for (reader, data) in wanted {
        let paths = data.reader.files();
        let digests = memo.sha256_files(&paths).map_err(|error| error.or_at(data.span))?;
        let files: Result<Vec<InputFile>, Diagnostic> =
            paths.iter().zip(digests).map(|(path, sha256)| file(path, &sha256)).collect();
        digested.insert(reader.clone(), files.map_err(|error| error.or_at(data.span))?);
    }
    memo.save();
    progress.finish();
    Ok(digested)
}

fn file(path: &PathBuf, sha256: &Digest) -> Result<InputFile, Diagnostic> {
    let found = std::fs::metadata(path)
        .map_err(|error| Diagnostic::new(&codes::READ_FAILED, error.to_string()).path(path))?;
    Ok(InputFile { name: path.display().to_string(), bytes: found.len(), sha256: sha256.to_string() })
}

fn read_by(task: &Task) -> Vec<Data> {
    match &task.does {
        Does::Work(work) => work.data(),
        Does::Rewrite(rewriting) => rewriting.rewrite.data(),
        Does::Measure(measuring) => measuring.measure.data(),
        Does::Source | Does::Expect(_) | Does::Save(_) => Vec::new(),
    }
}

/// Descriptions of the data that a task reads, or anything that it needs.
fn read_before(plan: &Plan, task: TaskId) -> BTreeSet<String> {
    let (mut seen, mut readers, mut open) = (BTreeSet::new(), BTreeSet::new(), vec![task]);
    while let Some(task) = open.pop() {
        if seen.insert(task) {
            readers.extend(read_by(plan.task(task)).iter().map(|data| data.reader.describe()));
            open.extend(plan.needs(task));
        }
    }
    readers
}
