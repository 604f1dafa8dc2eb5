//! What a graph holds that the runtime does not run: such a model is inspected, counted and changed, but shown no data.

use super::Graph;
use super::op::{Experts, Op, OpNode, Scoring};

impl Graph {
    /// Whether a picture is what it reads, alone or beside a text.
    pub fn reads_picture(&self) -> bool {
        self.ops.node_weights().any(|made| made.op == Op::Pixels)
    }

    /// Why no data set can be shown to this model; nothing where one can.
    pub fn cannot_be_shown(&self) -> Option<&'static str> {
        let both = self.reads_picture() && self.text_tokens().is_some();
        let why = "it reads a picture and a text together, and a data set has one of them";
        self.cannot_run().or(both.then_some(why))
    }

    /// Why this model cannot be run; nothing where it can.
    pub fn cannot_run(&self) -> Option<&'static str> {
        let inputs = self.ops.node_weights().filter(|made| made.op == Op::TokenIds).count();
        if inputs > 1 {
            return Some("it reads two texts, one with an encoder and one with a decoder");
        }
        self.ops.node_weights().find_map(|OpNode { op, .. }| match op {
            Op::LatentAttention | Op::Part(_) => Some("its keys and values come from one latent vector"),
            Op::Attention(attention) if attention.relative.is_some() => {
                Some("its attention adds numbers by how far tokens are apart")
            }
            Op::Experts(Experts { scoring: Scoring::Sigmoid, .. }) => {
                Some("its routers' shares are sigmoids")
            }
            Op::Experts(Experts { correction: Some(_), .. }) => {
                Some("its routers choose by corrected shares")
            }
            Op::Experts(Experts { limit: Some(_), .. }) => {
                Some("its routers choose within groups of experts")
            }
            _ => None,
        })
    }
}
