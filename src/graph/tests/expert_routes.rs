//! Experts that rows of their router share.

use super::{Stored, axes, mixture};
use crate::graph::{Op, Role};

/// Four experts of a layer become two: the router keeps four rows, names close up, and what was cost is halved.
#[test]
fn rows_of_a_router_stay_when_experts_are_shared() {
    for stored in [Stored::OneByOne, Stored::Fused] {
        let before = mixture(stored);
        let mut graph = before.clone();
        let axis = axes(&graph, Role::Experts)[0];
        graph.share_experts(axis, &[0, 1, 0, 1]);
        graph.validate().unwrap();
        let (_, experts) = graph.experts_of(axis).unwrap();
        assert_eq!((experts.experts.len(), experts.expert_of(2)), (2, 0));
        let (router, _) = graph.site_dims(experts.router);
        assert_eq!(graph.dim_extent(&router), 4);
        assert!(graph.config_fields().is_err());
        assert_eq!(graph.cost(1).macs.max, before.cost(1).macs.max, "as many run for a token");
        assert!(graph.cost(1).params.max < before.cost(1).params.max);
    }
}

/// Shared experts can be shared again: rows follow to where their expert went.
#[test]
fn routes_follow_their_experts() {
    let mut graph = mixture(Stored::OneByOne);
    let axis = axes(&graph, Role::Experts)[0];
    graph.share_experts(axis, &[0, 1, 2, 1]);
    graph.share_experts(axis, &[0, 1, 0]);
    graph.validate().unwrap();
    let of = |op: &Op| match op {
        Op::Experts(experts) if experts.axis == axis => experts.routes.clone(),
        _ => None,
    };
    assert_eq!(graph.ops.node_weights().find_map(|made| of(&made.op)).unwrap().to, [0, 1, 0, 1]);
}
