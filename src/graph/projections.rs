//! Where blocks give their results to the stream.

use petgraph::Direction;
use petgraph::visit::EdgeRef;

use super::op::Op;
use super::param::SiteId;
use super::{Graph, OpId};

/// The last linear operation of an attention or a feed-forward, whose result is added to the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Projection {
    pub site: SiteId,
    pub op: OpId,
    /// The stream that its result is added to.
    pub stream: OpId,
}

impl Graph {
    /// All output projections of the layers, in the order in which they run.
    pub fn projections(&self) -> Vec<Projection> {
        let in_layer: Vec<bool> = {
            let mut inside = vec![false; self.tree.bound()];
            let below = self.blocks.iter().flat_map(|block| self.tree.below(block.node));
            below.for_each(|node| inside[node.index()] = true);
            inside
        };
        let of = |op: OpId| {
            let made = &self.ops[op];
            let Op::Linear(site) = made.op else { return None };
            let stream = in_layer[made.node.index()].then(|| self.joined(op)).flatten()?;
            Some(Projection { site, op, stream })
        };
        self.schedule().into_iter().filter_map(of).collect()
    }

    /// What a value is added to, itself or scaled feature by feature.
    fn joined(&self, op: OpId) -> Option<OpId> {
        let mut readers = self.ops.edges_directed(op, Direction::Outgoing).map(|edge| edge.target());
        let (Some(reader), None) = (readers.next(), readers.next()) else { return None };
        match self.ops[reader].op {
            Op::LayerScale(_) => self.joined(reader),
            Op::Add => self.operands(reader).into_iter().find(|&operand| operand != op),
            _ => None,
        }
    }
}
