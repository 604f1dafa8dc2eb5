//! What was done, to what, with what effect: the one serialized, versioned type behind reports, cards and attestations.
//!
//! `report.json` is a [`Provenance`] as it stands. It holds no time, no place of the output and nothing of how the plan was
//! optimized, so that a second run anywhere writes the same bytes.

mod lock;
mod statement;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use lock::{Lock, LockedData, LockedFile, LockedModel};
pub use statement::{
    BuildDefinition, Builder, ExternalParameters, Predicate, Resource, RunDetails, Statement,
};

use crate::graph::{Between, CannotSay, Role, Sparsity};
use crate::pass::{CostBound, CostMeasure, Traded, Training, Unit};
use crate::tensor::DType;

/// The version of the form below. Readers refuse a larger one.
pub const SCHEMA: u32 = 1;

/// One output: the steps from the input model to it, and what they did. A sweep makes several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    pub schema: u32,
    pub tool: Tool,
    pub recipe: Recipe,
    pub input: Input,
    /// The input that costs are stated for.
    pub at: At,
    /// The whole model before the first step and after the last.
    pub before: Totals,
    pub after: Totals,
    /// Steps in the order in which they were done; their numbers are those of `tamis plan`.
    pub steps: Vec<Step>,
    /// Residual blocks of the input model, in order; empty for a model without.
    pub layers: Vec<Layer>,
    /// Tensors of the output, in the order of the model.
    pub tensors: Vec<Tensor>,
    pub measures: Vec<Measured>,
    pub expectations: Vec<Expectation>,
    /// What the user should know, from the checker.
    pub notes: Vec<Note>,
    pub loads_in: LoadsIn,
}

/// The program that ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    pub name: String,
    pub version: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipe {
    /// From its header.
    pub title: Option<String>,
    /// Its `##` comment.
    pub doc: Option<String>,
    /// Fields of its header in their order: `paper`, `license`.
    pub header: Vec<(String, String)>,
    /// Params with the values used, in their order.
    pub params: Vec<(String, String)>,
    /// For an output inside of sweeps, the values that led to it, outermost first: `remaining = 80%`.
    pub branch: Vec<String>,
    pub text: String,
}

/// The model that was compressed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// The name that the recipe gives it.
    pub name: String,
    /// The directory, as it was given.
    pub path: String,
    pub family: String,
    /// Everything that was read of it, by name in its directory.
    pub files: Vec<InputFile>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputFile {
    pub name: String,
    pub bytes: u64,
    /// 64 hexadecimal digits.
    pub sha256: String,
}

/// The input that costs are stated for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct At {
    /// Tokens of a text; `None` for a picture, whose size says it.
    pub tokens: Option<usize>,
    pub batch: u64,
}

/// What a model costs, counted on its graph: numbers, or the bounds that shapes alone tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(bound(
    serialize = "T: Serialize + Default + PartialEq",
    deserialize = "T: Deserialize<'de> + Default"
))]
pub struct Cost<T = u64> {
    /// Stored weights; a tied one counts once.
    pub params: T,
    pub macs: T,
    /// Twice the MACs.
    pub flops: T,
    /// Bytes of the stored weights.
    pub bytes: T,
    /// How long a forward pass takes by the table of times that the recipe names; 0 where it names none.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub nanoseconds: T,
}

impl<T: Copy> Cost<T> {
    pub fn of(&self, measure: CostMeasure) -> T {
        match measure {
            CostMeasure::Params => self.params,
            CostMeasure::Macs => self.macs,
            CostMeasure::Flops => self.flops,
            CostMeasure::Bytes => self.bytes,
            CostMeasure::Latency => self.nanoseconds,
        }
    }
}

fn is_nothing<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

/// What a model costs, and how many of its weights are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    #[serde(flatten)]
    pub cost: Cost,
    /// Weights that are zero, counted in the stored numbers.
    pub zeros: u64,
}

