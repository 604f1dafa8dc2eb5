//! The files of a model: tensors, config, what belongs beside them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::input::Input;
use super::{config, stream};
use crate::checkpoint::{Checkpoint, GRAPH_FILE, OutputDir, TensorSpec, graph_json};
use crate::diagnostic::Diagnostic;
use crate::graph::{CannotSay, ParamId};
use crate::pass::Progress;
use crate::plan::{Plan, Saving};
use crate::tensor::DType;
use crate::weights::{Expr, Version};

/// What transformers runs a saved graph with, beside it.
const MODELING_FILE: &str = "modeling_tamis.py";

/// An output whose model is written, and nothing yet about it.
pub struct Written {
    pub output: OutputDir,
    /// What was written, its tensors not yet read back.
    pub version: Version,
    /// The zeros of each tensor.
    pub zeros: BTreeMap<ParamId, u64>,
    /// Why the architecture's own config cannot say it; empty where it can.
    pub cannot_say: Vec<CannotSay>,
}

/// Writes a model into an output.
///
/// # Errors
/// Where a tensor cannot be computed, or the disk is full after all.
pub fn model(
    output: OutputDir,
    saving: &Saving,
    version: &Version,
    plan: &Plan,
    input: &Input,
    progress: &dyn Progress,
) -> Result<Written, Diagnostic> {
    let mut version = version.clone();
    if let Some(dtype) = saving.dtype {
        version.step = Some(saving.span);
        cast_all(&mut version, dtype);
    }
    let ids: Vec<ParamId> = version.graph.params.ids().collect();
    let exprs: Vec<Arc<Expr>> = ids.iter().map(|&id| Arc::clone(version.expr(id))).collect();
    let specs: Vec<TensorSpec> = ids
        .iter()
        .map(|&id| {
            let param = &version.graph.params[id];
            TensorSpec { name: param.name.resolve(), dtype: param.dtype, shape: version.graph.shape(param) }
        })
        .collect();
    let tensors = output.tensors(&specs, saving.shard_size)?;
    progress.start(&format!("save {}", saving.path.display()), Some(stream::bytes(&exprs)));
    let zeros = ids.into_iter().zip(stream::write(&exprs, &tensors, progress)?).collect();
    progress.finish();
    let cannot_say = version.graph.config_fields().err().unwrap_or_default();
    let interpreted = !cannot_say.is_empty();
    let mut text = config::rewritten(&input.checkpoint.config, &plan.model.graph, &version);
    if interpreted {
        text = config::with_code(text, MODELING_FILE);
        output.put(GRAPH_FILE, graph_json(&version.graph.tidied()).as_bytes())?;
        output.put(MODELING_FILE, include_bytes!("modeling_tamis.py"))?;
    }
    output.put("config.json", text.as_bytes())?;
    for name in input.carried.iter().filter(|name| !(interpreted && name.ends_with(MODELING_FILE))) {
        output.copy_file(&input.checkpoint.dir.join(name), name)?;
    }
    Ok(Written { output, version, zeros, cannot_say })
}

fn cast_all(version: &mut Version, dtype: DType) {
    for id in version.graph.params.ids().collect::<Vec<_>>() {
        version.cast(id, dtype);
    }
}

impl Written {
    /// The version, read from the files.
    ///
    /// # Errors
    /// Where the files cannot be read.
    pub fn reopened(&self) -> Result<Arc<Version>, Diagnostic> {
        let checkpoint = Arc::new(Checkpoint::open(self.output.path())?);
        Ok(Arc::new(Version::open(self.version.graph.clone(), &checkpoint)))
    }

    /// Adds a file.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn put(&self, name: &str, content: &[u8]) -> Result<(), Diagnostic> {
        debug_assert!(Path::new(name).is_relative(), "files of an output are in it");
        self.output.put(name, content)
    }
}
