//! Attention that becomes flow attention: the same parameters, another operation.

use super::export::CannotSay;
use super::op::{AttentionKind, Op};
use super::{Graph, OpId};

/// Why the attention of a layer cannot become flow attention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotFlow {
    /// There is none in the layer that is run.
    NoAttention,
    /// What it has, and flow attention has not.
    Has(&'static str),
}

impl Graph {
    /// Makes the attention of the layer of this number flow attention. Whether it was none before.
    ///
    /// # Errors
    /// Why it cannot be; nothing has changed then.
    pub fn convert_to_flow(&mut self, layer: usize) -> Result<bool, NotFlow> {
        let op = self.attention_of(&self.blocks[layer]).ok_or(NotFlow::NoAttention)?;
        let Op::Attention(of) = &self.ops[op].op else { return Err(NotFlow::NoAttention) };
        if let Some(has) = of.cannot_flow() {
            return Err(NotFlow::Has(has));
        }
        let operands = self.operands(op);
        let width = |at: usize| self.ops[operands[at]].value.last().map(|dim| self.dim_extent(dim));
        if width(0) != width(1) {
            return Err(NotFlow::Has("several of its query heads share a key"));
        }
        let shares_query = |other: OpId| {
            matches!(self.ops[other].op, Op::ReduceTokens(_))
                && self.operands(other).get(1) == operands.first()
        };
        if self.ops.node_indices().any(shares_query) {
            return Err(NotFlow::Has("it says which tokens of its layer go"));
        }
        let Op::Attention(of) = &mut self.ops[op].op else { return Err(NotFlow::NoAttention) };
        Ok(std::mem::replace(&mut of.kind, AttentionKind::Flow) != AttentionKind::Flow)
    }

    /// Whether an operation is flow attention.
    pub fn is_flow(&self, op: OpId) -> bool {
        matches!(&self.ops[op].op, Op::Attention(of) if of.kind == AttentionKind::Flow)
    }

    /// No architecture's config speaks of flow attention.
    pub(super) fn flowing(&self) -> Option<CannotSay> {
        let op = self.ops.node_indices().find(|&op| self.is_flow(op))?;
        let why = format!(
            "`{}` is flow attention, which no architecture here has",
            self.tree.path(self.ops[op].node)
        );
        Some(CannotSay { key: "architectures".into(), why })
    }
}
