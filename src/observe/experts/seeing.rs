//! What works that show a model data have in common: the data, and all that the model reads.

use serde_json::{Value as Json, json};

use crate::graph::Graph;
use crate::pass::Data;
use crate::pass::elements::everything;

/// A data set, and what of a graph is read to show it.
#[derive(Debug)]
pub struct Seeing {
    pub data: Data,
    /// Tree paths.
    pub reads: Vec<String>,
}

impl Seeing {
    pub fn new(graph: &Graph, data: Data) -> Self {
        Self { data, reads: everything(graph) }
    }

    /// What a work depends on, the data with it.
    pub fn arguments(&self, mut of: Json) -> Json {
        of["data"] = json!(self.data.reader.describe());
        of
    }
}
