//! The run: tasks in their order, results kept until their last use, outputs finished as soon as all is known of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::cache::Cache;
use super::compare::{compare, unmet};
use super::data::DataSets;
use super::finish::Finishing;
use super::input::Input;
use super::record::Record;
use super::rooms::Rooms;
use super::timings::Timings;
use super::write::{self, Written};
use super::{Options, Outcome, Saved, outputs, scratch};
use crate::checkpoint::OutputDir;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::graph::SiteId;
use crate::pass::Progress;
use crate::pass::{Context, Finding, Findings, Work};
use crate::plan::{
    Does, Entry, Expecting, Measuring, Need, Part, Plan, Rewriting, Saving, Storage, TaskId, last_uses,
};
use crate::provenance::Expectation;
use crate::weights::Version;

/// Carries out a plan.
///
/// # Errors
/// Where the model cannot be read, an output cannot be written, or a weight is not finite. Outputs that were finished
/// before stay; of the others nothing is left.
pub fn run(plan: &Plan, options: &Options<'_>, progress: &dyn Progress) -> Result<Outcome, Diagnostics> {
    let input = Input::open(plan)?;
    let read = vec![input.checkpoint.dir.clone()];
    let outputs = outputs::begin(plan, options, &read)?;
    let mut running = Running {
        plan,
        options,
        progress,
        cache: Cache::new(options.cache.clone()),
        input,
        data: DataSets::of(plan),
        outputs,
        versions: BTreeMap::new(),
        found: BTreeMap::new(),
        values: BTreeMap::new(),
        expectations: BTreeMap::new(),
        records: BTreeMap::new(),
        remarks: Vec::new(),
        timings: Timings::new(),
        written: BTreeMap::new(),
        rooms: Rooms::default(),
        saved: BTreeMap::new(),
        unmet: BTreeMap::new(),
    };
    let last = last_uses(plan, &plan.order);
    for (at, &id) in plan.order.iter().enumerate() {
        let begun = Instant::now();
        let remembered = running.task(id).map_err(|error| running.located(id, error))?;
        running.timings.add(running.said(id), begun.elapsed(), remembered);
        running.finish_outputs()?;
        let is_dead = |id: &TaskId| last[id] <= at;
        running.versions.retain(|id, _| !is_dead(id));
        running.found.retain(|id, _| !is_dead(id));
    }
    let saves = plan.saves().map(|(id, _)| running.saved.remove(&id).expect("every save was finished"));
    let saved = saves.collect();
    Ok(Outcome { saved, remarks: running.remarks, unmet: running.unmet.into_values().collect() })
}

/// A run between two tasks.
struct Running<'a> {
    plan: &'a Plan,
    options: &'a Options<'a>,
    progress: &'a dyn Progress,
    cache: Cache,
    input: Input,
    data: DataSets,
    /// Outputs that are begun and not yet written.
    outputs: BTreeMap<TaskId, OutputDir>,
    versions: BTreeMap<TaskId, Arc<Version>>,
    found: BTreeMap<TaskId, Found>,
    values: BTreeMap<TaskId, f64>,
    expectations: BTreeMap<TaskId, Expectation>,
    records: BTreeMap<TaskId, Vec<Record>>,
    /// What was remarked on findings. Not for the record: rules may spare work that a remark would be about.
    remarks: Vec<Diagnostic>,
    timings: Timings,
    /// Outputs whose tensors are written.
    written: BTreeMap<TaskId, Written>,
    rooms: Rooms,
    saved: BTreeMap<TaskId, Saved>,
    unmet: BTreeMap<TaskId, Diagnostic>,
}

/// Whether what is remembered of a finding is all of it: one that was too large is a directory.
fn is_there(finding: &Finding) -> bool {
    match finding {
        Finding::Tensors { dir, .. } | Finding::Trained { dir, .. } => dir.is_dir(),
        _ => true,
    }
}

/// What the works of a stage found, up to one of them.
type Found = Vec<Arc<Finding>>;

