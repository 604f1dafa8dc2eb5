//! Operations: a closed list. Each one's cost, forward and export stand in one place each.

use serde::{Deserialize, Serialize};

use super::axis::{AxisId, Dim};
use super::param::SiteId;
use super::reduction::Reduction;
use super::tree::NodeId;

/// An operation in the graph, and the value that it makes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpNode {
    pub op: Op,
    /// The tree node that it belongs to.
    pub node: NodeId,
    /// The dims of its value, without the batch: `[tokens, hidden]`.
    pub value: Vec<Dim>,
}

/// What is computed. Operands come over the graph's edges, in the order of the edges' numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// Token ids, `[tokens]`.
    TokenIds,
    /// A picture, `[channels, height, width]`.
    Pixels,
    /// Rows of a table by token id: `[tokens] -> [tokens, hidden]`.
    Embedding(SiteId),
    /// Rows of a table by position, from `offset` on; padding keeps the row before `offset`.
    Positions {
        table: SiteId,
        offset: usize,
    },
    /// Rows of a table of picture positions: `[1 + rows x columns, hidden]`, the first for a token in front. The grid is
    /// resampled to that of the picture's patches, bicubically as DINOv2 does.
    GridPositions {
        table: SiteId,
        /// Rows and columns of the table.
        grid: [usize; 2],
        /// Height and width of a patch.
        patch: [usize; 2],
    },
    /// Row 0 of a table of segment types for every token.
    Types(SiteId),
    /// A convolution whose stride is its kernel, flattened to tokens.
    Patches(SiteId),
    /// Puts a learned token in front.
    Prepend(SiteId),
    /// `x W^T + b`.
    Linear(SiteId),
    LayerNorm {
        site: SiteId,
        eps: f64,
    },
    RmsNorm {
        site: SiteId,
        eps: f64,
    },
    /// Every feature times a learned number of its own.
    LayerScale(SiteId),
    Activation(Activation),
    /// Operands query `[tokens, heads head_dim]`, key and value `[tokens, kv_heads head_dim]`.
    Attention(Attention),
    /// Operands query `[tokens, heads head_dim]`, key and value of each head in one `[tokens, heads width]`, the values last, and
    /// the turned part of the keys, which all heads share `[tokens, turned]` (DeepSeek-V2). It is counted and not run: how
    /// positions turn it is not kept.
    LatentAttention,
    /// Features from this number on, as many as the value has: `[tokens, latent] -> [tokens, part]`.
    Part(usize),
    /// A router and the experts that it chooses from: `[tokens, hidden] -> [tokens, hidden]`.
    Experts(Experts),
    /// Fewer tokens: operands the stream `[tokens, hidden]`, and query and key of the layer's attention.
    ReduceTokens(Reduction),
    Add,
    Multiply,
    /// Every row of the first operand times a number of its own, the second: `[tokens, hidden]`, `[tokens, 1]`.
    Weigh,
    /// Every element times a number.
    Scale(f64),
    /// Tokens from this number on.
    Behind(usize),
    /// A picture's tokens among those of a text: operands `[tokens, hidden]` of the text and of the picture. A run of the placeholder's
    /// ids, however long, stands for the picture, and does not count among the text's tokens.
    InsertPicture {
        placeholder: u32,
    },
    /// The row of the token of this number; 0 is the first.
    Token(usize),
    /// The mean over tokens that are no padding.
    Mean,
    /// The last token that is no padding.
    Last,
    /// A named result of the model: `logits`, `hidden`, `pooled`.
    Output(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    Relu,
    /// With the error function.
    Gelu,
    /// With the tanh approximation.
    GeluTanh,
    Silu,
    Tanh,
    Sigmoid,
}

/// How what a token attends to is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttentionKind {
    /// A softmax over the products of a query with all keys.
    #[default]
    Softmax,
    /// Flow attention, linear in the number of tokens: values compete for what flows out of them, and each query lets so much in
    /// (Flowformer, arXiv:2202.06258). `scale` is not used.
    Flow,
}

