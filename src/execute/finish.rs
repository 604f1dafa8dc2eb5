//! The end of an output: checked, described, digested, attested, given its name.

use std::collections::BTreeMap;

use super::cache::Cache;
use super::data::DataSets;
use super::input::Input;
use super::record::Record;
use super::summary::summary;
use super::timings::{TIMINGS, Timings};
use super::verify::{verify, verify_budgets};
use super::write::Written;
use super::{Options, RecipeText};
use crate::checkpoint::Digest;
use crate::diagnostic::Diagnostic;
use crate::pass::Progress;
use crate::plan::{Plan, Saving, TaskId};
use crate::provenance::{Expectation, Lock, LockedData, LockedFile, Provenance, Statement};

/// All that is known of an output but its tensors.
pub struct Finishing<'a> {
    pub plan: &'a Plan,
    pub options: &'a Options<'a>,
    pub progress: &'a dyn Progress,
    /// The versions from the output's back to the source.
    pub lineage: Vec<TaskId>,
    pub records: &'a BTreeMap<TaskId, Vec<Record>>,
    pub values: &'a BTreeMap<TaskId, f64>,
    pub expectations: &'a BTreeMap<TaskId, Expectation>,
    pub timings: &'a Timings,
}

impl Finishing<'_> {
    /// # Errors
    /// Where the output is not what was promised, or cannot be written.
    pub fn finish(
        &self,
        saving: &Saving,
        written: Written,
        input: &mut Input,
        data: &mut DataSets,
        cache: &Cache,
    ) -> Result<Provenance, Diagnostic> {
        // What was read and what was written go by once more, each byte once, while the disk writes.
        let bytes = input.bytes() + written.version.graph.cost(1).bytes.max;
        self.progress.start(&format!("check and digest {}", saving.path.display()), Some(bytes));
        let (examined, verified) = written.output.while_syncing(|| {
            let examine = || input.examine(cache, self.progress);
            rayon::join(examine, || verify(&written, self.options.families, self.plan.at, self.progress))
        })?;
        let ((files, zeros), verified) = (examined?, verified?);
        self.progress.finish();
        let provenance = summary(self, saving, &written, &files, &zeros);
        verify_budgets(&provenance.steps, &provenance.after.cost, &verified.cost)?;
        let lock = self.lock(&provenance, data.locked(cache, self.progress)?);
        put_recipe(&written, &self.options.recipe)?;
        written.put("tamis.lock", lock.to_yaml().as_bytes())?;
        written.put("report.json", &json(&provenance))?;
        for (name, content) in (self.options.pages)(&provenance) {
            written.put(&name, &content)?;
        }
        let digests = written.output.digests(&verified.digests)?;
        let digests = digests.iter().map(|(name, digest)| (name.display().to_string(), digest.to_string()));
        written.put("provenance.json", &json(&Statement::of(&provenance, &lock, digests.collect())))?;
        written.put(TIMINGS, &json(self.timings))?;
        written.output.finish()?;
        Ok(provenance)
    }

    /// The records of a step, first to last.
    pub fn records_of(&self, step: usize) -> impl Iterator<Item = &Record> {
        let versions = self.lineage.iter().rev().filter_map(|id| self.records.get(id));
        versions.flatten().filter(move |record| record.steps.contains(&step))
    }

    fn lock(&self, provenance: &Provenance, data: Vec<LockedData>) -> Lock {
        let recipe = &self.options.recipe;
        let used = recipe.used.iter().map(|(path, text)| LockedFile {
            name: path.clone(),
            bytes: text.len() as u64,
            sha256: Digest::sha256(text.as_bytes()).to_string(),
        });
        Lock::of(provenance, used.collect(), data)
    }
}

/// The recipe, and the files that it uses where they lie below it: recipes and tables of times, whose names no file of a model has.
/// Others are known by their digest.
fn put_recipe(written: &Written, recipe: &RecipeText) -> Result<(), Diagnostic> {
    use std::path::{Component, Path};
    written.put("recipe.tamis", recipe.text.as_bytes())?;
    for (path, text) in &recipe.used {
        let is_below = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
        let is_ours = path.ends_with(".tamis") || path.ends_with("times.json");
        if is_below && is_ours && path != "recipe.tamis" {
            written.put(path, text.as_bytes())?;
        }
    }
    Ok(())
}

fn json<T: serde::Serialize>(value: &T) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(value).expect("keys are texts and numbers are finite");
    text.push(b'\n');
    text
}
