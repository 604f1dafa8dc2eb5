//! `sparsify`: weights set to zero, in patterns or by share; tensors keep their shape.
//!
//! ```tamis
//! sparsify weights of layers[*].mlp by magnitude to 2:4
//! ```

mod cuts;
mod mask;
mod rules;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, codes};
use crate::graph::{Graph, SiteId};
use crate::pass::{
    Argument, Count, Lowering, Pass, Ratio, Registry, Scorer, Stage, StepScope, Type, Value, ValueKind, Work,
    Wrong,
};
use crate::syntax::ast::ClauseKind;
use crate::tensor::pattern::Pattern;
use crate::{choice, pass};
use cuts::FindCuts;
use mask::{Mask, MaskSites, matrix_shape, part};

choice! {
    /// Which weights compete with each other for a share of zeros.
    pub enum Scope("a scope") {
        /// Those of one matrix.
        Tensor = "tensor",
        /// Those of one output.
        Row = "row",
        /// Those of the same kind of matrix in all layers: query, key and value together, attention outputs, the feed-forward.
        Group = "group",
        /// All that are selected.
        Global = "global",
    }
}

/// What `to` says: a pattern, or a share of zeros.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sparsity {
    Pattern(Pattern),
    Zeros(f64),
}

impl Argument for Sparsity {
    const TYPE: Type = Type {
        name: "sparsity",
        doc: "a pattern such as `2:4`, or a share such as `80% zeros`",
        choices: &[],
    };

    fn read(value: &Value, registry: &Registry) -> Result<Self, Wrong> {
        match &value.kind {
            ValueKind::Pattern { n, m } => match Pattern::new(*n as usize, *m as usize) {
                Ok(pattern) => Ok(Self::Pattern(pattern)),
                Err(_) => Err(Wrong::range(value, format!("{n}:{m} keeps no part of a group"))
                    .help("`n:m` keeps n of each m inputs, with n from 1 to m - 1 and m up to 256")),
            },
            ValueKind::Amount { value: share, unit } if unit == "zeros" => {
                Ratio::read(share, registry).map(|Ratio(share)| Self::Zeros(share))
            }
            ValueKind::Ratio(ratio) => Err(Wrong::at(&codes::WRONG_UNIT, value, "a share of what?".into())
                .help(format!("write `{}% zeros`", ratio * 100.0))),
            ValueKind::Amount { unit, .. } => {
                let message = format!("`{unit}` is not what sparsity is measured in");
                Err(Wrong::at(&codes::WRONG_UNIT, value, message)
                    .help("write `80% zeros`, or a pattern such as `2:4`"))
            }
            _ => Err(Wrong::kind(value, "a pattern or a share of zeros")),
        }
    }
}

pass! {
    /// Sets weights to zero, in a pattern or by share. Tensors keep their shapes, and are saved dense with their zeros.
    ///
    /// `n:m` keeps the n highest scores of each m consecutive inputs of an output. A share of zeros is exact: so many weights of
    /// the lowest scores go from each matrix, row, group or from all together; of equal scores the first goes. A convolution's
    /// inputs are its channels and kernel positions in stored order.
    ///
    /// ```tamis
    /// sparsify weights of layers[*].mlp by magnitude to 2:4
    /// sparsify weights to 80% zeros with { scope: global, floor: 0.05% }
    /// ```
    Sparsify = "sparsify" ["weights"]
    {
        /// How weights are scored.
        By criterion: Scorer = "magnitude",
        /// What the result looks like.
        To sparsity: Sparsity,
    }
    with {
        /// Which weights compete with each other for a share of zeros.
        scope: Scope = "tensor",
        /// Weights that stay at least in each matrix, as a share of all that compete: no layer collapses.
        floor: Option<Ratio>,
        /// Square blocks of so many rows and columns go together, by their sum of squares.
        block: Option<Count>,
    }
}

impl Pass for Sparsify {
    fn lower(&self, step: &StepScope<'_>) -> Result<Lowering, Diagnostic> {
        self.criterion.elements()?;
        self.refuse_idle_options(step)?;
        let places = step.graph.places();
        let sites = step.sites();
        let ids: Vec<SiteId> = sites.iter().filter_map(|path| places.site(path)).collect();
        let (mask, work): (Mask, Vec<Arc<dyn Work>>) = match (self.sparsity, self.block) {
            (Sparsity::Pattern(pattern), _) => {
                refuse_indivisible(step, &ids, pattern)?;
                (Mask::Pattern(pattern), Vec::new())
            }
            (Sparsity::Zeros(share), Some(Count(size))) => {
                refuse_untiled(step, &ids, size)?;
                (Mask::Blocks { size, share }, Vec::new())
            }
            (Sparsity::Zeros(share), None) if self.scope == Scope::Row => (Mask::Rows(share), Vec::new()),
            (Sparsity::Zeros(share), None) => {
                let groups = self.groups(step.graph, &sites, &ids);
                let zeros = zeros(step.graph, &groups, share);
                let floor = self.floor.map_or(0.0, |Ratio(floor)| floor);
                let criterion = Arc::clone(&self.criterion.criterion);
                (Mask::Found { zeros }, vec![Arc::new(FindCuts { criterion, groups, share, floor })])
            }
        };
        let scope = match self.scope {
            Scope::Tensor => "matrix",
            Scope::Row => "row",
            Scope::Group => "group",
            Scope::Global => "model",
        };
        let criterion = Arc::clone(&self.criterion.criterion);
        let rewrite = Arc::new(MaskSites { sites, mask, criterion, scope });
        Ok(Lowering { stages: vec![Stage { work, rewrite }], ..Lowering::default() })
    }
}

