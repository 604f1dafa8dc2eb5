//! Scratch files: tensors written between two steps and read from there by the next.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::stream;
use crate::checkpoint::{Checkpoint, Existing, OutputDir, TensorSpec};
use crate::diagnostic::Diagnostic;
use crate::graph::ParamId;
use crate::pass::Progress;
use crate::weights::{Expr, Version};

/// Writes the tensors that a rewrite changed and lets the version read them from there.
///
/// The directory is gone again when this returns. Its files are held open by the version and end with it, even if the
/// program is killed.
///
/// # Errors
/// Where a tensor cannot be computed, or there is no room.
pub fn settle(
    version: &mut Version,
    before: &Version,
    beside: &Path,
    progress: &dyn Progress,
) -> Result<(), Diagnostic> {
    let changed = changed(version, before);
    if changed.is_empty() {
        return Ok(());
    }
    let exprs: Vec<Arc<Expr>> = changed.iter().map(|&id| Arc::clone(version.expr(id))).collect();
    let output = OutputDir::create(&name(beside), Existing::Replace, &[])?;
    let specs: Vec<TensorSpec> = changed
        .iter()
        .zip(&exprs)
        .map(|(id, expr)| TensorSpec {
            name: id.index().to_string(),
            dtype: expr.dtype(),
            shape: expr.shape(),
        })
        .collect();
    stream::write(&exprs, &*output.tensors(&specs, None)?, progress)?;
    output.put("config.json", b"{}")?;
    let checkpoint = Arc::new(Checkpoint::open(output.path())?);
    for (id, spec) in changed.into_iter().zip(specs) {
        let stored = checkpoint.tensors[&spec.name].clone();
        version.replace(id, Arc::new(Expr::Stored { checkpoint: Arc::clone(&checkpoint), stored }));
    }
    Ok(())
}

/// The place that a scratch directory is made at: beside an output, on whose disk there is room.
fn name(output: &Path) -> std::path::PathBuf {
    let mut name = output.file_name().unwrap_or_default().to_owned();
    name.push(".scratch");
    output.with_file_name(name)
}

/// Tensors that are computed otherwise than before.
fn changed(version: &Version, before: &Version) -> Vec<ParamId> {
    let old: BTreeMap<ParamId, &Arc<Expr>> =
        before.graph.params.ids().map(|id| (id, before.expr(id))).collect();
    let is_new = |id: &ParamId| old.get(id).is_none_or(|expr| !Arc::ptr_eq(expr, version.expr(*id)));
    version.graph.params.ids().filter(is_new).collect()
}
