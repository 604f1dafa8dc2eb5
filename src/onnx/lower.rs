//! The walk over a model's graph: each operation becomes nodes of ONNX.
//!
//! Values are `[batch, tokens, features]`, as in `execute/modeling_tamis.py`, and not the rows without padding of `runtime`: who
//! runs the file brings padded batches. Which tokens are real is known by `attention_mask`, and hangs on a value, since a reduction
//! gives the values behind it another one.

use std::collections::{BTreeMap, BTreeSet};

use super::builder::{Builder, Name};
use super::proto::{Dimension, ValueInfo, element};
use crate::graph::{Dim, Graph, Op, OpId, SiteId};

/// What an operation makes.
#[derive(Debug, Clone)]
pub struct Value {
    /// `[batch, tokens, features]`, or `[batch, features]` of what was pooled.
    pub name: Name,
    pub rows: Rows,
}

/// What the rows of a value stand for.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// Which are no padding, `[batch, tokens]` of int64; none where all are.
    pub mask: Option<Name>,
    /// How many tokens each stands for, `[batch, tokens]`; none where each is its own.
    pub sizes: Option<Name>,
    /// Where each stands, `[batch, tokens]` of int64; none where they are the input's, or a picture's.
    pub places: Option<Name>,
    /// 0 of a text, 1 of a picture, 2 a key token of one; none where all are of the same.
    pub kinds: Option<Name>,
}

impl Value {
    /// Other features for the same rows.
    pub fn with(&self, name: Name) -> Self {
        Self { name, rows: self.rows.clone() }
    }

    /// One row of each sample.
    pub fn pooled(name: Name) -> Self {
        Self { name, rows: Rows::default() }
    }
}

/// Why a graph cannot be said in ONNX.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CannotExport {
    /// The operation, and where it is: ``attention in `layers[0].attention` ``.
    pub operation: String,
    pub why: String,
}

/// A graph as nodes, with what comes in and goes out.
#[derive(Debug)]
pub struct Lowering<'a> {
    pub b: Builder<'a>,
    pub graph: &'a Graph,
    values: BTreeMap<OpId, Value>,
    inputs: BTreeMap<&'static str, ValueInfo>,
    /// By operation, so that they come in the order in which the family names them.
    outputs: BTreeMap<OpId, Vec<ValueInfo>>,
    /// The operation that is being lowered.
    at: OpId,
}

/// What a lowered graph takes and gives.
#[derive(Debug)]
pub struct Ports {
    pub inputs: Vec<ValueInfo>,
    pub outputs: Vec<ValueInfo>,
}

pub const IDS: &str = "input_ids";
pub const MASK: &str = "attention_mask";
pub const TYPES: &str = "token_type_ids";
pub const PIXELS: &str = "pixel_values";
/// Beside hidden states that are fewer than the tokens of the input: how many tokens each stands for, 0 for padding.
const REDUCED_MASK: &str = "reduced_attention_mask";

/// Lowers every operation that the wanted outputs depend on.
///
/// # Errors
/// The first operation that has no form in ONNX.
pub fn lower(graph: &Graph) -> Result<(Builder<'_>, Ports), CannotExport> {
    let (wanted, schedule) = (wanted(graph), graph.schedule());
    let first = schedule.first().copied().unwrap_or_default();
    let mut lowering = Lowering {
        b: Builder::new(graph),
        graph,
        values: BTreeMap::new(),
        inputs: BTreeMap::new(),
        outputs: BTreeMap::new(),
        at: first,
    };
    for op in schedule.into_iter().filter(|op| wanted.contains(op)) {
        lowering.at = op;
        lowering.b.place = graph.tree.path(graph.ops[op].node);
        let value = lowering.op(op)?;
        lowering.values.insert(op, value);
    }
    let Lowering { b, mut inputs, outputs, .. } = lowering;
    let order = [IDS, MASK, TYPES, PIXELS];
    let inputs = order.into_iter().filter_map(|name| inputs.remove(name)).collect();
    Ok((b, Ports { inputs, outputs: outputs.into_values().flatten().collect() }))
}

