//! The things that steps act on. A noun stands for roles of axes, or for weights; never for tensor names.

use crate::graph::Role;

/// A word of the language for a kind of element.
#[derive(Debug, PartialEq, Eq)]
pub struct Noun {
    pub name: &'static str,
    pub doc: &'static str,
    pub kind: NounKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NounKind {
    /// The matrices of linear and convolution operations.
    Weights,
    /// The output projections of attention and feed-forward: what they add to the stream.
    Outputs,
    /// Tokens on their way through layers: no element of a stored axis.
    Tokens,
    /// The attention of whole layers.
    Attention,
    /// Elements of axes of these roles.
    Elements(&'static [Role]),
}

/// All nouns there are.
pub static NOUNS: &[Noun] = &[
    Noun {
        name: "weights",
        doc: "the matrices of linear and convolution operations: no norms, no biases, embeddings only where named",
        kind: NounKind::Weights,
    },
    Noun {
        name: "outputs",
        doc: "what attention and feed-forward add to the stream: their output projections, with biases",
        kind: NounKind::Outputs,
    },
    Noun {
        name: "heads",
        doc: "attention heads; where several query heads share a key/value head, they go together with it",
        kind: NounKind::Elements(&[Role::Heads, Role::KvHeads]),
    },
    Noun {
        name: "kv_heads",
        doc: "key/value heads, each with the query heads that share it",
        kind: NounKind::Elements(&[Role::KvHeads]),
    },
    Noun {
        name: "neurons",
        doc: "inner units of feed-forward blocks: rows of up and gate, columns of down",
        kind: NounKind::Elements(&[Role::Neurons]),
    },
    Noun {
        name: "hidden",
        doc: "the width of the residual stream, in every tensor that reads or writes it",
        kind: NounKind::Elements(&[Role::Hidden]),
    },
    Noun {
        name: "experts",
        doc: "experts of mixture layers, each with its row of the router",
        kind: NounKind::Elements(&[Role::Experts]),
    },
    Noun {
        name: "null_experts",
        doc: "rows of routers that lead to nothing; they are put beside the experts that are there",
        kind: NounKind::Elements(&[Role::Experts]),
    },
    Noun {
        name: "layers",
        doc: "whole blocks; the others are numbered anew",
        kind: NounKind::Elements(&[Role::Layers]),
    },
    Noun {
        name: "tokens",
        doc: "tokens on their way through layers; which ones are chosen anew for each sample",
        kind: NounKind::Tokens,
    },
    Noun {
        name: "attention",
        doc: "the attention of whole layers: how a token's place in it is found, not its weights",
        kind: NounKind::Attention,
    },
    Noun {
        name: "vocab",
        doc: "rows of the token embedding, and of an output head",
        kind: NounKind::Elements(&[Role::Vocab]),
    },
];

impl Noun {
    pub fn named(name: &str) -> Option<&'static Noun> {
        NOUNS.iter().find(|noun| noun.name == name)
    }
}
