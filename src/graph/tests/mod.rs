//! Small graphs, built by hand, and what is asked of them.

mod build;
mod change;
mod cost;
mod expert_routes;
mod export;
mod layout;

use super::{
    Activation, Attention, AxisId, Bias, Builder, Dim, Expert, Experts, Formula, Graph, ParamId, Role, Site,
    SiteId, SiteKind, Size, Value, View,
};
use crate::tensor::DType;

/// Three layers of grouped-query attention and feed-forward over 8 channels; the table of 11 words is the head too.
fn decoder() -> Graph {
    let mut m = Builder::new("toy", None, DType::F32);
    m.base(&[], "model.");
    let vocab = m.axis(Role::Vocab, Size::keyed("vocab_size", 11));
    let hidden = m.axis(Role::Hidden, Size::keyed("hidden_size", 8));
    let layers = m.axis(Role::Layers, Size::keyed("layers", 3));
    let ids = m.token_ids(5);
    let (x, words) = m.embedding("words", "words", ids, vocab, hidden);
    let x = m.layers(layers, "h", x, |m, x| {
        let normed = m.rms_norm("norm1", "norm1", x, 1e-6);
        let attended = m.scope("attention", |m| attention(m, normed));
        let x = m.add(x, attended);
        let fed = m.scope("mlp", |m| feed_forward(m, x));
        m.add(x, fed)
    });
    let x = m.word_linear("head", words, true, "head", &[], x);
    m.output("logits", x);
    m.finish().unwrap()
}

fn attention(m: &mut Builder<'_>, x: Value) -> Value {
    let head_dim = m.axis(Role::HeadDim, Size::keyed("head_dim", 3));
    let kv_heads = m.axis(Role::KvHeads, Size::keyed("kv_heads", 2));
    let group = m.plain_axis(Role::Group, 2, Some("heads"));
    m.fact("heads", Formula::Product(vec![kv_heads, group]));
    let hidden = m.features(x);
    let query = m.linear("query", "q", x, [kv_heads, group, head_dim], Bias::With);
    let key = m.linear("key", "k", x, [kv_heads, head_dim], Bias::With);
    let value = m.linear("value", "v", x, [kv_heads, head_dim], Bias::With);
    let attention = Attention::new(true, 1.0);
    let context = m.attention(attention, query, key, value);
    m.linear("output", "o", context, hidden, Bias::With)
}

fn feed_forward(m: &mut Builder<'_>, x: Value) -> Value {
    let hidden = m.features(x);
    let neurons = m.axis(Role::Neurons, Size::keyed("neurons", 6));
    let up = m.linear("up", "up", x, neurons, Bias::With);
    let up = m.activation(Activation::Relu, up);
    m.linear("down", "down", up, hidden, Bias::With)
}

#[derive(Clone, Copy, PartialEq)]
enum Stored {
    OneByOne,
    Fused,
}

/// Two layers of four experts over 4 channels, of which two run for a token.
fn mixture(stored: Stored) -> Graph {
    let mut m = Builder::new("toy", None, DType::Bf16);
    let vocab = m.axis(Role::Vocab, Size::fixed(7));
    let hidden = m.axis(Role::Hidden, Size::fixed(4));
    let layers = m.axis(Role::Layers, Size::fixed(2));
    let ids = m.token_ids(5);
    let (x, _) = m.embedding("words", "words", ids, vocab, hidden);
    let x = m.layers(layers, "h", x, |m, x| {
        let axis = m.axis(Role::Experts, Size::keyed("experts", 4));
        let router = m.linear_site("router", "router", axis.into(), hidden.into(), Bias::Without);
        let experts = match stored {
            Stored::OneByOne => one_by_one(m, axis, hidden.into()),
            Stored::Fused => fused(m, axis, hidden.into()),
        };
        let activation = Activation::Silu;
        let fed = m.experts(Experts::new(axis, router, experts, 2, activation), x);
        m.add(x, fed)
    });
    m.output("hidden", x);
    m.finish().unwrap()
}

