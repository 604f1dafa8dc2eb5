//! Models as ONNX, for runtimes that know neither tamis nor transformers.
//!
//! The graph that tamis runs is lowered, operation by operation, to operators of [`OPSET`]; nothing here knows a family. What comes in
//! is called as transformers calls it, and padded texts come with a mask:
//!
//! ```text
//! input_ids, attention_mask [batch, sequence] int64   ->   logits, or last_hidden_state
//! pixel_values [batch, channels, height, width]       ->   logits, or last_hidden_state and pooler_output
//! ```
//!
//! Weights are written as f32, whatever their type in the checkpoint: it is the one type in which all runtimes compute the same,
//! and the type in which tamis itself computes. Source of the format and of the operators: <https://onnx.ai/onnx/operators/>.

mod attention;
mod builder;
mod embed;
mod experts;
mod flow;
mod linear;
mod lower;
mod picture;
pub mod proto;
mod reduce;
mod weight;
mod write;

use std::path::Path;

pub use lower::CannotExport;
use lower::Ports;
use proto::{Entry, Model, Opset, ValueInfo};
use weight::Weights;
pub use write::LARGEST;

use crate::checkpoint::OutputFiles;
use crate::diagnostic::{Diagnostic, codes};
use crate::graph::{Graph, Op};
use crate::weights::Version;

/// The operators are those of this version: the first with `LayerNormalization`, and what runtimes of 2022 and later run.
pub const OPSET: i64 = 17;

/// The version of the format that came with it.
const IR_VERSION: i64 = 8;

/// A graph in ONNX, without its weights.
#[derive(Debug)]
pub struct Lowered {
    model: Model,
    weights: Weights,
}

/// Lowers a graph; reads no weight. `notes` are keys and values for whoever asks where the model comes from.
///
/// # Errors
/// The first operation that cannot be said, and why.
pub fn lower(graph: &Graph, notes: &[(String, String)]) -> Result<Lowered, CannotExport> {
    let family =
        |why: &str| CannotExport { operation: format!("the family `{}`", graph.family), why: why.into() };
    let texts = graph.ops.node_weights().filter(|made| made.op == Op::TokenIds).count();
    if texts > 1 {
        return Err(family("it reads two texts, one with an encoder and one with a decoder"));
    }
    let (builder, Ports { inputs, outputs }) = lower::lower(graph)?;
    // Each such operation was refused by its place; one that is forgotten there must not come through.
    if let Some(why) = graph.cannot_run() {
        return Err(family(why));
    }
    let (node, constants, weights) = builder.finish();
    let of = proto::Graph {
        node,
        name: graph.family.clone(),
        initializer: constants,
        input: inputs,
        output: outputs,
    };
    let model = Model {
        ir_version: IR_VERSION,
        producer_name: "tamis".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        doc_string: String::new(),
        graph: Some(of),
        opset_import: vec![Opset { domain: Some(String::new()), version: OPSET }],
        metadata_props: notes.iter().map(|(key, value)| Entry::new(key, value.as_str())).collect(),
    };
    Ok(Lowered { model, weights })
}

impl Lowered {
    fn graph(&self) -> &proto::Graph {
        self.model.graph.as_ref().expect("it was put there")
    }

    pub fn nodes(&self) -> usize {
        self.graph().node.len()
    }

    /// Weights, constants not counted.
    pub fn tensors(&self) -> usize {
        self.weights.all.len()
    }

    /// Bytes of the weights.
    pub fn bytes(&self) -> u64 {
        self.weights.all.iter().map(weight::Weight::bytes).sum()
    }

    pub fn inputs(&self) -> impl Iterator<Item = Port> {
        self.graph().input.iter().map(Port::of)
    }

    pub fn outputs(&self) -> impl Iterator<Item = Port> {
        self.graph().output.iter().map(Port::of)
    }

    /// Writes the model into its file, and its weights beside it where the whole is larger than `largest`: [`LARGEST`], as a rule. The
    /// bytes that were written.
    ///
    /// # Errors
    /// Where weights cannot be read, or files not be written.
    pub fn write(
        &self,
        version: &Version,
        output: &OutputFiles,
        largest: u64,
        progress: &dyn Fn(u64),
    ) -> Result<u64, Diagnostic> {
        write::write(&self.model, &self.weights, version, output, largest, progress)
    }
}

impl CannotExport {
    /// As it is told of a model.
    pub fn told(&self, model: &Path) -> Diagnostic {
        let message = format!("{} cannot be said in ONNX: {}", self.operation, self.why);
        Diagnostic::new(&codes::CANNOT_EXPORT, message)
            .path(model)
            .help("nothing was written; `tamis eval` and, where its file is there, `modeling_tamis.py` run what ONNX cannot say")
    }
}

/// What comes in, or goes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    pub name: String,
    /// `int64`, `float32`.
    pub dtype: &'static str,
    /// Numbers, and names of those that the input decides.
    pub shape: Vec<String>,
}

impl Port {
    fn of(value: &ValueInfo) -> Self {
        let tensor = value.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref());
        let dims = tensor.and_then(|tensor| tensor.shape.as_ref()).map_or(&[][..], |shape| &shape.dim);
        let shown = |dim: &proto::Dimension| match (dim.dim_value, &dim.dim_param) {
            (Some(value), _) => value.to_string(),
            (None, name) => name.clone().unwrap_or_default(),
        };
        let is_whole = tensor.is_some_and(|tensor| tensor.elem_type == proto::element::INT64);
        Self {
            name: value.name.clone(),
            dtype: if is_whole { "int64" } else { "float32" },
            shape: dims.iter().map(shown).collect(),
        }
    }
}
