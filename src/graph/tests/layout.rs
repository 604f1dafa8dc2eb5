//! Where elements lie in flat tensors, checked against counting them one by one.

use super::super::{Factors, Weight};
use super::*;

fn matrix(graph: &Graph, path: &str) -> [usize; 5] {
    let site = of(graph, path);
    let Weight::Dense(view) = &site.weight else { panic!("{path} is dense") };
    let matrix = graph.matrix(view, site.transposed);
    [matrix.offset, matrix.out, matrix.inputs, matrix.out_stride, matrix.in_stride]
}

fn bias(graph: &Graph, path: &str) -> [usize; 5] {
    let site = of(graph, path);
    let matrix = graph.matrix(site.bias.as_ref().unwrap(), site.transposed);
    [matrix.offset, matrix.out, matrix.inputs, matrix.out_stride, matrix.in_stride]
}

#[test]
fn a_plain_weight_lies_row_by_row() {
    let graph = decoder();
    assert_eq!(matrix(&graph, "layers[0].attention.query"), [0, 12, 8, 8, 1]);
    assert_eq!(matrix(&graph, "head"), [0, 11, 8, 8, 1]);
    assert_eq!(bias(&graph, "layers[0].attention.query"), [0, 12, 1, 1, 1]);
}

#[test]
fn a_transposed_weight_lies_column_by_column() {
    let graph = picture();
    assert_eq!(matrix(&graph, "output"), [0, 4, 4, 1, 4]);
    assert_eq!(bias(&graph, "output"), [0, 4, 1, 1, 1]);
}

/// `qkv [hidden=4, qkv=3 heads=2 head_dim=2]`: a row of twelve for each input.
#[test]
fn a_third_of_a_fused_weight_begins_where_its_part_does() {
    let graph = picture();
    assert_eq!(matrix(&graph, "query"), [0, 4, 4, 1, 12]);
    assert_eq!(matrix(&graph, "key"), [4, 4, 4, 1, 12]);
    assert_eq!(matrix(&graph, "value"), [8, 4, 4, 1, 12]);
    assert_eq!(bias(&graph, "value"), [8, 4, 1, 1, 1]);
    assert_eq!(dims(&graph, "value"), "[heads=2 head_dim=2, hidden=4]");
}

#[test]
fn a_convolution_has_its_whole_patch_as_inputs() {
    let graph = picture();
    assert_eq!(matrix(&graph, "patches"), [0, 4, 12, 12, 1]);
    assert_eq!(dims(&graph, "patches"), "[hidden=4, channels=2 height=2 width=3]");
}

/// `gate_up [experts=4, gate_up=2 neurons=3, hidden=4]`, `down [experts=4, hidden=4, neurons=3]`.
#[test]
fn an_expert_of_a_stack_begins_behind_those_before_it() {
    let graph = mixture(Stored::Fused);
    assert_eq!(matrix(&graph, "layers[0].experts[0].gate"), [0, 3, 4, 4, 1]);
    assert_eq!(matrix(&graph, "layers[0].experts[0].up"), [12, 3, 4, 4, 1]);
    assert_eq!(matrix(&graph, "layers[0].experts[3].up"), [3 * 24 + 12, 3, 4, 4, 1]);
    assert_eq!(matrix(&graph, "layers[0].experts[2].down"), [2 * 12, 4, 3, 3, 1]);
}

#[test]
fn tokens_are_matrices_of_one_row() {
    let graph = picture();
    assert_eq!(shape(&graph, "cls"), [1, 1, 4]);
    assert_eq!(matrix(&graph, "cls"), [0, 1, 4, 1, 1]);
    assert_eq!(shape(&graph, "positions"), [1, 7, 4]);
}

#[test]
fn an_axis_splits_a_tensor_into_what_is_outside_and_inside() {
    let graph = picture();
    let qkv = &graph.params[param(&graph, "qkv.weight")];
    let factors = |role| graph.factors(qkv, axes(&graph, role)[0]);
    assert_eq!(factors(Role::Qkv), [Factors { outer: 4, extent: 3, inner: 4 }]);
    assert_eq!(factors(Role::Heads), [Factors { outer: 12, extent: 2, inner: 2 }]);
    assert_eq!(factors(Role::HeadDim), [Factors { outer: 24, extent: 2, inner: 1 }]);
    assert_eq!(factors(Role::Hidden), [Factors { outer: 1, extent: 4, inner: 12 }]);
    assert_eq!(factors(Role::Channels), []);
}

#[test]
fn an_axis_may_be_rows_and_columns_of_one_tensor() {
    let mut m = Builder::new("toy", None, DType::F32);
    let hidden = m.axis(Role::Hidden, Size::fixed(3));
    let vocab = m.axis(Role::Vocab, Size::fixed(2));
    let ids = m.token_ids(4);
    let (x, words) = m.embedding("words", "words", ids, vocab, hidden);
    let dense = m.linear("dense", "dense", x, hidden, Bias::Without);
    let logits = m.word_linear("head", words, true, "head", &[], dense);
    m.output("logits", logits);
    let mut graph = m.finish().unwrap();
    let dense = param(&graph, "dense.weight");
    let place = |outer, inner| Factors { outer, extent: 3, inner };
    assert_eq!(graph.factors(&graph.params[dense], hidden), [place(1, 3), place(3, 1)]);
    assert_eq!(graph.carriers(hidden), [param(&graph, "words.weight"), dense]);
    graph.keep(hidden, &[0, 2]);
    assert_eq!(shape(&graph, "dense.weight"), [2, 2]);
    assert_eq!(matrix(&graph, "dense"), [0, 2, 2, 2, 1]);
    assert_eq!(graph.validate(), Ok(()));
}

/// Every element of every matrix, met once by strides: the parts of a tensor cover it and do not overlap.
#[test]
fn matrices_cover_their_tensors() {
    for graph in [decoder(), mixture(Stored::OneByOne), mixture(Stored::Fused), picture()] {
        let mut seen = vec![Vec::new(); graph.params.bound()];
        for (_, site) in graph.sites.iter().filter(|(_, site)| site.kind != SiteKind::Embedding) {
            for view in site.views() {
                let matrix = graph.matrix(view, site.transposed);
                for (out, input) in
                    (0..matrix.out).flat_map(|out| (0..matrix.inputs).map(move |input| (out, input)))
                {
                    seen[view.param.index()]
                        .push(matrix.offset + out * matrix.out_stride + input * matrix.in_stride);
                }
            }
        }
        for (id, param) in graph.weights() {
            let seen = &mut seen[id.index()];
            seen.sort_unstable();
            let tied = graph.sites.iter().filter(|(_, site)| site.kind == SiteKind::Embedding);
            let is_table = tied.flat_map(|(_, site)| site.views()).any(|view| view.param == id);
            assert!(
                is_table || *seen == (0..graph.elements(param)).collect::<Vec<_>>(),
                "{}",
                param.name.resolve()
            );
        }
    }
}
