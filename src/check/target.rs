//! What a noun means below what is selected: axes whose elements it counts, or sites whose weights it names.

use std::collections::BTreeSet;

use super::Checker;
use super::select::Selected;
use crate::diagnostic::{Diagnostic, codes};
use crate::graph::{AxisId, Graph, NodeId, Role, SiteId};
use crate::pass::{NOUNS, Noun, NounKind, Target};
use crate::source::Span;
use crate::syntax::ast;

const TOKENS: [&str; 2] = [
    "tokens have no numbers: which ones are chosen anew for each sample",
    "tokens go between layers: `at layers[3, 6]`, `at layers[*]`",
];
const ATTENTION: [&str; 2] = [
    "a layer has one attention; say which layers with `of`",
    "name whole layers: `of layers[6..]`, `of layers[*]`",
];

impl Checker<'_> {
    /// What a noun means below a selection; `None` after a diagnostic.
    pub(super) fn target(&mut self, graph: &Graph, noun: &ast::Noun, selected: &Selected) -> Option<Target> {
        let known = self.noun(&noun.name)?;
        let result = match known.kind {
            NounKind::Weights => self.weights(graph, noun, known, selected, &selected.matrices(graph)),
            NounKind::Outputs => self.weights(graph, noun, known, selected, &selected.outputs(graph)),
            NounKind::Tokens => self.layers(graph, noun, known, selected, TOKENS),
            NounKind::Attention => self.layers(graph, noun, known, selected, ATTENTION),
            NounKind::Elements(roles) => self.elements(graph, noun, known, roles, selected),
        };
        result.map_err(|diagnostic| self.report(diagnostic)).ok()
    }

    fn weights(
        &self,
        graph: &Graph,
        noun: &ast::Noun,
        known: &'static Noun,
        selected: &Selected,
        sites: &[SiteId],
    ) -> Result<Target, Diagnostic> {
        if let Some(indices) = &noun.indices {
            let message = format!("{} have no numbers; say where they are with `of`", known.name);
            return Err(Diagnostic::at(&codes::INDEX_OUT_OF_RANGE, indices.span, message));
        }
        if sites.is_empty() {
            let message = format!("no {} in `{}`", known.name, self.sources.text(selected.span));
            return Err(Diagnostic::at(&codes::SELECTS_NOTHING, selected.span, message).help(known.doc));
        }
        refuse_open(graph, sites.iter().map(|&site| graph.sites[site].node), noun.span)?;
        let sites = sites.iter().map(|&site| graph.tree.path(graph.sites[site].node)).collect();
        Ok(Target {
            noun: known,
            span: noun.span,
            indices: None,
            axes: Vec::new(),
            sites,
            group: 1,
            layers: Vec::new(),
        })
    }

    /// What whole layers have one of, with what is said of numbers and of parts of layers.
    fn layers(
        &self,
        graph: &Graph,
        noun: &ast::Noun,
        known: &'static Noun,
        selected: &Selected,
        [no_numbers, help]: [&'static str; 2],
    ) -> Result<Target, Diagnostic> {
        if let Some(indices) = &noun.indices {
            return Err(Diagnostic::at(&codes::INDEX_OUT_OF_RANGE, indices.span, no_numbers));
        }
        let layers: Vec<String> =
            selected.layers(graph).into_iter().map(|node| graph.tree.path(node)).collect();
        if layers.is_empty() {
            let message = format!("no whole layer in `{}`", self.sources.text(selected.span));
            let diagnostic = Diagnostic::at(&codes::SELECTS_NOTHING, selected.span, message);
            return Err(diagnostic.help(help));
        }
        let (axes, sites) = (Vec::new(), Vec::new());
        Ok(Target { noun: known, span: noun.span, indices: None, axes, sites, group: 1, layers })
    }

    fn elements(
        &mut self,
        graph: &Graph,
        noun: &ast::Noun,
        known: &'static Noun,
        roles: &[Role],
        selected: &Selected,
    ) -> Result<Target, Diagnostic> {
        let axes = selected.axes(graph, roles);
        let Some(&first) = axes.first() else { return Err(none_there(graph, noun, roles, selected)) };
        refuse_open(graph, axes.iter().map(|&axis| graph.axes[axis].node), noun.span)?;
        let group = self.group(graph, known, first);
        let mut numbers = None;
        if let Some(indices) = &noun.indices {
            for &axis in &axes {
                let extent = graph.extent(axis).max * group;
                let these = self.indices(graph, indices, extent, axis)?;
                numbers = Some(whole_groups(these, group, indices.span)?);
            }
        }
        let axes = axes.into_iter().map(|axis| graph.axis_path(axis)).collect();
        Ok(Target {
            noun: known,
            span: noun.span,
            indices: numbers,
            axes,
            sites: Vec::new(),
            group,
            layers: Vec::new(),
        })
    }

    /// How many of the noun one element of the axis is: query heads of a key/value head.
    fn group(&mut self, graph: &Graph, noun: &Noun, axis: AxisId) -> usize {
        let NounKind::Elements(roles) = noun.kind else { return 1 };
        if graph.axes[axis].role != Role::KvHeads || !roles.contains(&Role::Heads) {
            return 1;
        }
        let node = graph.axes[axis].node;
        let group = graph.axes.iter().find(|(_, axis)| axis.role == Role::Group && axis.node == node);
        group.map_or(1, |(_, axis)| axis.extent.max)
    }

    /// The noun of that name; `None` after a diagnostic.
    fn noun(&mut self, name: &ast::Name) -> Option<&'static Noun> {
        let found = Noun::named(&name.text);
        if found.is_none() {
            let message = format!("there is no noun `{}`", name.text);
            let names = NOUNS.iter().map(|noun| noun.name);
            let diagnostic = Diagnostic::at(&codes::UNKNOWN_NOUN, name.span, message);
            self.report(diagnostic.suggest(&name.text, name.span, names));
        }
        found
    }
}

