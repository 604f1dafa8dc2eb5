//! Selectors over the model's tree, and what a noun means below what they select.

use std::collections::BTreeSet;

use super::Checker;
use crate::diagnostic::{Diagnostic, Severity, codes, list};
use crate::graph::{AxisId, Graph, NodeId, Role, SiteId};
use crate::source::Span;
use crate::syntax::ast;

/// What a selector selects in one graph.
#[derive(Debug, Clone)]
pub struct Selected {
    /// Top-most nodes, in tree order.
    nodes: Vec<NodeId>,
    /// All nodes that `except` took out, with all below them.
    except: BTreeSet<NodeId>,
    /// Nodes that a path named by a word at its beginning, so that embeddings and tied heads are meant.
    named: BTreeSet<NodeId>,
    pub(super) span: Span,
}

impl Selected {
    /// The whole model: no selector was written.
    pub fn everything(graph: &Graph, span: Span) -> Self {
        let nodes = vec![graph.tree.root()];
        Self { nodes, except: BTreeSet::new(), named: BTreeSet::new(), span }
    }

    /// Sites of linear and convolution weights, factored ones among them: passes say what they cannot do to those.
    /// Embeddings, and heads tied to them, count where they were named.
    pub fn matrices(&self, graph: &Graph) -> Vec<SiteId> {
        let embedded = graph.embedded();
        let mut seen = BTreeSet::new();
        let counts = |&site: &SiteId| {
            let it = &graph.sites[site];
            let is_embedding = it.views().any(|view| embedded.contains(&view.param));
            let named = self.named.iter().any(|&named| graph.tree.above(it.node).any(|above| above == named));
            if is_embedding { named } else { it.kind.is_matrix() }
        };
        self.sites(graph).into_iter().filter(counts).filter(|&site| seen.insert(site)).collect()
    }

    /// Sites of output projections.
    pub fn outputs(&self, graph: &Graph) -> Vec<SiteId> {
        let all: BTreeSet<SiteId> =
            graph.projections().into_iter().map(|projection| projection.site).collect();
        self.sites(graph).into_iter().filter(|site| all.contains(site)).collect()
    }

    /// All sites below the selection.
    fn sites(&self, graph: &Graph) -> Vec<SiteId> {
        let below = self.nodes.iter().flat_map(|&node| graph.tree.below(node));
        below.filter(|node| !self.except.contains(node)).filter_map(|node| graph.tree[node].site).collect()
    }

    /// The nodes of the layers that are selected whole.
    pub(super) fn layers(&self, graph: &Graph) -> Vec<NodeId> {
        let selected: BTreeSet<NodeId> = self.nodes.iter().flat_map(|&node| graph.tree.below(node)).collect();
        let is_meant = |node: &NodeId| selected.contains(node) && !self.except.contains(node);
        graph.blocks.iter().map(|block| block.node).filter(is_meant).collect()
    }

    /// Axes of these roles that belong to what is selected.
    pub(super) fn axes(&self, graph: &Graph, roles: &[Role]) -> Vec<AxisId> {
        let selected: BTreeSet<NodeId> = self
            .nodes
            .iter()
            .flat_map(|&node| graph.tree.below(node))
            .filter(|node| !self.except.contains(node))
            .collect();
        graph
            .axes
            .iter()
            .filter(|(_, axis)| roles.contains(&axis.role) && selected.contains(&axis.node))
            .map(|(id, _)| id)
            .collect()
    }
}

