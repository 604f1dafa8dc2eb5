//! Before any work: every output can be made, and there is room for all.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Options;
use crate::checkpoint::OutputDir;
use crate::diagnostic::{Diagnostic, codes};
use crate::plan::{Plan, TaskId, needs};

/// Begins all outputs of a plan. `inputs` are what the run reads, and must not be written to.
///
/// # Errors
/// Where two outputs have one place, one exists or cannot be made, or the disk has not the room.
pub fn begin(
    plan: &Plan,
    options: &Options<'_>,
    inputs: &[PathBuf],
) -> Result<BTreeMap<TaskId, OutputDir>, Diagnostic> {
    distinct(plan)?;
    let mut outputs = BTreeMap::new();
    for (id, saving) in plan.saves() {
        let created = OutputDir::create(&saving.path, options.existing, inputs);
        outputs.insert(id, created.map_err(|error| error.or_at(saving.span))?);
    }
    reserve(plan, &outputs)?;
    Ok(outputs)
}

fn distinct(plan: &Plan) -> Result<(), Diagnostic> {
    let mut seen: BTreeMap<&Path, &crate::plan::Saving> = BTreeMap::new();
    for (_, saving) in plan.saves() {
        if let Some(other) = seen.insert(&saving.path, saving) {
            let message = format!("two outputs would go to `{}`", saving.path.display());
            let error = Diagnostic::at(&codes::DUPLICATE_SAVE, saving.span, message);
            return Err(match other.span == saving.span {
                true => error.help("put the value of the sweep into the path: `\"out/{r}\"`"),
                false => error.label(other.span, "the other"),
            });
        }
    }
    Ok(())
}

/// All outputs of one disk together, and the scratch files, which lie beside the first.
fn reserve(plan: &Plan, outputs: &BTreeMap<TaskId, OutputDir>) -> Result<(), Diagnostic> {
    let mut disks: BTreeMap<u64, (u64, &OutputDir)> = BTreeMap::new();
    let mut scratch = needs(plan).scratch;
    for (id, saving) in plan.saves() {
        let output = &outputs[&id];
        let disk = std::fs::metadata(output.path()).map_or(0, |found| found.dev());
        let bytes = plan.cost_after(&saving.steps).bytes.max + std::mem::take(&mut scratch);
        disks.entry(disk).or_insert((0, output)).0 += bytes;
    }
    disks.values().try_for_each(|(bytes, output)| output.reserve(*bytes))
}