fn one_by_one(m: &mut Builder<'_>, axis: AxisId, hidden: Dim) -> Vec<Expert> {
    m.members("experts", "experts", axis, |m| {
        let neurons = Dim::from(m.axis(Role::Neurons, Size::fixed(3)));
        let up = m.linear_site("up", "up", neurons.clone(), hidden.clone(), Bias::Without);
        let down = m.linear_site("down", "down", hidden.clone(), neurons, Bias::Without);
        Expert { gate: None, up, down }
    })
}

fn fused(m: &mut Builder<'_>, axis: AxisId, hidden: Dim) -> Vec<Expert> {
    let neurons = m.axis(Role::Neurons, Size::fixed(3));
    let half = m.plain_axis(Role::GateUp, 2, None);
    let gate_up = m.param("gate_up", vec![axis.into(), [half, neurons].into(), hidden.clone()]);
    let down = m.param("down", vec![axis.into(), hidden, neurons.into()]);
    m.fused_members("experts", axis, |m, expert| {
        let mut site = |node: &str, param, fixed| m.site(node, SiteKind::Linear, View { param, fixed }, None);
        Expert {
            gate: Some(site("gate", gate_up, vec![(axis, expert), (half, 0)])),
            up: site("up", gate_up, vec![(axis, expert), (half, 1)]),
            down: site("down", down, vec![(axis, expert)]),
        }
    })
}

/// A picture of 2 channels in patches of 2 x 3 over 4 channels, then fused, transposed queries, keys and values.
fn picture() -> Graph {
    let mut m = Builder::new("toy", None, DType::F16);
    let channels = m.axis(Role::Channels, Size::fixed(2));
    let hidden = m.axis(Role::Hidden, Size::keyed("hidden_size", 4));
    let pixels = m.pixels(channels, [4, 9]);
    let x = m.patches("patches", "patches", pixels, [2, 3], hidden);
    let x = m.prepend("cls", "cls", x);
    let x = m.add_position_rows("positions", "positions", x);
    let heads = m.axis(Role::Heads, Size::keyed("heads", 2));
    let head_dim = m.plain_axis(Role::HeadDim, 2, None);
    m.fact("heads", Formula::Quotient { numerator: "hidden_size".into(), of: head_dim });
    let nodes = ["query", "key", "value"];
    let [query, key, value] = m.transposed_fused(nodes, "qkv", x, Role::Qkv, [heads, head_dim].into());
    let attention = Attention::new(false, 1.0);
    let context = m.attention(attention, query, key, value);
    let attended = m.transposed_linear("output", "out", context, hidden);
    let x = m.add(x, attended);
    let first = m.token(0, x);
    m.output("pooled", first);
    m.finish().unwrap()
}

/// The axes of a role in the whole graph.
fn axes(graph: &Graph, role: Role) -> Vec<AxisId> {
    graph.axes_below(graph.tree.root(), role)
}

fn site(graph: &Graph, path: &str) -> SiteId {
    graph.places().site(path).unwrap_or_else(|| panic!("no weight at {path}"))
}

fn param(graph: &Graph, name: &str) -> ParamId {
    let found = graph.params.iter().find(|(_, param)| param.name.resolve() == name);
    found.unwrap_or_else(|| panic!("no tensor {name}")).0
}

fn shape(graph: &Graph, name: &str) -> Vec<usize> {
    graph.shape(&graph.params[param(graph, name)])
}

/// The names that begin so, in the order of the model.
fn names(graph: &Graph, start: &str) -> Vec<String> {
    let names = graph.params.iter().map(|(_, param)| param.name.resolve());
    names.filter(|name| name.starts_with(start)).collect()
}

/// What `Graph::site_dims` says, as people read it.
fn dims(graph: &Graph, path: &str) -> String {
    let (out, ins) = graph.site_dims(site(graph, path));
    graph.dims_text(&[out, ins])
}

fn of(graph: &Graph, path: &str) -> Site {
    graph.sites[site(graph, path)].clone()
}
