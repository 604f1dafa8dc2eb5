//! Named dimensions, shared by every tensor that must change together.

use std::fmt;

use serde::{Deserialize, Serialize};
use smallvec::{SmallVec, smallvec};

use super::arena::Id;
use super::tree::NodeId;

/// What an axis counts. The nouns of the language are names of roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The list of blocks; its elements are whole layers.
    Layers,
    /// Query heads that have their own key and value.
    Heads,
    /// Key/value heads that several query heads share.
    KvHeads,
    /// Query heads of one key/value head.
    Group,
    HeadDim,
    /// The width of the residual stream.
    Hidden,
    /// The inner width of a feed-forward block.
    Neurons,
    Experts,
    /// Rows of a router, where several lead to one expert.
    Routes,
    /// Rows of a router that lead to nothing.
    Nulls,
    Vocab,
    /// Rows of a table of absolute positions.
    Positions,
    Tokens,
    /// Segment types of a BERT.
    Types,
    Classes,
    Channels,
    Height,
    Width,
    /// Query, key and value in one fused tensor.
    Qkv,
    /// Gate and up projection in one fused tensor.
    GateUp,
    /// The inner width of a factored weight.
    Rank,
    /// Rows of a weight that are kept beside its factors.
    RestRows,
    /// A dimension of a buffer: it stays as it is.
    Fixed,
}

impl Role {
    pub const ALL: [Role; 23] = [
        Self::Layers,
        Self::Heads,
        Self::KvHeads,
        Self::Group,
        Self::HeadDim,
        Self::Hidden,
        Self::Neurons,
        Self::Experts,
        Self::Routes,
        Self::Vocab,
        Self::Positions,
        Self::Tokens,
        Self::Types,
        Self::Classes,
        Self::Channels,
        Self::Height,
        Self::Width,
        Self::Qkv,
        Self::GateUp,
        Self::Rank,
        Self::RestRows,
        Self::Nulls,
        Self::Fixed,
    ];

    /// Whether the axis is a list: its elements are whole tensors, or parts that have a place of their own in the tree.
    pub fn is_list(self) -> bool {
        matches!(self, Self::Layers | Self::Experts)
    }

    /// As recipes and reports spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Layers => "layers",
            Self::Heads => "heads",
            Self::KvHeads => "kv_heads",
            Self::Group => "group",
            Self::HeadDim => "head_dim",
            Self::Hidden => "hidden",
            Self::Neurons => "neurons",
            Self::Experts => "experts",
            Self::Routes => "routes",
            Self::Nulls => "null_experts",
            Self::RestRows => "rest_rows",
            Self::Vocab => "vocab",
            Self::Positions => "positions",
            Self::Tokens => "tokens",
            Self::Types => "types",
            Self::Classes => "classes",
            Self::Channels => "channels",
            Self::Height => "height",
            Self::Width => "width",
            Self::Qkv => "qkv",
            Self::GateUp => "gate_up",
            Self::Rank => "rank",
            Self::Fixed => "fixed",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How many elements: exact, or bounds (both included) while a choice depends on weights or data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Extent {
    pub min: usize,
    pub max: usize,
    /// A number that surely divides it, so that groups of so many fit whatever is chosen.
    pub multiple: usize,
}

impl Extent {
    pub fn exact(extent: usize) -> Self {
        Self { min: extent, max: extent, multiple: extent }
    }

    pub fn between(min: usize, max: usize) -> Self {
        Self::multiples(1, min, max)
    }

    /// Some multiple between two.
    pub fn multiples(multiple: usize, min: usize, max: usize) -> Self {
        debug_assert!(min <= max, "bounds are ordered");
        if min == max { Self::exact(min) } else { Self { min, max, multiple } }
    }

    /// The number, where it is known.
    pub fn known(self) -> Option<usize> {
        (self.min == self.max).then_some(self.min)
    }
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.known() {
            Some(extent) => write!(f, "{extent}"),
            None => write!(f, "{} to {}", self.min, self.max),
        }
    }
}

pub type AxisId = Id<Axis>;

/// One named dimension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Axis {
    pub role: Role,
    pub extent: Extent,
    /// The tree node that the axis belongs to: `layers[3].attention`; the root for the whole model.
    pub node: NodeId,
    /// The config field that gave the extent.
    pub key: Option<String>,
}

/// A stored dimension: an ordered product of axes, outermost first, as in `(heads head_dim)`; of none it is 1.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Dim(pub SmallVec<[AxisId; 3]>);

impl Dim {
    pub fn new(axes: impl IntoIterator<Item = AxisId>) -> Self {
        Self(axes.into_iter().collect())
    }

    pub fn contains(&self, axis: AxisId) -> bool {
        self.0.contains(&axis)
    }
}

impl<const N: usize> From<[AxisId; N]> for Dim {
    fn from(axes: [AxisId; N]) -> Self {
        Self(SmallVec::from_slice(&axes))
    }
}

impl From<AxisId> for Dim {
    fn from(axis: AxisId) -> Self {
        Self(smallvec![axis])
    }
}