impl Checker<'_> {
    /// The nodes of a selector; `None` after a diagnostic.
    pub(super) fn select(&mut self, graph: &Graph, selector: &ast::Selector) -> Option<Selected> {
        let mut nodes = Vec::new();
        let mut named = BTreeSet::new();
        let mut failed = false;
        for path in &selector.include {
            match self.walk(graph, path) {
                Ok(found) => {
                    if names_a_place(path) {
                        named.extend(found.iter().copied());
                    }
                    nodes.extend(found);
                }
                Err(diagnostic) => {
                    failed = true;
                    self.report(diagnostic);
                }
            }
        }
        let mut except = BTreeSet::new();
        for path in &selector.except {
            match self.walk(graph, path) {
                Ok(found) => except.extend(found.into_iter().flat_map(|node| graph.tree.below(node))),
                // Taking out what is not there leaves the right thing, but may be a slip.
                Err(diagnostic) => self.report(Diagnostic { severity: Severity::Warning, ..diagnostic }),
            }
        }
        let span = selector.span;
        (!failed).then_some(Selected { nodes, except, named, span })
    }

    fn walk(&mut self, graph: &Graph, path: &ast::Path) -> Result<Vec<NodeId>, Diagnostic> {
        let mut nodes = vec![graph.tree.root()];
        for segment in &path.segments {
            nodes = self.advance(graph, &nodes, segment, path)?;
        }
        Ok(nodes)
    }

    fn advance(
        &mut self,
        graph: &Graph,
        from: &[NodeId],
        segment: &ast::Segment,
        path: &ast::Path,
    ) -> Result<Vec<NodeId>, Diagnostic> {
        let children = |node: NodeId| graph.tree[node].children.iter().copied();
        Ok(match &segment.kind {
            ast::SegmentKind::Any => from.iter().flat_map(|&node| children(node)).collect(),
            ast::SegmentKind::AnyDepth => {
                let mut seen = BTreeSet::new();
                let below = from.iter().flat_map(|&node| graph.tree.below(node));
                below.filter(|&node| seen.insert(node)).collect()
            }
            ast::SegmentKind::Tensor(glob) => self.by_tensor(graph, glob, path)?,
            ast::SegmentKind::Alternatives(names) => {
                let mut found = Vec::new();
                for name in names {
                    found.extend(self.named_children(graph, from, name, None, path)?);
                }
                found
            }
            ast::SegmentKind::Child { name, indices } => {
                self.named_children(graph, from, name, indices.as_ref(), path)?
            }
        })
    }

    fn named_children(
        &mut self,
        graph: &Graph,
        from: &[NodeId],
        name: &ast::Name,
        indices: Option<&ast::Indices>,
        path: &ast::Path,
    ) -> Result<Vec<NodeId>, Diagnostic> {
        let mut found = Vec::new();
        let mut any = false;
        for &node in from {
            let children = graph.tree[node].children.iter().copied();
            let matching: Vec<NodeId> =
                children.filter(|&child| graph.tree[child].name == name.text).collect();
            any |= !matching.is_empty();
            match (indices, matching.first()) {
                (Some(indices), Some(&first)) => {
                    let Some((axis, _)) = graph.tree[first].member else {
                        let message = format!("`{}` is no list", name.text);
                        return Err(Diagnostic::at(&codes::SELECTS_NOTHING, indices.span, message));
                    };
                    let numbers = self.indices(graph, indices, matching.len(), axis)?;
                    found.extend(numbers.into_iter().map(|number| matching[number]));
                }
                _ => found.extend(matching),
            }
        }
        if any { Ok(found) } else { Err(no_child(graph, from, name, path, self)) }
    }

    fn by_tensor(
        &self,
        graph: &Graph,
        glob: &ast::Text,
        path: &ast::Path,
    ) -> Result<Vec<NodeId>, Diagnostic> {
        let pattern = glob.literal().unwrap_or_default();
        let holds = |view: &crate::graph::View| matches(pattern, &graph.params[view.param].name.resolve());
        let sites = graph.sites.iter().filter(|(_, site)| site.views().any(holds));
        let nodes: Vec<NodeId> = sites.map(|(_, site)| site.node).collect();
        if nodes.is_empty() {
            let message = format!("`tensor(\"{pattern}\")` matches no tensor of this model");
            let names: Vec<String> = graph.weights().take(3).map(|(_, param)| param.name.resolve()).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let diagnostic = Diagnostic::at(&codes::SELECTS_NOTHING, path.span, message);
            return Err(diagnostic.help(format!("names begin with {}", list(&names))));
        }
        Ok(nodes)
    }

    /// The numbers that `[…]` means in a list of `extent` elements, ascending.
    pub(super) fn indices(
        &mut self,
        graph: &Graph,
        indices: &ast::Indices,
        extent: usize,
        axis: AxisId,
    ) -> Result<Vec<usize>, Diagnostic> {
        if indices.items.is_empty() {
            let message = "no number stands in the brackets";
            let diagnostic = Diagnostic::at(&codes::SELECTS_NOTHING, indices.span, message);
            return Err(diagnostic.help("`[0]` is the first, `[1..3]` the second and third, `[*]` all"));
        }
        let mut numbers = BTreeSet::new();
        for item in &indices.items {
            match item {
                ast::Index::All(_) => numbers.extend(0..extent),
                ast::Index::One(expr) => {
                    let number = self.index(graph, expr, extent, extent, axis)?;
                    numbers.insert(number);
                }
                ast::Index::Range { start, end, span } => {
                    let mut bound = |expr: &Option<ast::Expr>, otherwise: usize| match expr {
                        Some(expr) => self.index(graph, expr, extent, extent + 1, axis),
                        None => Ok(otherwise),
                    };
                    let (start, end) = (bound(start, 0)?, bound(end, extent)?);
                    if start >= end {
                        let message = "this range is empty";
                        return Err(Diagnostic::at(&codes::INDEX_OUT_OF_RANGE, *span, message)
                            .help("ranges are half open: `0..6` is the first six"));
                    }
                    numbers.extend(start..end);
                }
            }
        }
        Ok(numbers.into_iter().collect())
    }

    /// One number: negative ones count from the end, and it must be less than `below`.
    fn index(
        &mut self,
        graph: &Graph,
        expr: &ast::Expr,
        extent: usize,
        below: usize,
        axis: AxisId,
    ) -> Result<usize, Diagnostic> {
        let number = self.whole_number(expr)?;
        let from_start = if number < 0 { number + extent as i64 } else { number };
        match usize::try_from(from_start) {
            Ok(index) if index < below => Ok(index),
            _ => Err(self.out_of_range(graph, expr.span, number, extent, axis)),
        }
    }

    fn out_of_range(
        &self,
        graph: &Graph,
        span: Span,
        number: i64,
        extent: usize,
        axis: AxisId,
    ) -> Diagnostic {
        let role = graph.axes[axis].role;
        let message = match extent {
            0 => format!("there are no {role} left here"),
            _ => format!("{role} here are numbered 0 to {}", extent - 1),
        };
        let diagnostic = Diagnostic::at(&codes::INDEX_OUT_OF_RANGE, span, message)
            .says(format!("{number} is out of range"));
        self.with_cause(diagnostic, graph, axis)
    }

    /// Points at what decided an axis's extent: the step that changed it, else the config field.
    pub(super) fn with_cause(&self, diagnostic: Diagnostic, graph: &Graph, axis: AxisId) -> Diagnostic {
        let path = graph.axis_path(axis);
        let role = graph.axes[axis].role;
        if let Some(change) = self.changes.iter().rev().find(|change| change.axis == path) {
            let text = format!("this step left {} of {} {role}", change.after, change.before);
            return diagnostic.label(change.span, text);
        }
        let key = graph.axes[axis].key.as_deref();
        match key.and_then(|key| Some((key, *self.key_spans.get(key)?))) {
            Some((key, span)) => diagnostic.label(span, format!("`{key}` says so")),
            None => diagnostic,
        }
    }
}