/// Operations behind which an output lies. Where there are logits, what heads read is not asked for.
fn wanted(graph: &Graph) -> BTreeSet<OpId> {
    let named = |op: &OpId| match &graph.ops[*op].op {
        Op::Output(name) => Some(name.as_str()),
        _ => None,
    };
    let has_logits = graph.ops.node_indices().any(|op| named(&op) == Some("logits"));
    let asked = |op: &OpId| named(op).is_some_and(|name| !has_logits || !matches!(name, "hidden" | "pooled"));
    let mut open: Vec<OpId> = graph.ops.node_indices().filter(asked).collect();
    let mut wanted: BTreeSet<OpId> = open.iter().copied().collect();
    while let Some(op) = open.pop() {
        open.extend(graph.operands(op).into_iter().filter(|&operand| wanted.insert(operand)));
    }
    wanted
}

/// What transformers calls a result.
fn output_name(name: &str) -> &str {
    match name {
        "hidden" => "last_hidden_state",
        "pooled" => "pooler_output",
        "follows" => "seq_relationship_logits",
        other => other,
    }
}

impl Lowering<'_> {
    fn op(&mut self, op: OpId) -> Result<Value, CannotExport> {
        let graph = self.graph;
        let operands: Vec<Value> =
            graph.operands(op).iter().filter_map(|operand| self.values.get(operand).cloned()).collect();
        Ok(match &graph.ops[op].op {
            Op::TokenIds => self.token_ids(),
            Op::Pixels => self.pixels(op),
            Op::Embedding(site) => self.embedding(*site, &operands[0]),
            Op::Positions { table, offset } => self.positions(*table, *offset, &operands[0]),
            Op::GridPositions { table, grid, patch } => {
                self.grid_positions(*table, *grid, *patch, &operands[0])
            }
            Op::Types(table) => self.types(*table, &operands[0]),
            Op::Patches(site) => self.patches(*site, &operands[0]),
            Op::Prepend(site) => self.prepend(*site, &operands[0])?,
            Op::Linear(site) => operands[0].with(self.linear(*site, &operands[0].name, self.rank(op))),
            Op::LayerNorm { site, eps } => {
                operands[0].with(self.layer_norm(*site, *eps, &operands[0].name, self.width(op)))
            }
            Op::RmsNorm { site, eps } => {
                operands[0].with(self.rms_norm(*site, *eps, &operands[0].name, self.width(op)))
            }
            Op::LayerScale(site) => {
                let scale = self.vector(*site);
                operands[0].with(self.b.op("Mul", &[&operands[0].name, &scale]))
            }
            Op::Activation(of) => operands[0].with(self.activation(*of, &operands[0].name)),
            Op::Attention(of) => self.attention(of, op, &operands)?,
            Op::ReduceTokens(of) => self.reduce_tokens(of, op, &operands)?,
            Op::LatentAttention | Op::Part(_) => {
                let why =
                    "its keys come from one vector, and how positions turn them is not kept in the graph";
                return Err(self.cannot_be("latent attention", why));
            }
            Op::Behind(first) => self.behind(*first, &operands[0]),
            Op::InsertPicture { placeholder } => {
                self.insert_picture(*placeholder, &operands[0], &operands[1])
            }
            Op::Experts(of) => self.experts(of, &operands[0], self.width(op))?,
            Op::Add => operands[0].with(self.b.op("Add", &[&operands[0].name, &operands[1].name])),
            Op::Multiply | Op::Weigh => {
                operands[0].with(self.b.op("Mul", &[&operands[0].name, &operands[1].name]))
            }
            Op::Scale(factor) => {
                let factor = self.b.float(*factor as f32);
                operands[0].with(self.b.op("Mul", &[&operands[0].name, &factor]))
            }
            Op::Token(number) => self.token(*number, &operands[0]),
            Op::Mean => self.mean(&operands[0]),
            Op::Last => self.last(&operands[0]),
            Op::Output(name) => self.output(name, op, &operands[0]),
        })
    }

    /// The operation at hand cannot be said.
    pub fn cannot(&self, why: &str) -> CannotExport {
        self.cannot_be(self.graph.ops[self.at].op.name(), why)
    }

    /// The same under the name of what the operation is a part of.
    fn cannot_be(&self, name: &str, why: &str) -> CannotExport {
        let place = self.graph.tree.path(self.graph.ops[self.at].node);
        let operation = if place.is_empty() { name.to_owned() } else { format!("{name} in `{place}`") };
        CannotExport { operation, why: why.into() }
    }

    pub fn extent(&self, dim: &Dim) -> usize {
        self.graph.dim_extent(dim)
    }

    /// The features that an operation makes.
    pub fn width(&self, op: OpId) -> usize {
        self.graph.ops[op].value.last().map_or(1, |dim| self.extent(dim))
    }

    /// The dims of what an operation makes, the batch among them.
    pub fn rank(&self, op: OpId) -> usize {
        1 + self.graph.ops[op].value.len()
    }

    fn token_ids(&mut self) -> Value {
        let dims = || vec![Dimension::named("batch"), Dimension::named("sequence")];
        for name in [IDS, MASK] {
            self.inputs.insert(name, ValueInfo::new(name, element::INT64, dims()));
        }
        let rows = Rows { mask: Some(MASK.into()), ..Rows::default() };
        Value { name: IDS.into(), rows }
    }

    /// Which segment each token belongs to.
    pub fn token_types(&mut self) -> Name {
        let dims = vec![Dimension::named("batch"), Dimension::named("sequence")];
        self.inputs.insert(TYPES, ValueInfo::new(TYPES, element::INT64, dims));
        TYPES.into()
    }

    fn pixels(&mut self, op: OpId) -> Value {
        let mut dims = vec![Dimension::named("batch")];
        dims.extend(self.graph.ops[op].value.iter().map(|dim| Dimension::of(self.extent(dim))));
        if self.is_any_size() {
            dims.truncate(2);
            dims.extend(["height", "width"].map(Dimension::named));
        }
        self.inputs.insert(PIXELS, ValueInfo::new(PIXELS, element::FLOAT, dims));
        Value::pooled(PIXELS.into())
    }

    /// Whether pictures of any size are taken: where positions follow the picture.
    pub fn is_any_size(&self) -> bool {
        self.graph.ops.node_weights().any(|made| matches!(made.op, Op::GridPositions { .. }))
    }

    fn output(&mut self, name: &str, op: OpId, x: &Value) -> Value {
        let named = output_name(name);
        let of_tokens = self.graph.ops[op].value.len() > 1;
        // Other rows than the text's tokens: who reads them has to be told which are padding.
        let other = x.rows.mask.as_deref().filter(|mask| *mask != MASK);
        let sequence = if other.is_some() || self.is_reduced() { "kept_tokens" } else { "sequence" };
        let mut dims = vec![Dimension::named("batch")];
        if of_tokens {
            // Pictures of one size have one number of tokens, which nobody has to be told.
            dims.push(Dimension::named(sequence));
        }
        dims.push(Dimension::of(self.width(op)));
        self.b.give(&x.name, named);
        let mut ports = vec![ValueInfo::new(named, element::FLOAT, dims)];
        if let (true, Some(mask)) = (of_tokens, other) {
            let mask = self.b.cast(mask, element::FLOAT);
            let counts = match &x.rows.sizes {
                Some(sizes) => self.b.op("Mul", &[&mask, sizes]),
                None => mask,
            };
            self.b.give(&counts, REDUCED_MASK);
            let dims = vec![Dimension::named("batch"), Dimension::named(sequence)];
            ports.push(ValueInfo::new(REDUCED_MASK, element::FLOAT, dims));
        }
        self.outputs.insert(op, ports);
        x.clone()
    }

    fn is_reduced(&self) -> bool {
        self.graph.ops.node_weights().any(|made| matches!(made.op, Op::ReduceTokens(_)))
    }

    /// The dense weight of a site as it lies in the file.
    pub fn site_name(&self, site: SiteId) -> String {
        self.graph.tree.path(self.graph.sites[site].node)
    }
}
