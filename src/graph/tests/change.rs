//! Elements that go, in every tensor, name, operation and place of the tree.

use proptest::prelude::*;

use super::super::{Extent, Op, Sparsity, Weight};
use super::*;

fn operations(graph: &Graph, is: impl Fn(&Op) -> bool) -> usize {
    graph.ops.node_weights().filter(|made| is(&made.op)).count()
}

#[test]
fn a_head_goes_from_rows_biases_and_columns_of_its_layer_only() {
    let mut graph = decoder();
    graph.keep(axes(&graph, Role::KvHeads)[1], &[1]);
    assert_eq!(shape(&graph, "model.h.1.q.weight"), [6, 8]);
    assert_eq!(shape(&graph, "model.h.1.q.bias"), [6]);
    assert_eq!(shape(&graph, "model.h.1.k.weight"), [3, 8]);
    assert_eq!(shape(&graph, "model.h.1.v.bias"), [3]);
    assert_eq!(shape(&graph, "model.h.1.o.weight"), [8, 6]);
    assert_eq!(shape(&graph, "model.h.1.o.bias"), [8]);
    assert_eq!(shape(&graph, "model.h.0.q.weight"), [12, 8]);
    assert_eq!(dims(&graph, "layers[1].attention.query"), "[kv_heads=1 group=2 head_dim=3, hidden=8]");
    assert_eq!(graph.validate(), Ok(()));
}

#[test]
fn a_query_of_each_group_goes_without_its_key() {
    let mut graph = decoder();
    graph.keep(axes(&graph, Role::Group)[0], &[0]);
    assert_eq!(shape(&graph, "model.h.0.q.weight"), [6, 8]);
    assert_eq!(shape(&graph, "model.h.0.k.weight"), [6, 8]);
    assert_eq!(shape(&graph, "model.h.0.o.weight"), [8, 6]);
}

#[test]
fn hidden_channels_go_everywhere() {
    let mut graph = decoder();
    graph.keep(axes(&graph, Role::Hidden)[0], &[0, 2, 4]);
    assert_eq!(shape(&graph, "model.words.weight"), [11, 3]);
    assert_eq!(shape(&graph, "model.h.2.norm1.weight"), [3]);
    assert_eq!(shape(&graph, "model.h.2.o.bias"), [3]);
    assert_eq!(dims(&graph, "head"), "[vocab=11, hidden=3]");
    assert_eq!(graph.validate(), Ok(()));
}

#[test]
fn a_layer_goes_with_its_tensors_and_those_behind_it_are_renumbered() {
    let mut graph = decoder();
    let before = graph.ops.node_count();
    let kept = param(&graph, "model.h.2.up.weight");
    graph.keep(axes(&graph, Role::Layers)[0], &[0, 2]);
    assert_eq!(graph.params[kept].name.resolve(), "model.h.1.up.weight");
    assert!(names(&graph, "model.h.2").is_empty());
    assert_eq!(graph.tree.path(of(&graph, "layers[1].mlp.up").node), "layers[1].mlp.up");
    assert_eq!([axes(&graph, Role::Neurons).len(), graph.blocks.len()], [2, 2]);
    assert_eq!(operations(&graph, |op| matches!(op, Op::Attention(_))), 2);
    assert_eq!(
        before - graph.ops.node_count(),
        11,
        "norm, 4 linears, attention, add, 2 linears, activation, add"
    );
    assert_eq!(graph.schedule().len(), graph.ops.node_count());
    assert_eq!(graph.validate(), Ok(()));
}

/// The layers that the value behind the last one has passed.
fn passed(graph: &Graph) -> usize {
    let logits = graph.ops.node_indices().find(|&op| matches!(graph.ops[op].op, Op::Output(_))).unwrap();
    let mut open = vec![logits];
    let mut seen = std::collections::BTreeSet::new();
    while let Some(op) = open.pop() {
        if seen.insert(op) {
            open.extend(graph.operands(op));
        }
    }
    seen.iter().filter(|&&op| matches!(graph.ops[op].op, Op::Attention(_))).count()
}

