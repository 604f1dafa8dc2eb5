//! Selectors on the tree of the model at hand: what a path that is being written has reached, and what lies there.

use std::collections::BTreeSet;

use super::cursor::{Token, TokenKind};
use crate::diagnostic::numbers::{self, things};
use crate::graph::{Graph, NodeId, Role};
use crate::syntax::ast;

/// A segment of a path. Numbers in brackets are left out: members of a list look alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment<'a> {
    Child(&'a str),
    Alternatives(Vec<&'a str>),
    Any,
    AnyDepth,
}

/// A child that a path can go on with, like ones taken together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Child {
    pub name: String,
    pub node: NodeId,
    /// Whether it is a list, so that numbers in brackets choose of it.
    pub is_list: bool,
}

/// What a path selects, as far as names decide.
pub(super) fn reach(graph: &Graph, path: &[Segment<'_>]) -> Vec<NodeId> {
    let mut nodes = vec![graph.tree.root()];
    for segment in path {
        let children = |named: &dyn Fn(&str) -> bool| -> Vec<NodeId> {
            let all = nodes.iter().flat_map(|&node| graph.tree[node].children.iter().copied());
            all.filter(|&child| named(&graph.tree[child].name)).collect()
        };
        nodes = match segment {
            Segment::Child(name) => children(&|it| it == *name),
            Segment::Alternatives(names) => children(&|it| names.contains(&it)),
            Segment::Any => children(&|_| true),
            Segment::AnyDepth => {
                let below = nodes.iter().flat_map(|&node| graph.tree.below(node));
                below.collect::<BTreeSet<_>>().into_iter().collect()
            }
        };
    }
    nodes
}

/// The children of some nodes, each name once, in the order of the model.
pub(super) fn children(graph: &Graph, from: &[NodeId]) -> Vec<Child> {
    let mut found: Vec<Child> = Vec::new();
    for &child in from.iter().flat_map(|&node| &graph.tree[node].children) {
        let node = &graph.tree[child];
        if !found.iter().any(|other| other.name == node.name) {
            found.push(Child { name: node.name.clone(), node: child, is_list: node.member.is_some() });
        }
    }
    found
}

/// `32 layers`, `12 heads, 64 head_dim`, `[3072, 768]`: what a node is, in a few words.
pub(super) fn describe(graph: &Graph, id: NodeId) -> String {
    let mut parts = Vec::new();
    let node = &graph.tree[id];
    if let Some((axis, _)) = node.member {
        parts.push(format!("{} {}", graph.extent(axis), graph.axes[axis].role));
    }
    parts.extend(axes(graph, id).map(|(role, extent)| format!("{extent} {role}")));
    if let Some(site) = node.site {
        let (outs, ins) = graph.site_dims(site);
        parts.push(graph.dims_text(&[outs, ins]));
    } else if node.member.is_none() && parts.is_empty() {
        parts.push(things(node.children.len(), "part"));
    }
    parts.join(", ")
}

/// Axes that belong to a node, with their extents. Lists are told by their members.
pub(super) fn axes(graph: &Graph, id: NodeId) -> impl Iterator<Item = (Role, crate::graph::Extent)> {
    let here = graph.axes.iter().filter(move |(_, axis)| axis.node == id);
    here.filter(|(_, axis)| axis.role != Role::Fixed).map(|(_, axis)| (axis.role, axis.extent))
}

/// What lies at and below a node: its parameters, products and bytes.
pub(super) fn cost(graph: &Graph, id: NodeId) -> String {
    let cost = graph.costs(1)[id];
    let shown = |number: crate::graph::Between| {
        numbers::count_range(number.min, number.max, numbers::Scale::of(number.max))
    };
    let bytes = numbers::bytes_range(cost.bytes.min, cost.bytes.max, numbers::Scale::of(cost.bytes.max));
    format!("{} params, {} MACs, {bytes}", shown(cost.params), shown(cost.macs))
}

/// The segments of a path in the tree, up to its number `last`.
pub(super) fn of_path(path: &ast::Path, last: usize) -> Vec<Segment<'_>> {
    path.segments.iter().take(last + 1).filter_map(|segment| of_segment(&segment.kind)).collect()
}

fn of_segment(kind: &ast::SegmentKind) -> Option<Segment<'_>> {
    Some(match kind {
        ast::SegmentKind::Child { name, .. } => Segment::Child(&name.text),
        ast::SegmentKind::Alternatives(names) => {
            Segment::Alternatives(names.iter().map(|name| name.text.as_str()).collect())
        }
        ast::SegmentKind::Any => Segment::Any,
        ast::SegmentKind::AnyDepth => Segment::AnyDepth,
        ast::SegmentKind::Tensor(_) => return None,
    })
}

/// The segments of the path that tokens end with, each with the point behind it; what a cursor behind them completes.
///
/// `of layers [ * ] .` is one segment; behind `of` and behind a comma there is none.
pub(super) fn of_tokens<'a>(tokens: &[Token<'a>]) -> Vec<Segment<'a>> {
    let mut segments = Vec::new();
    let mut at = tokens.len();
    // From the end: a point, then brackets, then what was named.
    while let Some("." | "..") = at.checked_sub(1).map(|point| tokens[point].text) {
        at -= 1;
        let mut end = at;
        if tokens[..end].last().is_some_and(|last| last.text == "]") {
            end = opener(tokens, end - 1).unwrap_or(0);
        }
        let Some(last) = tokens[..end].last() else { break };
        if last.text == "}" {
            let Some(open) = opener(tokens, end - 1) else { break };
            let inner = tokens[open + 1..end - 1].iter().filter(|token| token.kind == TokenKind::Word);
            segments.push(Segment::Alternatives(inner.map(|token| token.text).collect()));
            at = open;
        } else if last.text == "*" {
            let twice = end >= 2 && tokens[end - 2].text == "*";
            segments.push(if twice { Segment::AnyDepth } else { Segment::Any });
            at = end - 1 - usize::from(twice);
        } else if last.kind == TokenKind::Word {
            segments.push(Segment::Child(last.text));
            at = end - 1;
        } else {
            break;
        }
    }
    segments.reverse();
    segments
}

/// The token that opens the bracket which another closes.
fn opener(tokens: &[Token<'_>], closer: usize) -> Option<usize> {
    let mut depth = 0;
    for at in (0..=closer).rev() {
        match tokens[at].text {
            "]" | "}" | ")" => depth += 1,
            "[" | "{" | "(" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::cursor::Cursor;
    use super::*;

    #[test]
    fn a_path_is_read_from_its_end() {
        let segments = |text: &str| {
            let tokens = Cursor::at(text, text.len()).tokens;
            let shown = |segment: Segment<'_>| match segment {
                Segment::Child(name) => name.to_owned(),
                Segment::Alternatives(names) => names.join("|"),
                Segment::Any => "*".into(),
                Segment::AnyDepth => "**".into(),
            };
            of_tokens(&tokens).into_iter().map(shown).collect::<Vec<_>>().join(".")
        };
        assert_eq!(segments("prune heads of layers[0..6].attention.qu"), "layers.attention");
        assert_eq!(segments("x weights of a, **.{up, down}.*.z"), "**.up|down.*");
        assert_eq!(segments("x weights of "), "");
        assert_eq!(segments("x weights of layers[*].mlp, "), "");
    }
}
