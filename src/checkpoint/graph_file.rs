//! `tamis.graph.json`: the graph of a model that its architecture's config cannot state.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::text::{self, shown};
use super::{Checkpoint, Stored};
use crate::diagnostic::{Diagnostic, codes};
use crate::graph::{BuildError, Graph, ParamId};

/// The file's name, beside `config.json`.
pub const GRAPH_FILE: &str = "tamis.graph.json";

/// What the files of this build say.
const VERSION: u32 = 1;

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct Saved<G> {
    version: u32,
    graph: G,
}

/// The file's content.
pub fn graph_json(graph: &Graph) -> String {
    let saved = Saved { version: VERSION, graph };
    serde_json::to_string(&saved).expect("a graph has text keys and finite numbers only") + "\n"
}

/// The graph in a directory, if one is there. It holds together; whether it fits the tensors is for [`compare`] to say.
pub fn read(dir: &Path) -> Result<Option<Graph>, Diagnostic> {
    let path = dir.join(GRAPH_FILE);
    if !path.exists() {
        return Ok(None);
    }
    let refuse =
        |why: String| Diagnostic::new(&codes::GRAPH_INVALID, format!("`{GRAPH_FILE}` {why}")).path(&path);
    let content = text::read(&path, &codes::GRAPH_INVALID)?;
    let Versioned { version } = serde_json::from_str(&content).map_err(|error| refuse(not_read(&error)))?;
    if version != VERSION {
        let why = format!("has version {version}, and this build of tamis reads version {VERSION}");
        return Err(refuse(why));
    }
    let Saved::<Graph> { graph, .. } =
        serde_json::from_str(&content).map_err(|error| refuse(not_read(&error)))?;
    graph.validate().map_err(|why| refuse(format!("does not hold together: {}", shown(&why))))?;
    Ok(Some(graph))
}

fn not_read(error: &serde_json::Error) -> String {
    format!("is not a graph: {}", shown(&error.to_string()))
}

/// Compares the graph with the tensors that are there, and takes over what only they say: types and further names.
pub fn compare(graph: &mut Graph, checkpoint: &Checkpoint) -> Vec<BuildError> {
    let mut errors = Vec::new();
    let mut named = BTreeSet::new();
    let params: Vec<ParamId> = graph.params.ids().collect();
    for id in params {
        let param = &graph.params[id];
        let tensor = param.name.resolve();
        let stored = checkpoint.tensors.get(&tensor);
        errors.extend(difference(graph, id, &tensor, stored));
        let dtype = stored.map_or(param.dtype, |stored| stored.dtype);
        let param = &mut graph.params[id];
        param.dtype = dtype;
        param.aliases.retain(|alias| checkpoint.tensors.contains_key(alias));
        named.extend(param.aliases.iter().cloned().chain([tensor]));
    }
    let extra = checkpoint.tensors.iter().filter(|(name, _)| !named.contains(*name));
    errors.extend(extra.map(|(name, stored)| BuildError::Extra {
        tensor: name.clone(),
        shape: stored.shape.clone(),
        member: None,
    }));
    errors
}

fn difference(graph: &Graph, id: ParamId, tensor: &str, stored: Option<&Stored>) -> Option<BuildError> {
    let param = &graph.params[id];
    let (tensor, dims) = (tensor.to_string(), graph.dims_text(&param.dims));
    match stored {
        None => Some(BuildError::Missing { tensor, dims, member: None }),
        Some(stored) if stored.shape != graph.shape(param) => {
            let found = stored.shape.clone();
            Some(BuildError::Misshapen { tensor, found, dims, keys: Vec::new(), fits: None })
        }
        Some(stored) if !param.buffer && !stored.dtype.is_float() => {
            Some(BuildError::NotFloat { tensor, dtype: stored.dtype })
        }
        Some(_) => None,
    }
}