impl Sparsify {
    /// Options that would change nothing are mistakes.
    fn refuse_idle_options(&self, step: &StepScope<'_>) -> Result<(), Diagnostic> {
        let is_pattern = matches!(self.sparsity, Sparsity::Pattern(_));
        let idle = match (is_pattern, self.block) {
            (true, Some(_)) => Some("`block` does not go with a pattern"),
            (true, None) if self.scope != Scope::Tensor => {
                Some("a pattern holds in every group of inputs: `scope` changes nothing")
            }
            (_, Some(_)) if self.scope != Scope::Tensor => {
                Some("blocks compete within their matrix: `scope` changes nothing")
            }
            _ if self.floor.is_some() && !matches!(self.scope, Scope::Group | Scope::Global) => {
                Some("`floor` is for matrices that compete: `scope: group` or `scope: global`")
            }
            (_, Some(_)) if self.criterion.criterion.elements().is_none_or(|it| !it.is_magnitude()) => {
                Some("blocks are scored by their sum of squares: leave `by` out")
            }
            _ => None,
        };
        match idle {
            Some(message) => Err(step.at(ClauseKind::With, &codes::CONFLICTING_CLAUSES, message)),
            None => Ok(()),
        }
    }

    /// Sites that compete with each other.
    fn groups(&self, graph: &Graph, sites: &[String], ids: &[SiteId]) -> Vec<Vec<String>> {
        let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (path, &site) in sites.iter().zip(ids) {
            let group = match self.scope {
                Scope::Tensor | Scope::Row => path.clone(),
                Scope::Group => kind(graph, site),
                Scope::Global => String::new(),
            };
            groups.entry(group).or_default().push(path.clone());
        }
        groups.into_values().collect()
    }
}

/// The kind of module that a matrix belongs to (DIMAP, section 3): its place in the layer, with query, key and value one
/// kind and the feed-forward one.
fn kind(graph: &Graph, site: SiteId) -> String {
    let node = graph.sites[site].node;
    let names: Vec<&str> = graph.tree.above(node).map(|node| graph.tree[node].name.as_str()).collect();
    match names.as_slice() {
        ["query" | "key" | "value", "attention", ..] => "attention inputs".into(),
        ["up" | "gate" | "down", rest, ..] => (*rest).into(),
        [name, rest, ..] => format!("{rest}.{name}"),
        other => other.concat(),
    }
}

/// Weights that go in all.
fn zeros(graph: &Graph, groups: &[Vec<String>], share: f64) -> u64 {
    let places = graph.places();
    let elements = |path: &String| {
        places.site(path).map_or(0, |site| {
            let (out, inputs) = matrix_shape(graph, site);
            out * inputs
        })
    };
    groups.iter().map(|group| part(group.iter().map(elements).sum(), share) as u64).sum()
}

fn refuse_indivisible(step: &StepScope<'_>, sites: &[SiteId], pattern: Pattern) -> Result<(), Diagnostic> {
    let inputs = |site: SiteId| step.graph.site_dims(site).1;
    let odd: Vec<SiteId> = sites
        .iter()
        .copied()
        .filter(|&site| !step.graph.dim_multiple(&inputs(site)).is_multiple_of(pattern.of()))
        .collect();
    let Some(&first) = odd.first() else { return Ok(()) };
    let path = step.graph.tree.path(step.graph.sites[first].node);
    let dims = step.graph.dims_text(&[inputs(first)]);
    let message = format!("groups of {} do not divide the inputs {dims} of `{path}`", pattern.of());
    let others = match odd.len() - 1 {
        0 => String::new(),
        1 => ", and of one more weight".into(),
        more => format!(", and of {more} more weights"),
    };
    Err(step
        .at(ClauseKind::To, &codes::PATTERN_DOES_NOT_DIVIDE, format!("{message}{others}"))
        .help(format!("leave it out, `of … except {path}`, or choose a pattern whose groups fit")))
}

fn refuse_untiled(step: &StepScope<'_>, sites: &[SiteId], size: usize) -> Result<(), Diagnostic> {
    let fits = |&site: &SiteId| {
        let (out, inputs) = step.graph.site_dims(site);
        step.graph.dim_multiple(&out).is_multiple_of(size)
            && step.graph.dim_multiple(&inputs).is_multiple_of(size)
    };
    let Some(&odd) = sites.iter().find(|site| !fits(site)) else { return Ok(()) };
    let path = step.graph.tree.path(step.graph.sites[odd].node);
    let (out, inputs) = step.graph.site_dims(odd);
    let dims = step.graph.dims_text(&[out, inputs]);
    let message = format!("blocks of {size} x {size} do not tile `{path}`, {dims}");
    Err(step.at(ClauseKind::With, &codes::BLOCK_DOES_NOT_DIVIDE, message))
}
