//! Parameters: stored tensors, and the matrices that operations see in them.

use serde::{Deserialize, Serialize};

use super::Shared;
use super::arena::Id;
use super::axis::{AxisId, Dim};
use super::tree::NodeId;
use crate::tensor::DType;

pub type ParamId = Id<Param>;

/// One stored tensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Param {
    pub name: Name,
    pub dtype: DType,
    /// One entry a stored dimension.
    pub dims: Vec<Dim>,
    /// Further names of the same tensor in the checkpoint it was read from (a tied output head).
    pub aliases: Vec<String>,
    /// Carried over untouched and not counted: position ids, causal masks.
    pub buffer: bool,
}

/// A checkpoint name with holes for the numbers of layers and experts, so that dropping one renumbers the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Name(pub Shared<Vec<NamePart>>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NamePart {
    Text(String),
    /// The element of this axis that the tensor belongs to.
    Member(AxisId, usize),
}

impl Name {
    pub fn new(parts: Vec<NamePart>) -> Self {
        Self(Shared::new(parts))
    }

    /// Members, outermost first: the layer, then the expert.
    pub fn members(&self) -> impl Iterator<Item = (AxisId, usize)> {
        self.0.iter().filter_map(|part| match *part {
            NamePart::Member(axis, index) => Some((axis, index)),
            NamePart::Text(_) => None,
        })
    }

    /// The name as the file spells it.
    pub fn resolve(&self) -> String {
        use std::fmt::Write;
        self.0.iter().fold(String::new(), |mut name, part| {
            match part {
                NamePart::Text(text) => name.push_str(text),
                NamePart::Member(_, index) => write!(name, "{index}").expect("writing to a string succeeds"),
            }
            name
        })
    }

    /// The same name with its last dotted word replaced or extended, numbers kept.
    pub fn with_suffix(&self, cut: &str, suffix: &str) -> Name {
        let mut parts = self.0.to_vec();
        match parts.last_mut() {
            Some(NamePart::Text(text)) => {
                let stem = text.strip_suffix(cut).unwrap_or(text);
                *text = format!("{stem}{suffix}");
            }
            _ => parts.push(NamePart::Text(suffix.into())),
        }
        Name::new(parts)
    }
}

/// The part of a tensor at fixed elements of some axes: the query third of a fused `qkv`, one expert of a stack.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct View {
    pub param: ParamId,
    pub fixed: Vec<(AxisId, usize)>,
}

impl View {
    pub fn whole(param: ParamId) -> Self {
        Self { param, fixed: Vec::new() }
    }
}

/// What a site's weight is used as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SiteKind {
    Linear,
    Conv,
    /// A table looked up by token, position or type.
    Embedding,
    Norm,
    /// A number for each feature, which it is multiplied with.
    Scale,
    /// A free parameter that is added or prepended.
    Token,
}

impl SiteKind {
    /// Whether `weights` means it without being named: the matrices of linear and convolution operations.
    pub fn is_matrix(self) -> bool {
        matches!(self, Self::Linear | Self::Conv)
    }
}

/// The weight of an operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    Dense(View),
    /// `left [out, rank]` times `right [rank, in]`, and some rows of what they leave of the matrix.
    Factored {
        left: View,
        right: View,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rest: Option<Rest>,
    },
}

/// Rows that are added to a product of factors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rest {
    /// `[rows, in]`
    pub view: View,
    /// For each the output that it is added to, ascending.
    pub rows: Vec<usize>,
}

pub type SiteId = Id<Site>;

/// What is promised of the zeros of a weight; looked up again in the files that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sparsity {
    /// At most `keep` of each `of` consecutive inputs of an output are not zero.
    Pattern { keep: usize, of: usize },
    /// At least so many weights are zero.
    Zeros(u64),
    /// A pattern, and more zeros than it makes.
    Both { keep: usize, of: usize, zeros: u64 },
}

impl Sparsity {
    /// `(keep, of)`, where a pattern is promised.
    pub fn pattern(self) -> Option<(usize, usize)> {
        match self {
            Self::Pattern { keep, of } | Self::Both { keep, of, .. } => Some((keep, of)),
            Self::Zeros(_) => None,
        }
    }

    /// The number, where one is promised.
    pub fn zeros(self) -> Option<u64> {
        match self {
            Self::Zeros(zeros) | Self::Both { zeros, .. } => Some(zeros),
            Self::Pattern { .. } => None,
        }
    }

    /// What it promises beside what was promised before.
    pub fn beside(self, before: Option<Self>) -> Option<Self> {
        let pattern = self.pattern().filter(|_| before.and_then(Self::pattern) != self.pattern());
        let zeros = self.zeros().filter(|_| before.and_then(Self::zeros) != self.zeros());
        match (pattern, zeros) {
            (Some((keep, of)), Some(zeros)) => Some(Self::Both { keep, of, zeros }),
            (Some((keep, of)), None) => Some(Self::Pattern { keep, of }),
            (None, zeros) => zeros.map(Self::Zeros),
        }
    }

    /// The same promise and a number of zeros, the larger one where there is one.
    pub fn and_zeros(this: Option<Self>, zeros: u64) -> Self {
        let zeros = this.and_then(Self::zeros).map_or(zeros, |before| before.max(zeros));
        match this.and_then(Self::pattern) {
            Some((keep, of)) => Self::Both { keep, of, zeros },
            None => Self::Zeros(zeros),
        }
    }

    /// The same promise and a pattern, in the place of another.
    pub fn and_pattern(this: Option<Self>, keep: usize, of: usize) -> Self {
        match this.and_then(Self::zeros) {
            Some(zeros) => Self::Both { keep, of, zeros },
            None => Self::Pattern { keep, of },
        }
    }
}

/// A place in the tree that owns a weight: `layers[3].attention.query`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Site {
    pub node: NodeId,
    pub kind: SiteKind,
    pub weight: Weight,
    pub bias: Option<View>,
    /// Stored as `[in, out]`, as GPT-2's `Conv1D` does.
    pub transposed: bool,
    /// Part of the weight's type; ends when elements that it speaks of go.
    pub sparsity: Option<Sparsity>,
}

impl Site {
    /// The tensors of this site, bias last.
    pub fn views(&self) -> impl Iterator<Item = &View> {
        let (first, second, third) = match &self.weight {
            Weight::Dense(view) => (view, None, None),
            Weight::Factored { left, right, rest } => {
                (left, Some(right), rest.as_ref().map(|rest| &rest.view))
            }
        };
        std::iter::once(first).chain(second).chain(third).chain(&self.bias)
    }

    pub(super) fn views_mut(&mut self) -> impl Iterator<Item = &mut View> {
        let (first, second, third) = match &mut self.weight {
            Weight::Dense(view) => (view, None, None),
            Weight::Factored { left, right, rest } => {
                (left, Some(right), rest.as_mut().map(|rest| &mut rest.view))
            }
        };
        std::iter::once(first).chain(second).chain(third).chain(&mut self.bias)
    }
}
