//! The tree as lines: what sits at a node, what it costs, alike neighbours folded.

use std::collections::BTreeMap;
use std::ops::Range;

use super::super::between::Between;
use super::super::param::{ParamId, Site, Sparsity, View, Weight};
use super::super::tree::NodeId;
use super::super::{Costs, Graph, Param};
use crate::diagnostic::numbers;

/// A node, or several alike ones.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    name: String,
    /// Which elements of a list these are.
    members: Option<Range<usize>>,
    /// The weight: `f32[heads=12 head_dim=32, hidden=384] + bias`.
    pub what: String,
    pub params: Between,
    pub macs: Between,
    pub below: Vec<Line>,
}

impl Line {
    /// `query`, `layers[0..6]`
    pub fn title(&self) -> String {
        match &self.members {
            None => self.name.clone(),
            Some(Range { start, .. }) if self.times() == 1 => format!("{}[{start}]", self.name),
            Some(Range { start, end }) => format!("{}[{start}..{end}]", self.name),
        }
    }

    /// How many nodes it stands for.
    pub fn times(&self) -> usize {
        self.members.as_ref().map_or(1, ExactSizeIterator::len)
    }

    /// Takes the next node in, if it is the next element of the same list and alike.
    fn absorb(&mut self, next: &Line) -> bool {
        let (Some(members), Some(more)) = (&mut self.members, &next.members) else { return false };
        let alike = members.end == more.start
            && (&self.name, &self.what, self.params, self.macs, &self.below)
                == (&next.name, &next.what, next.params, next.macs, &next.below);
        if alike {
            members.end = more.end;
        }
        alike
    }
}

/// The lines of a whole model.
pub fn lines(graph: &Graph, batch: u64) -> Vec<Line> {
    let mut owners = BTreeMap::new();
    for (_, site) in graph.sites.iter() {
        for view in site.views().filter(|view| view.fixed.is_empty()) {
            owners.entry(view.param).or_insert(site.node);
        }
    }
    Lines { graph, costs: graph.costs(batch), owners }.below(graph.tree.root())
}

struct Lines<'a> {
    graph: &'a Graph,
    costs: Costs,
    /// Where a tensor was met first.
    owners: BTreeMap<ParamId, NodeId>,
}

impl Lines<'_> {
    fn below(&self, node: NodeId) -> Vec<Line> {
        let mut lines: Vec<Line> = Vec::new();
        for &child in &self.graph.tree[node].children {
            let line = self.line(child);
            if !lines.last_mut().is_some_and(|last| last.absorb(&line)) {
                lines.push(line);
            }
        }
        lines
    }

    fn line(&self, id: NodeId) -> Line {
        let node = &self.graph.tree[id];
        let cost = &self.costs[id];
        Line {
            name: node.name.clone(),
            members: node.member.map(|(_, index)| index..index + 1),
            what: node.site.map_or(String::new(), |site| self.site_text(&self.graph.sites[site])),
            params: cost.params,
            macs: cost.macs,
            below: self.below(id),
        }
    }

    fn site_text(&self, site: &Site) -> String {
        let mut text = match &site.weight {
            Weight::Dense(view) => self.view_text(view, site.node),
            Weight::Factored { left, right, rest } => {
                let right = self.graph.dims_text(&self.graph.free_dims(right));
                let rest = rest.as_ref().map(|rest| numbers::things(rest.rows.len(), "row"));
                let rest = rest.map_or_else(String::new, |rows| format!(" + {rows}"));
                format!("{} · {right}{rest}", self.view_text(left, site.node))
            }
        };
        if site.bias.is_some() {
            text.push_str(" + bias");
        }
        if let Some((keep, of)) = site.sparsity.and_then(Sparsity::pattern) {
            text.push_str(&format!(", {keep}:{of}"));
        }
        if let Some(zeros) = site.sparsity.and_then(Sparsity::zeros) {
            text.push_str(&format!(", {} zeros", numbers::count(zeros)));
        }
        text
    }

    fn view_text(&self, view: &View, node: NodeId) -> String {
        let Param { name, dtype, .. } = &self.graph.params[view.param];
        match self.owners.get(&view.param) {
            Some(&owner) if owner != node => return format!("tied to {}", self.graph.tree.path(owner)),
            _ => {}
        }
        let dims = self.graph.dims_text(&self.graph.free_dims(view));
        let name = name.resolve();
        let fused = name.trim_end_matches(".weight").rsplit('.').next().unwrap_or_default();
        if view.fixed.is_empty() { format!("{dtype}{dims}") } else { format!("{dtype}{dims} of {fused}") }
    }
}