/// What is in a list of experts can be named once it is known how many there are.
fn refuse_open(graph: &Graph, mut nodes: impl Iterator<Item = NodeId>, span: Span) -> Result<(), Diagnostic> {
    let open = |node| {
        let mut lists = graph.tree.above(node).filter_map(|above| graph.tree[above].member);
        lists.find(|(axis, _)| graph.extent(*axis).known().is_none())
    };
    let Some((axis, _)) = nodes.find_map(open) else { return Ok(()) };
    let (path, extent) = (graph.axis_path(axis), graph.extent(axis));
    let message = format!("how many there are of `{path}` is not known yet: {extent}, as data decide");
    Err(Diagnostic::at(&codes::OPEN_EXTENT, span, message).help(
        "put this step before the one that leaves the number open, or let that take as many of each layer",
    ))
}

/// Query-head numbers to numbers of the groups that they fill.
fn whole_groups(numbers: Vec<usize>, group: usize, span: Span) -> Result<Vec<usize>, Diagnostic> {
    if group == 1 {
        return Ok(numbers);
    }
    let groups: BTreeSet<usize> = numbers.iter().map(|number| number / group).collect();
    if groups.len() * group == numbers.len() {
        return Ok(groups.into_iter().collect());
    }
    let message = format!("{group} query heads share a key/value head here, and go together");
    let first = groups.first().map_or(0, |first| first * group);
    Err(Diagnostic::at(&codes::INDIVISIBLE, span, message)
        .help(format!("name whole groups, such as `[{first}..{}]`, or use `kv_heads`", first + group)))
}

fn none_there(graph: &Graph, noun: &ast::Noun, roles: &[Role], selected: &Selected) -> Diagnostic {
    let elsewhere = graph.axes.iter().find(|(_, axis)| roles.contains(&axis.role));
    match elsewhere {
        None => {
            let message = format!("this model ({}) has no {}", graph.family, noun.name.text);
            Diagnostic::at(&codes::NOT_IN_MODEL, noun.name.span, message)
        }
        Some((_, axis)) => {
            let message = format!("no {} in what is selected", noun.name.text);
            let diagnostic = Diagnostic::at(&codes::SELECTS_NOTHING, selected.span, message);
            match graph.tree.path(axis.node) {
                place if place.is_empty() => {
                    diagnostic.help(format!("{} belong to the whole model: leave `of` out", noun.name.text))
                }
                place => diagnostic.help(format!("{} are in `{place}`, for example", noun.name.text)),
            }
        }
    }
}