#[test]
fn what_follows_a_dropped_layer_reads_what_came_before_it() {
    for keep in [&[0, 1][..], &[1, 2], &[0, 2], &[1], &[2], &[]] {
        let mut graph = decoder();
        graph.keep(axes(&graph, Role::Layers)[0], keep);
        assert_eq!(passed(&graph), keep.len(), "{keep:?}");
        assert_eq!(graph.validate(), Ok(()), "{keep:?}");
        assert_eq!(graph.operands(graph.schedule()[1]).len(), 1);
    }
}

#[test]
fn layers_can_go_in_two_steps() {
    let mut one = decoder();
    one.keep(axes(&one, Role::Layers)[0], &[2]);
    let mut two = decoder();
    two.keep(axes(&two, Role::Layers)[0], &[1, 2]);
    two.keep(axes(&two, Role::Layers)[0], &[1]);
    assert_eq!(names(&one, ""), names(&two, ""));
    assert_eq!(one.inspect_text(1), two.inspect_text(1));
}

#[test]
fn an_expert_goes_with_its_row_of_the_router() {
    let mut graph = mixture(Stored::OneByOne);
    let last = param(&graph, "h.1.experts.3.up.weight");
    graph.keep(axes(&graph, Role::Experts)[1], &[0, 3]);
    assert_eq!(shape(&graph, "h.1.router.weight"), [2, 4]);
    assert_eq!(graph.params[last].name.resolve(), "h.1.experts.1.up.weight");
    assert_eq!(names(&graph, "h.1.experts").len(), 4);
    assert_eq!(names(&graph, "h.0.experts").len(), 8);
    assert_eq!(graph.validate(), Ok(()));
}

#[test]
fn an_expert_of_a_fused_stack_goes_from_the_stack() {
    let mut graph = mixture(Stored::Fused);
    graph.keep(axes(&graph, Role::Experts)[0], &[1, 2, 3]);
    assert_eq!(shape(&graph, "h.0.gate_up"), [3, 6, 4]);
    assert_eq!(shape(&graph, "h.0.down"), [3, 4, 3]);
    assert_eq!(shape(&graph, "h.1.down"), [4, 4, 3]);
    let Weight::Dense(view) = of(&graph, "layers[0].experts[2].up").weight else { panic!("it is dense") };
    assert_eq!(view.fixed.iter().map(|&(_, index)| index).collect::<Vec<_>>(), [2, 1]);
    assert!(graph.places().site("layers[0].experts[3].up").is_none());
    assert_eq!(graph.validate(), Ok(()));
}

#[test]
fn bounds_stand_for_a_choice_that_is_not_made_yet() {
    let mut graph = decoder();
    let neurons = axes(&graph, Role::Neurons)[0];
    graph.resize(neurons, Extent::between(2, 4));
    assert_eq!(dims(&graph, "layers[0].mlp.up"), "[neurons=2 to 4, hidden=8]");
    let layers = axes(&graph, Role::Layers)[0];
    graph.resize(layers, Extent::between(1, 2));
    assert_eq!(graph.tree.path(of(&graph, "layers[1].mlp.up").node), "layers[1].mlp.up");
    assert!(graph.places().site("layers[2].mlp.up").is_none());
    assert!(graph.validate().is_err(), "bounds are for planning only");
}

#[test]
fn factors_take_the_place_of_a_weight_and_its_name() {
    for (mut graph, path, name) in
        [(decoder(), "layers[1].mlp.down", "model.h.1.down"), (picture(), "output", "out")]
    {
        let (before, bias) = (dims(&graph, path), shape(&graph, &format!("{name}.bias")));
        let rank = graph.factor(site(&graph, path), Extent::exact(2)).unwrap();
        assert_eq!(graph.axes[rank].extent, Extent::exact(2));
        assert_eq!(dims(&graph, path), before, "outside nothing changes");
        let out = graph.dim_extent(&graph.site_dims(site(&graph, path)).0);
        assert_eq!(shape(&graph, &format!("{name}.weight_left")), [out, 2]);
        assert_eq!(shape(&graph, &format!("{name}.weight_right"))[0], 2);
        assert_eq!(shape(&graph, &format!("{name}.bias")), bias);
        assert!(!names(&graph, "").contains(&format!("{name}.weight")));
        assert_eq!(graph.validate(), Ok(()));
        assert_eq!(graph.factor(site(&graph, path), Extent::exact(1)), None, "it is factored already");
    }
}

