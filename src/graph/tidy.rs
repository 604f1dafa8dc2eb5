//! A graph without the traces of how it came about: two of the same content are written as the same bytes.

use std::collections::BTreeMap;

use petgraph::stable_graph::StableDiGraph;
use petgraph::visit::{EdgeRef, IntoEdgeReferences};

use super::{Block, Graph, OpId, Shared};

impl Graph {
    /// The same graph, its operations numbered and joined in one fixed order. Other numbers stay.
    pub fn tidied(&self) -> Self {
        let mut ops = StableDiGraph::with_capacity(self.ops.node_count(), self.ops.edge_count());
        let numbers: BTreeMap<OpId, OpId> =
            self.ops.node_indices().map(|id| (id, ops.add_node(self.ops[id].clone()))).collect();
        let mut edges: Vec<(OpId, usize, OpId)> = self
            .ops
            .edge_references()
            .map(|edge| (numbers[&edge.target()], *edge.weight(), numbers[&edge.source()]))
            .collect();
        edges.sort_unstable();
        for (target, operand, source) in edges {
            ops.add_edge(source, target, operand);
        }
        let blocks = self.blocks.iter().map(|block| Block {
            node: block.node,
            input: numbers[&block.input],
            output: numbers[&block.output],
        });
        let blocks = Shared::new(blocks.collect());
        Self { ops: Shared::new(ops), blocks, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {

    use crate::graph::{Bias, Builder, Role, Size};
    use crate::tensor::DType;

    /// Four layers, of which some are dropped in turn.
    fn without(turns: &[&[usize]]) -> String {
        let mut m = Builder::new("toy", None, DType::F32);
        let ids = m.token_ids(4);
        let [hidden, words] = [Role::Hidden, Role::Vocab].map(|role| m.axis(role, Size::fixed(4)));
        let layers = m.axis(Role::Layers, Size::fixed(4));
        let (x, _) = m.embedding("embeddings", "embed", ids, words, hidden);
        let x = m.layers(layers, "layers", x, |m, x| {
            let y = m.linear("up", "up", x, hidden, Bias::Without);
            m.add(x, y)
        });
        m.output("hidden", x);
        let mut graph = m.finish().unwrap();
        turns.iter().for_each(|keep| graph.keep(layers, keep));
        serde_json::to_string(&graph.tidied()).unwrap()
    }

    #[test]
    fn layers_dropped_at_once_or_one_by_one_leave_the_same() {
        assert_eq!(without(&[&[1, 2]]), without(&[&[0, 1, 2], &[1, 2]]));
        assert_eq!(without(&[&[1, 2]]), without(&[&[1, 2, 3], &[0, 1]]));
        assert_ne!(without(&[&[1, 2]]), without(&[&[0, 1]]));
    }
}