impl AttentionKind {
    fn is_softmax(&self) -> bool {
        *self == Self::Softmax
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attention {
    pub causal: bool,
    /// What scores are multiplied with; usually `1/sqrt(head_dim)`.
    pub scale: f64,
    pub rope: Option<Rope>,
    /// Tokens that a position sees at most, itself included.
    pub window: Option<usize>,
    /// Whether a key counts as many times as its token stands for tokens: scores have the logarithm of its size added
    /// (proportional attention of ToMe, arXiv:2210.09461, equation 1).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_size: bool,
    /// A table of numbers that are added to scores by how far tokens are apart, `[distances, heads]` (T5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relative: Option<SiteId>,
    #[serde(default, skip_serializing_if = "AttentionKind::is_softmax")]
    pub kind: AttentionKind,
}

impl Attention {
    /// Softmax attention that knows no positions.
    pub fn new(causal: bool, scale: f64) -> Self {
        let (rope, window, relative, by_size) = (None, None, None, false);
        Self { causal, scale, rope, window, by_size, relative, kind: AttentionKind::Softmax }
    }

    /// What flow attention cannot have of this one.
    pub(super) fn cannot_flow(&self) -> Option<&'static str> {
        match () {
            () if self.causal => {
                Some("it is causal, and flow attention lets all tokens compete with each other")
            }
            () if self.relative.is_some() => {
                Some("it adds numbers to scores, of which flow attention has none")
            }
            () if self.window.is_some() => Some("it sees a window, and flow attention all tokens"),
            () if self.rope.is_some() => Some("it turns queries and keys by positions"),
            () if self.by_size => Some("it weighs tokens by how many they stand for"),
            () => None,
        }
    }
}

/// Rotary positions, halves rotated against each other (the layout of Hugging Face checkpoints).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rope {
    pub theta: f64,
    pub scaling: Option<RopeScaling>,
}

/// The frequency correction of Llama 3.1 and later.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RopeScaling {
    Linear { factor: f64 },
    Llama3 { factor: f64, low_freq_factor: f64, high_freq_factor: f64, original_positions: usize },
}

impl Rope {
    /// How fast a pair of a head's dimensions turns, in radians a position.
    pub fn speed(&self, pair: usize, head_dim: usize) -> f64 {
        let plain = self.theta.powf(-2.0 * pair as f64 / head_dim as f64);
        match self.scaling {
            None => plain,
            Some(RopeScaling::Linear { factor }) => plain / factor,
            Some(RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original_positions }) => {
                let length = 2.0 * std::f64::consts::PI / plain;
                let original = original_positions as f64;
                let blend = (original / length - low_freq_factor) / (high_freq_factor - low_freq_factor);
                let blend = blend.clamp(0.0, 1.0);
                plain * (1.0 - blend) / factor + plain * blend
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Experts {
    pub axis: AxisId,
    pub router: SiteId,
    /// Where rows of the router lead; where nothing is said each has an expert of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<Routes>,
    pub experts: Vec<Expert>,
    /// Experts that run for a token.
    pub top_k: usize,
    /// Whether the chosen gates are divided by their sum.
    pub renormalize: bool,
    pub activation: Activation,
    /// Of two chosen experts the second is left out where its gate is less than so many times the first's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip_below: Option<f64>,
    /// What makes shares of the router's logits.
    #[serde(default, skip_serializing_if = "Scoring::is_softmax")]
    pub scoring: Scoring,
    /// A number for each row of the router, added to its share where experts are chosen and not where they are weighed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correction: Option<SiteId>,
    /// Where only the experts of the best groups are chosen from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<GroupLimit>,
    /// Further rows of the router, behind which nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nulls: Option<Nulls>,
    /// A matrix `[experts, routes]` that makes shares of experts of shares of the router's rows, before the best are chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer: Option<SiteId>,
}

/// What makes shares of logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scoring {
    /// Of all rows together.
    #[default]
    Softmax,
    /// Of each row by itself.
    Sigmoid,
}

impl Scoring {
    fn is_softmax(&self) -> bool {
        *self == Self::Softmax
    }
}

/// Experts in as many groups of neighbours, equally large, the best `chosen` of which a token chooses its experts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupLimit {
    pub groups: usize,
    pub chosen: usize,
}

/// Experts that do nothing (AdaMoE): a token that chooses one has an expert less to run. Gates are renormalized over the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nulls {
    pub axis: AxisId,
    /// `[nulls, hidden]`
    pub router: SiteId,
}