#[test]
fn what_is_tied_or_fused_cannot_be_factored() {
    for (mut graph, path) in
        [(decoder(), "head"), (picture(), "query"), (mixture(Stored::Fused), "layers[0].experts[0].down")]
    {
        let before = graph.inspect_text(1);
        assert_eq!(graph.factor(site(&graph, path), Extent::exact(1)), None, "{path}");
        assert_eq!(graph.inspect_text(1), before, "{path}");
    }
}

#[test]
fn a_pattern_ends_where_inputs_may_go() {
    let mut graph = decoder();
    let down = site(&graph, "layers[0].mlp.down");
    graph.sites[down].sparsity = Some(Sparsity::Pattern { keep: 1, of: 2 });
    let neurons = axes(&graph, Role::Neurons)[0];
    graph.resize(neurons, Extent::exact(6));
    assert!(graph.sites[down].sparsity.is_some(), "none goes");
    graph.resize(neurons, Extent::between(2, 6));
    assert_eq!(graph.sites[down].sparsity, None);
}

#[test]
fn a_pattern_ends_where_inputs_go_and_a_count_of_zeros_where_anything_does() {
    for sparsity in [Sparsity::Pattern { keep: 1, of: 2 }, Sparsity::Zeros(16)] {
        let mut graph = decoder();
        let [up, down] = ["up", "down"].map(|node| site(&graph, &format!("layers[0].mlp.{node}")));
        let neurons = axes(&graph, Role::Neurons)[0];
        graph.sites[up].sparsity = Some(sparsity);
        graph.sites[down].sparsity = Some(sparsity);
        graph.keep(neurons, &[0, 1, 2, 3, 4, 5]);
        assert_eq!([up, down].map(|id| graph.sites[id].sparsity), [Some(sparsity); 2]);
        graph.keep(neurons, &[0, 1, 3, 4]);
        let pattern = matches!(sparsity, Sparsity::Pattern { .. });
        assert_eq!(graph.sites[up].sparsity, pattern.then_some(sparsity));
        assert_eq!(graph.sites[down].sparsity, None);
        graph.sites[up].sparsity = Some(sparsity);
        graph.factor(up, Extent::exact(2)).unwrap();
        assert_eq!(graph.sites[up].sparsity, None, "factors are dense");
    }
}

#[test]
fn integers_keep_their_type() {
    let mut graph = decoder();
    let words = param(&graph, "model.words.weight");
    graph.cast(words, DType::Bf16);
    assert_eq!(graph.params[words].dtype, DType::Bf16);
    graph.params[words].dtype = DType::I64;
    graph.cast(words, DType::Bf16);
    assert_eq!(graph.params[words].dtype, DType::I64);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whatever goes in whatever order, the graph holds together and costs what its tensors and products say.
    #[test]
    fn any_choice_leaves_a_graph(choices in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        for mut graph in [decoder(), mixture(Stored::OneByOne), mixture(Stored::Fused), picture()] {
            for (axis, mask) in &choices {
                let before = graph.cost(1);
                let silent = [Role::Qkv, Role::GateUp, Role::Tokens, Role::Height, Role::Width, Role::Positions];
                let axes: Vec<_> = graph.axes.iter().filter(|(_, axis)| !silent.contains(&axis.role)).collect();
                let (axis, extent) = (axes[axis.index(axes.len())].0, graph.extent(axes[axis.index(axes.len())].0).max);
                // At least two, for routers choose two experts.
                let keep: Vec<usize> = (0..extent).filter(|&at| at < 2 || mask >> (at % 8) & 1 == 1).collect();
                graph.keep(axis, &keep);
                prop_assert_eq!(graph.validate(), Ok(()));
                let cost = graph.cost(1);
                prop_assert!(cost.params <= before.params && cost.macs <= before.macs);
                let elements: usize = graph.weights().map(|(_, param)| graph.elements(param)).sum();
                prop_assert_eq!(cost.params.known(), Some(elements as u64));
            }
        }
    }
}
