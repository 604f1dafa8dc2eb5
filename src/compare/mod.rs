//! Two models side by side: what they cost, how wide their axes are, and every tensor byte by byte.
//!
//! Tensors are read in blocks, so models may be larger than memory. Sums are made in the order of the blocks, whatever
//! thread read them: the same numbers each time.

mod tensors;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::checkpoint::Checkpoint;
use crate::diagnostic::Diagnostic;
use crate::graph::{Graph, Role};
use crate::tensor::DType;

/// A model to compare: its files, and its graph where its architecture is known.
#[derive(Debug, Clone, Copy)]
pub struct Model<'a> {
    pub checkpoint: &'a Checkpoint,
    pub graph: Option<&'a Graph>,
}

/// What is the same of two models and what is not. Pairs are `[a, b]`; `None` where a side has no such thing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    pub totals: [Totals; 2],
    /// Axes that can lose elements and are not equally long in both.
    pub axes: Vec<AxisChange>,
    /// Tensors of either model, by name.
    pub tensors: Vec<TensorChange>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Totals {
    pub family: Option<String>,
    /// As the graph counts them; without one all numbers in float tensors.
    pub params: u64,
    pub macs: Option<u64>,
    pub bytes: u64,
    pub zeros: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AxisChange {
    /// `layers[3].attention.heads`
    pub path: String,
    pub role: Role,
    pub extents: [Option<usize>; 2],
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TensorChange {
    pub name: String,
    pub sides: [Option<TensorSide>; 2],
    pub change: Change,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TensorSide {
    pub dtype: DType,
    pub shape: Vec<usize>,
    /// `[neurons=1536, hidden=384]`
    pub axes: Option<String>,
    /// Elements that are zero; of float tensors only.
    pub zeros: Option<u64>,
}

/// How a tensor differs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Change {
    /// The same type, shape and bytes.
    Same,
    /// The same shape, other numbers or another type.
    Values {
        /// The norm of the difference over the norm of `a`. None for integers, for an `a` of zeros, and where a number is
        /// not finite.
        relative: Option<f64>,
    },
    Shape,
    OnlyInA,
    OnlyInB,
}

/// Compares two models. Costs are stated for `batch` inputs of the length that the graphs say.
///
/// # Errors
/// Where a tensor cannot be read.
pub fn compare(a: Model<'_>, b: Model<'_>, batch: u64) -> Result<Comparison, Diagnostic> {
    let tensors = tensors::compare(a, b)?;
    let totals = [totals(a, batch, &tensors, 0), totals(b, batch, &tensors, 1)];
    Ok(Comparison { totals, axes: axes(a, b), tensors })
}

fn totals(model: Model<'_>, batch: u64, tensors: &[TensorChange], side: usize) -> Totals {
    let sides = tensors.iter().filter_map(|tensor| tensor.sides[side].as_ref());
    let floats: Vec<&TensorSide> = sides.filter(|side| side.dtype.is_float()).collect();
    let elements = |side: &&TensorSide| side.shape.iter().map(|&extent| extent as u64).product::<u64>();
    let cost = model.graph.map(|graph| graph.cost(batch));
    Totals {
        family: model.graph.map(|graph| graph.family.clone()),
        params: cost.map_or_else(|| floats.iter().map(elements).sum(), |cost| cost.params.max),
        macs: cost.map(|cost| cost.macs.max),
        bytes: model.checkpoint.tensors.values().map(|stored| stored.bytes).sum(),
        zeros: floats.iter().filter_map(|side| side.zeros).sum(),
    }
}

/// Roles whose elements steps take out.
const WIDTHS: [Role; 10] = [
    Role::Layers,
    Role::Heads,
    Role::KvHeads,
    Role::Group,
    Role::HeadDim,
    Role::Hidden,
    Role::Neurons,
    Role::Experts,
    Role::Routes,
    Role::Vocab,
];

fn axes(a: Model<'_>, b: Model<'_>) -> Vec<AxisChange> {
    let (Some(a), Some(b)) = (a.graph, b.graph) else { return Vec::new() };
    let mut found: Vec<AxisChange> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for (side, graph) in [a, b].into_iter().enumerate() {
        let widths = graph.axes.iter().filter(|(_, axis)| WIDTHS.contains(&axis.role));
        for (id, axis) in widths {
            let path = graph.axis_path(id);
            let at = *places.entry(path.clone()).or_insert_with(|| {
                found.push(AxisChange { path, role: axis.role, extents: [None, None] });
                found.len() - 1
            });
            found[at].extents[side] = Some(axis.extent.max);
        }
    }
    found.retain(|axis| axis.extents[0] != axis.extents[1]);
    found
}