/// One step of the recipe and its effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// From 1, counted over the whole recipe, sweeps' branches one after the other.
    pub number: usize,
    pub verb: String,
    /// Canonical text on one line, names filled in.
    pub text: String,
    pub before: Cost,
    pub after: Cost,
    /// What was known of `after` before any weight was read: bounds, while it depends on weights which elements stay.
    pub planned: Cost<Between>,
    /// The cost that the step promised not to exceed.
    pub budget: Option<CostBound>,
    /// Axes that lost elements.
    pub kept: Vec<Kept>,
    /// Under a budget what other budgets would have kept, the smallest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub curve: Vec<Traded>,
    /// Weights that became two factors.
    pub factored: Vec<Factored>,
    /// Weights whose sparsity the step established.
    pub sparsified: Vec<Sparsified>,
    /// Tensors whose type the step changed: for each new type how many.
    pub cast: BTreeMap<DType, usize>,
    /// What there is to tell of a step that trained. How long it took is not: that differs from run to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<Training>,
}

/// Which elements of an axis stayed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// `layers[3].attention.heads`, as the step saw it.
    pub axis: String,
    pub role: Role,
    /// Elements that there were.
    pub of: usize,
    /// Their numbers, ascending, as the step saw them.
    pub kept: Vec<usize>,
    /// The score of each of the `of` elements, where the step scored them. The larger stay.
    pub scores: Option<Vec<f64>>,
    /// Where elements became one with others: for each that is left, those that it was made of, itself among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged: Option<Vec<Vec<usize>>>,
}

/// A weight that became two factors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Factored {
    /// `layers[3].mlp.up`
    pub place: String,
    pub rank: usize,
    /// The largest rank it could have had.
    pub of: usize,
}

/// A weight whose sparsity a step established.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sparsified {
    /// `layers[3].mlp.up`
    pub place: String,
    pub sparsity: Sparsity,
}

/// A residual block of the input model, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Its place in the input model: `layers[3]`.
    pub place: String,
    /// Its place in the output; `None` where it was dropped.
    pub now: Option<String>,
    pub before: Totals,
    /// All zero where it was dropped.
    pub after: Totals,
    /// Axes of the block that can lose elements.
    pub axes: Vec<Width>,
}

/// An axis of a layer before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Width {
    /// Below the layer: `attention.heads`.
    pub axis: String,
    pub role: Role,
    pub before: usize,
    pub after: usize,
}

/// A tensor of the output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tensor {
    /// As the file spells it.
    pub name: String,
    /// The place in the model that it belongs to: `layers[3].mlp.up`. Empty for tensors that belong to none.
    pub place: String,
    pub dtype: DType,
    pub shape: Vec<usize>,
    /// `[neurons=1536, hidden=384]`
    pub axes: String,
    /// Elements that are zero.
    pub zeros: u64,
    /// The rank of the two factors that it is one of.
    pub rank: Option<usize>,
    /// Carried over as it was and not counted: position ids, causal masks.
    pub buffer: bool,
}

/// A measure of the model, or of a part of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// As written: `zeros of layers[*].mlp`.
    pub text: String,
    /// The number of the last step before it was taken; 0 for the input model.
    pub after_step: usize,
    pub unit: Unit,
    pub value: f64,
}

/// A condition on the result, and whether it held.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Expectation {
    /// As written: `flops <= 60% of input`.
    pub text: String,
    pub after_step: usize,
    pub unit: Unit,
    pub value: f64,
    /// `<=`
    pub op: String,
    /// What the value is compared with; of a share of the input, the number that it comes to.
    pub bound: f64,
    pub held: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The number of the step that it is about.
    pub step: usize,
    /// A code of `tamis explain`.
    pub code: String,
    pub message: String,
}

/// What can read the output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadsIn {
    /// Whether the architecture's own config says it all, so that `transformers` loads it as any other model.
    pub transformers: bool,
    /// Why not, where not; the output then carries its graph in `tamis.graph.json`.
    pub because: Vec<CannotSay>,
}