/// Rows of a router that share experts, where experts were merged: two that are chosen and lead to one expert let it run once,
/// with the sum of their gates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routes {
    /// Rows of the router.
    pub axis: AxisId,
    /// For each row the number of its expert.
    pub to: Vec<usize>,
}

impl Experts {
    /// A softmax over one expert a row, the best `top_k` of which run.
    pub fn new(
        axis: AxisId,
        router: SiteId,
        experts: Vec<Expert>,
        top_k: usize,
        activation: Activation,
    ) -> Self {
        Self {
            axis,
            router,
            routes: None,
            experts,
            top_k,
            renormalize: true,
            activation,
            skip_below: None,
            scoring: Scoring::Softmax,
            correction: None,
            limit: None,
            nulls: None,
            transfer: None,
        }
    }

    /// The weights that decide which experts run.
    pub fn deciding(&self) -> impl Iterator<Item = SiteId> {
        let nulls = self.nulls.map(|nulls| nulls.router);
        std::iter::once(self.router).chain(self.correction).chain(nulls).chain(self.transfer)
    }

    /// What the router's rows count.
    pub fn routes_axis(&self) -> AxisId {
        self.routes.as_ref().map_or(self.axis, |routes| routes.axis)
    }

    /// The expert that a row of the router leads to.
    pub fn expert_of(&self, route: usize) -> usize {
        self.routes.as_ref().map_or(route, |routes| routes.to[route])
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Expert {
    pub gate: Option<SiteId>,
    pub up: SiteId,
    pub down: SiteId,
}

impl Expert {
    pub fn sites(&self) -> impl Iterator<Item = SiteId> {
        self.gate.into_iter().chain([self.up, self.down])
    }
}

impl Op {
    /// What it is called in messages.
    pub fn name(&self) -> &'static str {
        match self {
            Op::TokenIds => "token ids",
            Op::Pixels => "pixels",
            Op::Embedding(_) => "embedding",
            Op::Positions { .. } => "positions",
            Op::GridPositions { .. } => "positions in a grid",
            Op::Types(_) => "types",
            Op::Patches(_) => "patches",
            Op::Prepend(_) => "prepend",
            Op::Linear(_) => "linear",
            Op::LayerNorm { .. } => "layer norm",
            Op::RmsNorm { .. } => "rms norm",
            Op::LayerScale(_) => "layer scale",
            Op::Activation(_) => "activation",
            Op::Attention(_) => "attention",
            Op::LatentAttention => "latent attention",
            Op::Part(_) => "part",
            Op::Experts(_) => "experts",
            Op::ReduceTokens(_) => "reduce tokens",
            Op::Add => "add",
            Op::Multiply => "multiply",
            Op::Weigh => "weigh",
            Op::Scale(_) => "scale",
            Op::Behind(_) => "tokens behind",
            Op::InsertPicture { .. } => "insert picture",
            Op::Token(_) => "token",
            Op::Mean => "mean",
            Op::Last => "last",
            Op::Output(_) => "output",
        }
    }

    /// The weights that it reads.
    pub fn sites(&self) -> Vec<SiteId> {
        match self {
            Op::Embedding(site)
            | Op::Types(site)
            | Op::Patches(site)
            | Op::Prepend(site)
            | Op::Linear(site)
            | Op::Positions { table: site, .. }
            | Op::GridPositions { table: site, .. }
            | Op::LayerScale(site)
            | Op::LayerNorm { site, .. }
            | Op::RmsNorm { site, .. } => vec![*site],
            Op::Experts(experts) => {
                experts.deciding().chain(experts.experts.iter().flat_map(Expert::sites)).collect()
            }
            _ => Vec::new(),
        }
    }
}