/// Whether a path begins with a word, not with `*` or `**`: what lies there is named.
fn names_a_place(path: &ast::Path) -> bool {
    match path.segments.first().map(|segment| &segment.kind) {
        Some(ast::SegmentKind::Child { name, .. }) => name.text != "layers",
        Some(ast::SegmentKind::Tensor(_)) => true,
        _ => false,
    }
}

fn no_child(
    graph: &Graph,
    from: &[NodeId],
    name: &ast::Name,
    path: &ast::Path,
    checker: &Checker<'_>,
) -> Diagnostic {
    let mut children: Vec<&str> = Vec::new();
    for child in from.iter().flat_map(|&node| &graph.tree[node].children) {
        let child = graph.tree[*child].name.as_str();
        if !children.contains(&child) {
            children.push(child);
        }
    }
    let written = checker.sources.text(path.span);
    let before = written[..name.span.start - path.span.start].trim_end_matches(['.', '{', ' ']);
    let place = if before.is_empty() { "the model" } else { before };
    let says = match children.as_slice() {
        [] => format!("{place} has nothing below it"),
        some => format!("no child `{}`; {place} has {}", name.text, some.join(", ")),
    };
    let message = format!("`{written}` selects nothing in this model");
    let diagnostic = Diagnostic::at(&codes::SELECTS_NOTHING, name.span, message).says(says);
    match crate::diagnostic::nearest(&name.text, children.iter().copied()) {
        Some(child) => diagnostic.help(format!("did you mean `{child}`?")).fix(name.span, child),
        None => diagnostic,
    }
}

/// A glob with `*` for any run of characters and `?` for one.
fn matches(glob: &str, name: &str) -> bool {
    let (glob, name): (Vec<char>, Vec<char>) = (glob.chars().collect(), name.chars().collect());
    let (mut g, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match glob.get(g) {
            Some('*') => {
                star = Some((g, n));
                g += 1;
            }
            Some(&c) if c == '?' || c == name[n] => (g, n) = (g + 1, n + 1),
            _ => match star {
                // The last star takes one more character.
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    (g, n) = (at + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    glob[g..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn globs_match_whole_names() {
        assert!(matches("*.norm.*", "model.norm.weight"));
        assert!(matches("a?c*", "abc"));
        assert!(!matches("*.norm", "model.norm.weight"));
        assert!(matches("*a*b*", "xaxxab"));
        assert!(!matches("", "x"));
    }
}
