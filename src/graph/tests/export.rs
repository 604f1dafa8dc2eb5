//! What a config can say, and why not.

use std::collections::BTreeMap;

use super::super::Extent;
use super::*;

fn fields(graph: &Graph) -> BTreeMap<String, usize> {
    graph.config_fields().unwrap()
}

/// `key: why` of all that cannot be said.
fn cannot(graph: &Graph) -> Vec<String> {
    let all = graph.config_fields().unwrap_err();
    all.into_iter().map(|cannot| format!("{}: {}", cannot.key, cannot.why)).collect()
}

#[test]
fn a_uniform_model_can_be_said() {
    let mut graph = decoder();
    for heads in axes(&graph, Role::KvHeads) {
        graph.keep(heads, &[1]);
    }
    graph.keep(axes(&graph, Role::Layers)[0], &[0, 2]);
    graph.keep(axes(&graph, Role::Hidden)[0], &[0, 1, 2, 3, 4]);
    let said = fields(&graph);
    let expected = [
        ("head_dim", 3),
        ("heads", 2),
        ("hidden_size", 5),
        ("kv_heads", 1),
        ("layers", 2),
        ("neurons", 6),
        ("vocab_size", 11),
    ];
    assert_eq!(said.iter().map(|(key, &extent)| (key.as_str(), extent)).collect::<Vec<_>>(), expected);
}

#[test]
fn layers_that_differ_cannot_be_said() {
    let mut graph = decoder();
    graph.keep(axes(&graph, Role::KvHeads)[1], &[0]);
    graph.keep(axes(&graph, Role::Neurons)[2], &[0, 1]);
    assert_eq!(
        cannot(&graph),
        [
            "heads: layers[1].attention.kv_heads x group is 2, layers[0].attention.kv_heads x group is 4",
            "kv_heads: layers[1].attention.kv_heads is 1, layers[0].attention.kv_heads is 2",
            "neurons: layers[2].mlp.neurons is 2, layers[0].mlp.neurons is 6",
        ]
    );
    // Until those layers go.
    graph.keep(axes(&graph, Role::Layers)[0], &[0]);
    assert_eq!(fields(&graph)["neurons"], 6);
}

#[test]
fn a_choice_that_is_not_made_cannot_be_said() {
    let mut graph = decoder();
    graph.resize(axes(&graph, Role::Neurons)[0], Extent::between(2, 4));
    assert_eq!(cannot(&graph), ["neurons: neurons will differ by layer, by 2 to 4 in `layers[0].mlp`"]);
    let mut graph = decoder();
    graph.resize(axes(&graph, Role::Hidden)[0], Extent::between(2, 4));
    assert_eq!(cannot(&graph), ["hidden_size: hidden will be 2 to 4"]);
}

#[test]
fn a_derived_width_has_to_come_out() {
    let mut graph = picture();
    assert_eq!(fields(&graph)["heads"], 2);
    graph.keep(axes(&graph, Role::Heads)[0], &[1]);
    assert_eq!(
        cannot(&graph),
        ["heads: head_dim is 2, and this architecture takes `hidden_size / heads` = 4 / 1 for it"]
    );
    graph.keep(axes(&graph, Role::Hidden)[0], &[0, 3]);
    assert_eq!(fields(&graph), BTreeMap::from([("heads".into(), 1), ("hidden_size".into(), 2)]));
}

#[test]
fn factors_cannot_be_said() {
    let mut graph = decoder();
    graph.factor(site(&graph, "layers[0].mlp.up"), Extent::exact(2)).unwrap();
    assert!(cannot(&graph)[0].starts_with("architectures: factored"));
}

#[test]
fn experts_are_said_where_all_layers_have_as_many() {
    let mut graph = mixture(Stored::OneByOne);
    graph.keep(axes(&graph, Role::Experts)[0], &[0, 1]);
    assert_eq!(cannot(&graph), ["experts: layers[1].experts is 4, layers[0].experts is 2"]);
    graph.keep(axes(&graph, Role::Experts)[1], &[2, 3]);
    assert_eq!(fields(&graph)["experts"], 2);
}

#[test]
fn a_list_in_the_config_goes_with_its_layers() {
    let mut graph = decoder();
    let layers = axes(&graph, Role::Layers)[0];
    graph.facts.push(super::super::Fact { key: "layer_types".into(), formula: Formula::Each(layers) });
    graph.keep(layers, &[1]);
    assert!(graph.facts.iter().any(|fact| fact.formula == Formula::Each(layers)));
    assert!(!fields(&graph).contains_key("layer_types"), "it is no number");
}
