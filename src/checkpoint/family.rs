//! Architectures: what a family is, and how a checkpoint becomes a graph with the right one.

use std::collections::BTreeMap;

use super::disagree::{Said, disagreements};
use super::graph_file::{self, GRAPH_FILE};
use super::{Checkpoint, Config};
use crate::diagnostic::{Diagnostic, Diagnostics, codes};
use crate::graph::{Builder, Graph, Header};
use crate::tensor::DType;

/// One architecture, or several that differ in details: how `config.json` and tensor names become a graph.
#[derive(Debug)]
pub struct Family {
    /// Names the family to people: `bert`.
    pub name: &'static str,
    /// What `model_type` says in the configs of this family.
    pub model_types: &'static [&'static str],
    /// A line for the reference.
    pub doc: &'static str,
    pub build: fn(&Config, &mut Builder<'_>) -> Result<(), Diagnostic>,
}

/// The graph of a checkpoint, from its config and headers alone; without weights from its config.
///
/// A directory that tamis wrote may carry its graph in a file of its own, which then counts.
/// Diagnostics point into the config where it was [registered](Config::register).
pub fn read_graph(families: &[&Family], checkpoint: &Checkpoint) -> Result<Graph, Diagnostics> {
    let config = &checkpoint.config;
    if config.has("quantization_config") {
        let message = "the weights are quantized; tamis starts from unquantized ones";
        return Err(config.field_error("quantization_config", message).into());
    }
    if checkpoint.has_weights()
        && let Some(mut graph) = graph_file::read(&checkpoint.dir)?
    {
        let errors = graph_file::compare(&mut graph, checkpoint);
        let said = Said { by: GRAPH_FILE, family: &graph.family, checkpoint };
        return if errors.is_empty() { Ok(graph) } else { Err(disagreements(&errors, said)) };
    }
    let family = pick(families, config)?;
    let headers: Option<BTreeMap<String, Header>> = checkpoint.has_weights().then(|| {
        let header = |stored: &super::Stored| Header { dtype: stored.dtype, shape: stored.shape.clone() };
        checkpoint.tensors.iter().map(|(name, stored)| (name.clone(), header(stored))).collect()
    });
    let mut builder = Builder::new(family.name, headers.as_ref(), dtype(config)?);
    (family.build)(config, &mut builder)?;
    let said = Said { by: "the config", family: family.name, checkpoint };
    builder.finish().map_err(|errors| disagreements(&errors, said))
}

/// The family that the config names, by `model_type` or else by its `architectures`.
fn pick<'a>(families: &[&'a Family], config: &Config) -> Result<&'a Family, Diagnostic> {
    config.strs("architectures")?;
    let is_named = |family: &&Family| family.model_types.iter().any(|it| is_model_type(config, it));
    families.iter().copied().find(is_named).ok_or_else(|| unknown(families, config))
}

/// Whether the config is of a model type, by name or else by the classes that it names.
pub fn is_model_type(config: &Config, model_type: &str) -> bool {
    match config.get("model_type") {
        Some(named) => named == model_type,
        None => {
            let classes = config.strs("architectures").unwrap_or_default();
            classes.iter().any(|class| is_class_of(class, model_type))
        }
    }
}

/// Whether a class, `BertForMaskedLM`, is of a model type, `bert`.
fn is_class_of(class: &str, model_type: &str) -> bool {
    let plain = |name: &str| name.replace(['-', '_'], "").to_ascii_lowercase();
    let class = plain(class);
    let rest = class.strip_prefix(&plain(model_type));
    rest.is_some_and(|rest| ["for", "model", "lmhead", "doubleheads"].iter().any(|it| rest.starts_with(it)))
}

fn unknown(families: &[&Family], config: &Config) -> Diagnostic {
    let known: Vec<&str> = families.iter().flat_map(|family| family.model_types).copied().collect();
    let Ok(model_type) = config.str("model_type") else {
        let error = Diagnostic::new(&codes::UNKNOWN_ARCHITECTURE, "the config names no known architecture");
        let help = format!("`model_type` can be {}", crate::diagnostic::list(&known));
        return error.path(&config.path).help(help);
    };
    let message = format!("`{}` is an architecture that tamis does not know", super::text::shown(model_type));
    match config.span("model_type") {
        Some(span) => Diagnostic::at(&codes::UNKNOWN_ARCHITECTURE, span, message),
        None => Diagnostic::new(&codes::UNKNOWN_ARCHITECTURE, message),
    }
    .path(&config.path)
    .help(format!("there is {}", crate::diagnostic::list(&known)))
}

/// The type of weights that only the config tells of.
fn dtype(config: &Config) -> Result<DType, Diagnostic> {
    let named = config.str_or("dtype", config.str_or("torch_dtype", "float32")?)?;
    Ok(match named {
        "float16" => DType::F16,
        "bfloat16" => DType::Bf16,
        "float64" => DType::F64,
        _ => DType::F32,
    })
}
