//! A checked recipe: every name resolved, every target found, shapes and costs known after each step.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::graph::{CannotSay, Cost, Graph};
use crate::pass::{Lowering, Measure, MeasureSpec};
use crate::source::Span;
use crate::syntax::ast::Comparison;
use crate::tensor::DType;

/// What `check` hands to `plan`.
#[derive(Debug)]
pub struct Typed {
    /// The recipe's title, from its header.
    pub title: Option<String>,
    /// Fields of the header: `paper`, `license`.
    pub header: Vec<(String, String)>,
    pub model: TypedModel,
    /// The input that costs are stated for.
    pub at: MeasuredAt,
    /// Params with the values used, as written, in order.
    pub params: Vec<(String, String)>,
    pub body: Vec<Item>,
}

#[derive(Debug, Clone)]
pub struct TypedModel {
    /// The name that the recipe gives it.
    pub name: String,
    /// The directory, as it was given.
    pub path: PathBuf,
    pub graph: Arc<Graph>,
    pub cost: Cost,
}

/// The input that costs are stated for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeasuredAt {
    /// Tokens of a text; of a picture what its size says.
    pub tokens: usize,
    pub batch: u64,
}

/// A statement that acts. Each sees the model as the ones above left it; a sweep's branches each start from there.
#[derive(Debug)]
pub enum Item {
    Step(TypedStep),
    Expect(TypedExpect),
    Measure(TypedMeasure),
    Save(TypedSave),
    Sweep(Vec<Branch>),
}

/// The body of a sweep for one value.
#[derive(Debug)]
pub struct Branch {
    /// `remaining = 80%`
    pub label: String,
    pub body: Vec<Item>,
}

#[derive(Debug)]
pub struct TypedStep {
    pub verb: &'static str,
    /// Canonical text on one line, names filled in.
    pub text: String,
    pub span: Span,
    pub lowering: Lowering,
    /// The graph after the step; extents are bounds while choices depend on weights.
    pub graph: Arc<Graph>,
    pub cost: Cost,
}

/// A measure of the model, or of a part of it.
#[derive(Debug)]
pub struct TypedMeasure {
    /// As written: `zeros of layers[*].mlp`.
    pub text: String,
    pub span: Span,
    pub spec: &'static MeasureSpec,
    pub measure: Arc<dyn Measure>,
    /// Paths of the sites that it is taken of; the whole model without.
    pub sites: Option<Vec<String>>,
}

#[derive(Debug)]
pub struct TypedExpect {
    /// As written: `flops <= 60% of input`.
    pub text: String,
    pub measured: TypedMeasure,
    pub op: Comparison,
    pub bound: ExpectBound,
    pub span: Span,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ExpectBound {
    Absolute(f64),
    /// A share of what the input model measures.
    OfInput(f64),
}

#[derive(Debug)]
pub struct TypedSave {
    pub path: PathBuf,
    pub span: Span,
    /// Bytes of a shard at most.
    pub shard_size: Option<u64>,
    /// All float tensors cast to this type.
    pub dtype: Option<DType>,
    /// The architecture's config fields that say the result, or why they cannot.
    pub loads: Result<BTreeMap<String, usize>, Vec<CannotSay>>,
}

impl Typed {
    /// All items, sweeps' branches included, in the order of the text.
    pub fn items(&self) -> Vec<&Item> {
        fn walk<'a>(body: &'a [Item], found: &mut Vec<&'a Item>) {
            for item in body {
                found.push(item);
                if let Item::Sweep(branches) = item {
                    branches.iter().for_each(|branch| walk(&branch.body, found));
                }
            }
        }
        let mut found = Vec::new();
        walk(&self.body, &mut found);
        found
    }
}