impl Running<'_> {
    /// Whether what it finds out was known from an earlier run.
    fn task(&mut self, id: TaskId) -> Result<bool, Diagnostic> {
        let plan = self.plan;
        match &plan.task(id).does {
            Does::Work(work) => return self.work(id, work.as_ref()),
            Does::Source => {
                self.versions.insert(id, Arc::clone(&self.input.version));
            }
            Does::Rewrite(rewriting) => self.rewrite(id, rewriting)?,
            Does::Measure(measuring) => self.measure(id, measuring)?,
            Does::Expect(expecting) => self.expect(id, expecting),
            Does::Save(saving) => self.save(id, saving)?,
        }
        Ok(false)
    }

    /// The step that a task belongs to is where its failure is shown.
    fn located(&self, id: TaskId, error: Diagnostic) -> Diagnostic {
        let task = self.plan.task(id);
        match (&task.does, task.steps.first()) {
            (Does::Measure(measuring), _) => error.or_at(measuring.span),
            (Does::Save(saving), _) => error.or_at(saving.span),
            (_, Some(&step)) => error.or_at(self.plan.step(step).span),
            _ => error,
        }
    }

    fn version(&self, id: TaskId) -> Arc<Version> {
        let version = self.plan.needed(id, Need::Version).expect("the task reads a version");
        Arc::clone(&self.versions[&version])
    }

    fn context<'a>(&'a self, version: &'a Version, found: &'a [Arc<Finding>]) -> Context<'a> {
        Context {
            version,
            input: &self.input.version,
            dir: &self.input.checkpoint.dir,
            found: Findings::new(found),
            progress: self.progress,
            room: Path::new(""),
            lasting: false,
        }
    }

    fn found_before(&self, id: TaskId) -> Found {
        self.plan.needed(id, Need::Finding).map_or_else(Found::new, |finding| self.found[&finding].clone())
    }

    fn work(&mut self, id: TaskId, work: &dyn Work) -> Result<bool, Diagnostic> {
        let key = match self.cache.is_there() {
            true => {
                let evidence = self.data.key(self.plan, id, &mut self.input, &self.cache, self.progress)?;
                Some(Cache::key(&self.plan.task(id).key, &evidence))
            }
            false => None,
        };
        let mut before = self.found_before(id);
        let known = key.and_then(|key| self.cache.get(&key)).filter(is_there);
        let remembered = known.is_some();
        let finding: Finding = match known {
            Some(finding) => finding,
            None => {
                self.progress.start(&self.said(id), None);
                let room = match key.and_then(|key| self.cache.room(&key)) {
                    Some(room) => room,
                    None => self.rooms.another(&self.beside()),
                };
                let version = self.version(id);
                let lasting = key.is_some();
                let at = Context { room: &room, lasting, ..self.context(&version, &before) };
                let finding = work.run(&at)?;
                self.progress.finish();
                if let Some(key) = key {
                    self.cache.put(&key, &finding);
                }
                finding
            }
        };
        self.remark(id, work, &finding);
        before.push(Arc::new(finding));
        self.found.insert(id, before);
        Ok(remembered)
    }

    /// Asks what there is to say of a finding, whether it is new or remembered.
    fn remark(&mut self, id: TaskId, work: &dyn Work, finding: &Finding) {
        let Some(&step) = self.plan.task(id).steps.first() else { return };
        let span = self.plan.step(step).span;
        for remark in work.remarks(&self.version(id), finding) {
            let remark = remark.or_at(span);
            if !self.remarks.contains(&remark) {
                self.remarks.push(remark);
            }
        }
    }

    fn rewrite(&mut self, id: TaskId, rewriting: &Rewriting) -> Result<(), Diagnostic> {
        let before = self.version(id);
        let found = self.found_before(id);
        let found = Findings::new(&found);
        let mut version = (*before).clone();
        version.step = self.plan.task(id).steps.first().map(|&step| self.plan.step(step).span);
        rewriting.rewrite.apply(&mut version, found)?;
        let mut records = Vec::new();
        let mut at = (*before).clone();
        for Part { rewrite, steps } in &rewriting.parts {
            let mut next = at.clone();
            rewrite.apply(&mut next, found)?;
            records.push(Record::of(steps, &at, &next, found, self.plan.at.batch));
            at = next;
        }
        if rewriting.storage == Storage::Scratch {
            self.progress.start(&self.said(id), None);
            scratch::settle(&mut version, &before, &self.beside(), self.progress)?;
            self.progress.finish();
        }
        self.records.insert(id, records);
        self.versions.insert(id, Arc::new(version));
        Ok(())
    }

    /// The path beside which scratch files lie: the first output's.
    fn beside(&self) -> PathBuf {
        self.plan.saves().next().map_or_else(PathBuf::new, |(_, saving)| saving.path.clone())
    }

    fn measure(&mut self, id: TaskId, measuring: &Measuring) -> Result<(), Diagnostic> {
        let version = match self.plan.needed(id, Need::Written) {
            Some(save) => self.written[&save].reopened()?,
            None => self.version(id),
        };
        let places = version.graph.places();
        let sites: Option<Vec<SiteId>> = measuring
            .sites
            .as_ref()
            // The input may have other places than the model that the recipe speaks of.
            .map(|paths| paths.iter().filter_map(|path| places.site(path)).collect());
        self.progress.start(&self.said(id), None);
        let cost = version.graph.cost(self.plan.at.batch);
        let value = measuring.measure.measure(&self.context(&version, &[]), &cost, sites.as_deref())?;
        self.progress.finish();
        self.values.insert(id, value);
        Ok(())
    }

    fn expect(&mut self, id: TaskId, expecting: &Expecting) {
        let measured = self.plan.needed(id, Need::Value).expect("an expectation is of a value");
        let Does::Measure(measuring) = &self.plan.task(measured).does else {
            unreachable!("values are measured")
        };
        let input = self.plan.needed(id, Need::InputValue).map(|input| self.values[&input]);
        let expectation = compare(expecting, measuring.spec.unit, self.values[&measured], input);
        if !expectation.held {
            self.unmet.insert(id, unmet(expecting, &expectation));
        }
        self.expectations.insert(id, expectation);
    }

    fn save(&mut self, id: TaskId, saving: &Saving) -> Result<(), Diagnostic> {
        let output = self.outputs.remove(&id).expect("every output was begun");
        let written = write::model(output, saving, &self.version(id), self.plan, &self.input, self.progress)?;
        self.written.insert(id, written);
        Ok(())
    }

    /// Finishes outputs of which all is known: their tensors and every measure that speaks of them.
    fn finish_outputs(&mut self) -> Result<(), Diagnostic> {
        let is_known = |entry: &Entry| {
            self.values.contains_key(&entry.task) || self.expectations.contains_key(&entry.task)
        };
        let ready: Vec<(TaskId, &Saving)> = self
            .plan
            .saves()
            .filter(|(id, saving)| self.written.contains_key(id) && saving.entries.iter().all(is_known))
            .collect();
        for (id, saving) in ready {
            let written = self.written.remove(&id).expect("it is ready");
            let finishing = Finishing {
                plan: self.plan,
                options: self.options,
                progress: self.progress,
                lineage: self.plan.lineage(id),
                records: &self.records,
                values: &self.values,
                expectations: &self.expectations,
                timings: &self.timings,
            };
            let provenance = finishing
                .finish(saving, written, &mut self.input, &mut self.data, &self.cache)
                .map_err(|error| error.or_at(saving.span))?;
            self.saved.insert(id, Saved { dir: saving.path.clone(), provenance });
        }
        Ok(())
    }

    fn said(&self, id: TaskId) -> String {
        format!("{} {}", self.plan.task(id).kind(), self.plan.describe(id))
    }
}
