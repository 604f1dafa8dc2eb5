//! Scores of heads, neurons, experts and layers, by hand.

use std::collections::BTreeMap;

use tamis::REGISTRY;
use tamis::graph::Param;
use tamis::pass::{Argument, Context, Scorer, constant};
use tamis::source::{Source, Sources, Span};

use crate::model::{BERT, LLAMA, MIXTRAL, Model, numbers, of_config};

/// The scores of an axis's elements.
pub fn scores(model: &Model, criterion: &str, path: &str) -> Vec<f64> {
    let mut sources = Sources::new();
    let span = Span::new(sources.add(Source::new("test", criterion)), 0, criterion.len());
    let scorer = Scorer::read(&constant(criterion, span), &REGISTRY).expect("a criterion");
    let units = scorer.criterion.units().expect("it scores units");
    let found: BTreeMap<String, Vec<f64>> = units
        .score(&Context::of(&model.version(), &model.checkpoint.dir), &[path.to_string()])
        .expect("weights are read");
    found[path].clone()
}

/// A model whose tensors are filled by name and size.
fn filled(config: &str, fill: impl Fn(&str, usize) -> Vec<f32>) -> Model {
    let graph = of_config(config, &[]).graph;
    let name = |param: &Param| (param.name.resolve(), graph.elements(param));
    let names: Vec<(String, usize)> = graph.params.iter().map(|(_, param)| name(param)).collect();
    let tensors: Vec<(&str, Vec<f32>)> =
        names.iter().map(|(name, size)| (name.as_str(), fill(name, *size))).collect();
    of_config(config, &tensors)
}

/// The same number everywhere, so that scores count weights.
fn constant_model(config: &str, value: f32) -> Model {
    filled(config, |_, size| vec![value; size])
}

#[test]
fn a_neuron_is_its_rows_and_its_column() {
    let llama = constant_model(LLAMA, 2.0);
    // Gate, up and down, of 4 hidden dims each.
    assert_eq!(scores(&llama, "magnitude", "layers[1].mlp.neurons"), [48.0; 3]);
    assert_eq!(scores(&llama, "magnitude(norm: l1)", "layers[1].mlp.neurons"), [24.0; 3]);
    // Up with its bias, and down.
    let bert = constant_model(BERT, 1.0);
    assert_eq!(scores(&bert, "magnitude", "layers[0].mlp.neurons"), [9.0; 3]);
}

#[test]
fn a_head_is_its_part_of_four_matrices() {
    // Query, key and value: 2 rows of 4 and their biases; output: 2 columns of 4.
    let bert = constant_model(BERT, 1.0);
    assert_eq!(scores(&bert, "magnitude", "layers[0].attention.heads"), [38.0; 2]);
    // Two query heads share a key/value head: 4 rows of query, 2 of key, 2 of value, 4 columns of output.
    let llama = constant_model(LLAMA, 1.0);
    assert_eq!(scores(&llama, "magnitude", "layers[0].attention.kv_heads"), [48.0; 2]);
}

#[test]
fn squares_add_up_by_hand() {
    // Query rows 0 and 1 are of head 0, rows 2 and 3 of head 1.
    let mut query = vec![0.0; 16];
    (query[0], query[5], query[9]) = (3.0, -4.0, 2.0);
    let is_query = |name: &str| name.ends_with("layer.0.attention.self.query.weight");
    let model = filled(BERT, |name, size| if is_query(name) { query.clone() } else { vec![0.0; size] });
    assert_eq!(scores(&model, "magnitude", "layers[0].attention.heads"), [25.0, 4.0]);
    assert_eq!(scores(&model, "magnitude(norm: l1)", "layers[0].attention.heads"), [7.0, 2.0]);
}

#[test]
fn an_expert_is_its_tensors_and_its_row_of_the_router() {
    // Gate, up and down of 2 x 4, and 4 of the router.
    let mixtral = constant_model(MIXTRAL, 1.0);
    assert_eq!(scores(&mixtral, "magnitude", "layers[0].experts"), [28.0; 3]);
}

#[test]
fn a_layer_is_all_of_its_tensors() {
    // Query 32, key and value 16 each, output 32, three of the feed-forward of 12, two norms of 4.
    let llama = constant_model(LLAMA, 1.0);
    assert_eq!(scores(&llama, "magnitude", "layers"), [140.0; 2]);
}

#[test]
fn a_hidden_dim_leaves_norms_out() {
    // A column of the table 5 and of the head 5; in each of two layers query 8, key 4, value 4, output 8, and 3 of the
    // feed-forward's three. The norms' four do not count.
    let llama = constant_model(LLAMA, 1.0);
    assert_eq!(scores(&llama, "magnitude", "hidden"), [76.0; 4]);
}

#[test]
fn chance_scores_units_too() {
    let llama = constant_model(LLAMA, 1.0);
    let first = scores(&llama, "random(seed: 1)", "layers[0].mlp.neurons");
    assert_eq!(first, scores(&llama, "random(seed: 1)", "layers[0].mlp.neurons"));
    assert_ne!(first, scores(&llama, "random(seed: 1)", "layers[1].mlp.neurons"));
    assert_ne!(first, scores(&llama, "random(seed: 2)", "layers[0].mlp.neurons"));
}

#[test]
fn neurons_in_another_order_have_the_same_scores() {
    let turned = |rows: &[f32]| rows.chunks(4).rev().flatten().copied().collect::<Vec<f32>>();
    let (gate, up) = (numbers(12, 1), numbers(12, 2));
    let model = |gate: Vec<f32>, up: Vec<f32>| {
        let zero = vec![0.0; 12];
        let of = |part: &str| format!("model.layers.0.mlp.{part}_proj.weight");
        of_config(LLAMA, &[(&of("gate"), gate), (&of("up"), up), (&of("down"), zero)])
    };
    let one = scores(&model(gate.clone(), up.clone()), "magnitude", "layers[0].mlp.neurons");
    let mut other = scores(&model(turned(&gate), turned(&up)), "magnitude", "layers[0].mlp.neurons");
    other.reverse();
    assert_eq!(one, other);
}
