//! Costs of the toy graphs, by hand.

use super::super::{Between, Cost, Extent};
use super::*;

#[test]
fn products_are_counted_where_they_are_done() {
    let graph = decoder();
    let costs = graph.costs(1);
    let cost = |path: &str| costs[of(&graph, path).node];
    assert_eq!(cost("layers[0].attention.query").macs, Between::exact(5 * 8 * 12));
    assert_eq!(cost("layers[0].attention.key").macs, Between::exact(5 * 8 * 6));
    assert_eq!(cost("layers[0].norm1").macs, Between::exact(0));
    assert_eq!(cost("head").macs, Between::exact(5 * 8 * 11));
    // Linears, then scores and values of 5 x 5 tokens over all 4 heads.
    let attention = 5 * 8 * (12 + 6 + 6 + 12) + 2 * 5 * 5 * 12;
    let parent = graph.tree[of(&graph, "layers[0].attention.query").node].parent.unwrap();
    assert_eq!(costs[parent].macs, Between::exact(attention));
    assert_eq!(graph.cost(1).macs, Between::exact(3 * (attention + 2 * 5 * 8 * 6) + 5 * 8 * 11));
    assert_eq!(graph.cost(4).flops(), graph.cost(1).macs * 8);
}

#[test]
fn a_tied_weight_counts_once_where_it_was_met_first() {
    let graph = decoder();
    let costs = graph.costs(1);
    assert_eq!(costs[of(&graph, "words").node].params, Between::exact(88));
    assert_eq!(costs[of(&graph, "head").node].params, Between::exact(0));
}

#[test]
fn parts_of_fused_weights_count_where_they_are_read() {
    let graph = picture();
    let costs = graph.costs(1);
    for node in ["query", "key", "value"] {
        assert_eq!(costs[of(&graph, node).node].params, Between::exact(16 + 4), "{node}");
    }
    assert_eq!(costs[of(&graph, "patches").node].macs, Between::exact(6 * 4 * 12));
    let graph = mixture(Stored::Fused);
    assert_eq!(graph.costs(1)[of(&graph, "layers[1].experts[3].gate").node].params, Between::exact(12));
}

#[test]
fn of_four_experts_two_run() {
    let graph = mixture(Stored::OneByOne);
    let costs = graph.costs(1);
    assert_eq!(costs[of(&graph, "layers[0].router").node].macs, Between::exact(5 * 4 * 4));
    assert_eq!(costs[of(&graph, "layers[0].experts[1].up").node].macs, Between::exact(5 * 12 / 2));
    assert_eq!(graph.cost(1).macs, Between::exact(2 * (5 * 16 + 5 * 2 * 24)));
    let mut fewer = graph.clone();
    fewer.keep(axes(&graph, Role::Experts)[0], &[2]);
    assert_eq!(fewer.cost(1).macs, Between::exact(5 * 16 + 5 * 2 * 24 + 5 * 4 + 5 * 24));
}

#[test]
fn bytes_follow_the_types() {
    let mut graph = decoder();
    let Cost { params, bytes, .. } = graph.cost(1);
    assert_eq!(bytes, params * 4);
    graph.cast(param(&graph, "model.words.weight"), DType::F16);
    assert_eq!(graph.cost(1).bytes, Between::exact(4 * params.min - 2 * 88));
}

#[test]
fn factors_cost_less_where_the_rank_is_small() {
    let mut graph = decoder();
    let Cost { params, macs, .. } = graph.cost(1);
    graph.factor(site(&graph, "layers[0].attention.query"), Extent::exact(2)).unwrap();
    assert_eq!(graph.cost(1).params, Between::exact(params.min - 96 + 2 * 20));
    assert_eq!(graph.cost(1).macs, Between::exact(macs.min - 5 * 96 + 5 * 2 * 20));
}

#[test]
fn bounds_give_bounds() {
    let mut graph = decoder();
    let exact = |extent: usize| {
        let mut graph = decoder();
        graph.keep(axes(&graph, Role::Neurons)[0], &(0..extent).collect::<Vec<_>>());
        graph.cost(1)
    };
    graph.resize(axes(&graph, Role::Neurons)[0], Extent::between(1, 4));
    let (cost, low, high) = (graph.cost(1), exact(1), exact(4));
    assert_eq!(cost.params, Between { min: low.params.min, max: high.params.max });
    assert_eq!(cost.macs, Between { min: low.macs.min, max: high.macs.max });
    assert_eq!(cost.params.known(), None);
}

#[test]
fn the_parts_sum_up_to_the_whole() {
    for graph in [decoder(), mixture(Stored::OneByOne), mixture(Stored::Fused), picture()] {
        let costs = graph.costs(3);
        let root = graph.tree.root();
        let below = graph.tree[root].children.iter().map(|&child| costs[child].params);
        assert_eq!(below.sum::<Between>(), costs[root].params);
        let elements: usize = graph.weights().map(|(_, param)| graph.elements(param)).sum();
        assert_eq!(graph.cost(3).params, Between::exact(elements as u64));
        let macs: Between = graph.ops.node_indices().map(|op| graph.macs(op)).sum();
        assert_eq!(graph.cost(3).macs, macs * 3);
    }
}

#[test]
fn tokens_are_stated_later() {
    let mut graph = decoder();
    assert_eq!(graph.extent(graph.text_tokens().unwrap()).known(), Some(5));
    let one = graph.cost(1).activation_bytes;
    graph.set_tokens(10);
    assert_eq!(graph.cost(1).activation_bytes, one * 2);
    assert_eq!(picture().text_tokens(), None);
}

#[test]
fn large_numbers_stay_at_the_largest() {
    let large = Between::exact(u64::MAX);
    assert_eq!(large + Between::exact(1), large);
    assert_eq!(large * Between { min: 2, max: 3 }, large);
}
