//! The builder: names, axes that meet, and disagreements with the headers.

use std::collections::BTreeMap;

use super::super::{BuildError, Header, Member};
use super::*;

fn headers(tensors: &[(&str, &[usize])]) -> BTreeMap<String, Header> {
    let header = |shape: &[usize]| Header { dtype: DType::F16, shape: shape.to_vec() };
    tensors.iter().map(|(name, shape)| ((*name).into(), header(shape))).collect()
}

/// A table and two layers of one norm.
fn build(m: Builder<'_>) -> Result<Graph, Vec<BuildError>> {
    build_with(m, |_, x| x)
}

fn build_with(
    mut m: Builder<'_>,
    more: impl Fn(&mut Builder<'_>, Value) -> Value,
) -> Result<Graph, Vec<BuildError>> {
    m.base(&["model.", "net."], "model.");
    m.buffers(&[".mask"]);
    let vocab = m.axis(Role::Vocab, Size::keyed("vocab_size", 3));
    let hidden = m.axis(Role::Hidden, Size::keyed("hidden_size", 4));
    let layers = m.axis(Role::Layers, Size::keyed("num_layers", 2));
    let ids = m.token_ids(512);
    let (x, _) = m.embedding("words", "words", ids, vocab, hidden);
    let x = m.layers(layers, "h", x, |m, x| m.rms_norm("norm", "norm", x, 1e-6));
    let x = more(&mut m, x);
    m.output("hidden", x);
    m.finish()
}

const TENSORS: [(&str, &[usize]); 3] =
    [("words.weight", &[3, 4]), ("h.0.norm.weight", &[4]), ("h.1.norm.weight", &[4])];

#[test]
fn the_prefix_is_the_one_that_the_checkpoint_has() {
    for prefix in ["model.", "net.", ""] {
        let prefixed: Vec<(String, &[usize])> =
            TENSORS.iter().map(|(name, shape)| (format!("{prefix}{name}"), *shape)).collect();
        let tensors: Vec<(&str, &[usize])> =
            prefixed.iter().map(|(name, shape)| (name.as_str(), *shape)).collect();
        let headers = headers(&tensors);
        let graph = build(Builder::new("toy", Some(&headers), DType::F32)).unwrap();
        assert_eq!(names(&graph, "").len(), 3);
        assert!(names(&graph, "").iter().all(|name| headers.contains_key(name)));
        assert!(graph.params.iter().all(|(_, param)| param.dtype == DType::F16), "types are the file's");
    }
    let graph = build(Builder::new("toy", None, DType::F32)).unwrap();
    assert_eq!(names(&graph, "model.").len(), 3);
    assert_eq!(graph.extent(graph.text_tokens().unwrap()).known(), Some(128), "the usual number of tokens");
}

#[test]
fn what_is_missing_says_where_it_would_be() {
    let headers = headers(&TENSORS[..2]);
    let errors = build(Builder::new("toy", Some(&headers), DType::F32)).unwrap_err();
    let member = Member { role: Role::Layers, key: Some("num_layers".into()), index: 1 };
    let missing = BuildError::Missing {
        tensor: "h.1.norm.weight".into(),
        dims: "[hidden=4]".into(),
        member: Some(member),
    };
    assert_eq!(errors, [missing]);
}

#[test]
fn what_is_misshapen_says_which_field_would_fit() {
    let headers = headers(&[("words.weight", &[3, 5]), TENSORS[1], ("h.1.norm.weight", &[4, 1])]);
    let errors = build(Builder::new("toy", Some(&headers), DType::F32)).unwrap_err();
    let misshapen =
        |tensor: &str, found: &[usize], dims: &str, fits: Option<(&str, usize)>| BuildError::Misshapen {
            tensor: tensor.into(),
            found: found.to_vec(),
            dims: dims.into(),
            keys: vec!["hidden_size".into()],
            fits: fits.map(|(key, extent)| (key.into(), extent)),
        };
    let first = misshapen("words.weight", &[3, 5], "[vocab=3, hidden=4]", Some(("hidden_size", 5)));
    assert_eq!(errors, [first, misshapen("h.1.norm.weight", &[4, 1], "[hidden=4]", None)]);
}

#[test]
fn what_is_too_much_is_a_buffer_or_an_error() {
    let mask = ("h.1.mask", &[2, 2][..]);
    let headers_ = headers(&[&TENSORS[..], &[mask]].concat());
    let graph = build(Builder::new("toy", Some(&headers_), DType::F32)).unwrap();
    let buffer = &graph.params[param(&graph, "h.1.mask")];
    assert!(buffer.buffer && buffer.name.members().count() == 1);
    assert_eq!(graph.shape(buffer), [2, 2]);

    let extra = [("h.2.mask", &[2, 2][..]), ("h.02.norm", &[1]), ("other", &[1])];
    let headers = headers(&[&TENSORS[..], &extra].concat());
    let errors = build(Builder::new("toy", Some(&headers), DType::F32)).unwrap_err();
    let found: Vec<(String, Option<usize>)> = errors
        .into_iter()
        .map(|error| match error {
            BuildError::Extra { tensor, member, .. } => (tensor, member.map(|member| member.index)),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [("h.02.norm", None), ("h.2.mask", Some(2)), ("other", None)];
    assert_eq!(found, expected.map(|(tensor, index)| (tensor.to_string(), index)));
}

#[test]
fn weights_are_floats() {
    let mut headers = headers(&TENSORS);
    headers.get_mut("words.weight").unwrap().dtype = DType::I8;
    let errors = build(Builder::new("toy", Some(&headers), DType::F32)).unwrap_err();
    assert_eq!(errors, [BuildError::NotFloat { tensor: "words.weight".into(), dtype: DType::I8 }]);
}

#[test]
fn axes_that_are_added_become_one() {
    let graph = build_with(Builder::new("toy", None, DType::F32), |m, x| {
        let again = m.scope("branch", |m| {
            let width = m.axis(Role::Hidden, Size::keyed("width", 4));
            m.linear("dense", "dense", x, width, Bias::Without)
        });
        m.add(x, again)
    })
    .unwrap();
    assert_eq!(axes(&graph, Role::Hidden).len(), 1);
    assert_eq!(dims(&graph, "branch.dense"), "[hidden=4, hidden=4]");
    let said = graph.config_fields().unwrap();
    assert_eq!([said["hidden_size"], said["width"]], [4, 4], "both fields speak of it");
    assert_eq!(graph.validate(), Ok(()));
}

#[test]
fn an_axis_of_two_layers_belongs_to_what_holds_both() {
    let mut widths = Vec::new();
    let mut m = Builder::new("toy", None, DType::F32);
    let hidden = m.axis(Role::Hidden, Size::fixed(2));
    let layers = m.axis(Role::Layers, Size::fixed(2));
    let vocab = m.axis(Role::Vocab, Size::fixed(2));
    let ids = m.token_ids(1);
    let (x, _) = m.embedding("words", "words", ids, vocab, hidden);
    m.layers(layers, "h", x, |m, x| {
        let neurons = m.axis(Role::Neurons, Size::fixed(3));
        widths.push(m.linear("up", "up", x, neurons, Bias::Without));
        m.linear("down", "down", *widths.last().unwrap(), hidden, Bias::Without)
    });
    let sum = m.add(widths[0], widths[1]);
    m.output("sum", sum);
    let graph = m.finish().unwrap();
    assert_eq!(
        axes(&graph, Role::Neurons).iter().map(|&axis| graph.axis_path(axis)).collect::<Vec<_>>(),
        ["neurons"]
    );
}

#[test]
fn axes_that_differ_cannot_be_added() {
    let errors = build_with(Builder::new("toy", None, DType::F32), |m, x| {
        m.scope("branch", |m| {
            let width = m.axis(Role::Hidden, Size::keyed("width", 5));
            let again = m.linear("dense", "dense", x, width, Bias::Without);
            m.add(x, again)
        })
    })
    .unwrap_err();
    let disagree = BuildError::Disagree {
        at: "branch".into(),
        left: "[hidden=4]".into(),
        right: "[hidden=5]".into(),
        keys: vec!["hidden_size".into(), "width".into()],
    };
    assert_eq!(errors, [disagree]);
}

#[test]
fn a_second_name_has_to_have_the_same_shape() {
    let tied = |tensors: &[(&str, &[usize])]| {
        let headers = headers(tensors);
        let mut m = Builder::new("toy", Some(&headers), DType::F32);
        let vocab = m.axis(Role::Vocab, Size::fixed(3));
        let hidden = m.axis(Role::Hidden, Size::fixed(4));
        let ids = m.token_ids(1);
        let (x, words) = m.embedding("words", "words", ids, vocab, hidden);
        let x = m.word_linear("head", words, true, "head", &[], x);
        m.output("logits", x);
        m.finish()
    };
    let both = tied(&[("words.weight", &[3, 4]), ("head.weight", &[3, 4])]).unwrap();
    assert_eq!(both.params[param(&both, "words.weight")].aliases, ["head.weight"]);
    let one = tied(&[("head.weight", &[3, 4])]).unwrap();
    assert_eq!(names(&one, ""), ["head.weight"]);
    let errors = tied(&[("words.weight", &[3, 4]), ("head.weight", &[4, 4])]).unwrap_err();
    assert!(matches!(&errors[..], [BuildError::Misshapen { tensor, .. }] if tensor == "head.weight"));
}
