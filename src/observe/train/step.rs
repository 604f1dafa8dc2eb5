//! What verbs that train have in common: what can be trained on what, the work, and the tensors that it leaves.

use std::sync::Arc;

use serde_json::json;

use super::{Adapter, Spending, Terms, TrainWeights, trained_params};
use crate::checkpoint::Checkpoint;
use crate::diagnostic::{Diagnostic, codes, numbers};
use crate::graph::{Graph, Op, OpId, Weight};
use crate::pass::{
    Data, Finding, Findings, Lowering, NamedModel, Regimen, Rewrite, Stage, StepScope, is_causal,
};
use crate::syntax::ast::ClauseKind;
use crate::weights::{Expr, Version};

/// What of the selected tensors is trained, where it is not all of them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Parts<'a> {
    /// An update of each matrix in its place.
    pub adapter: Option<&'a Adapter>,
    /// Those that are worth most under a budget.
    pub spending: Option<Spending>,
}

/// The lowering of a step that trains.
///
/// # Errors
/// Where a term of the loss is nothing that this model or these samples have.
pub fn lowering(
    step: &StepScope<'_>,
    regimen: Regimen,
    terms: Terms,
    teachers: &[NamedModel],
    parts: Parts<'_>,
) -> Result<Lowering, Diagnostic> {
    let Parts { adapter, spending } = parts;
    if adapter.is_some() && spending.is_some() {
        let message = "adapters are small already: there is nothing to choose among";
        let error = step.at(ClauseKind::With, &codes::CONFLICTING_CLAUSES, message);
        return Err(error.help("leave `adapter` or `spend` out"));
    }
    // As in `cast`: without a place every tensor is meant, norms and embeddings too; with one the matrices and their biases.
    let sites = match adapter {
        None if step.is_everywhere() => all_sites(step.graph),
        _ => step.sites(),
    };
    if adapter.is_some() {
        refuse_factored(step, &sites)?;
    }
    let work =
        work(step, regimen, terms, teachers, &sites)?.with_adapter(adapter.cloned()).spending(spending);
    let stage = Stage { work: vec![Arc::new(work)], rewrite: Arc::new(ReplaceTrained { sites }) };
    Ok(Lowering { stages: vec![stage], ..Lowering::default() })
}

/// The training that another step is spread over: of every tensor, on labels.
///
/// # Errors
/// Where these samples have no labels, or the model predicts nothing.
pub fn spread(step: &StepScope<'_>, regimen: Regimen) -> Result<(TrainWeights, ReplaceTrained), Diagnostic> {
    let sites = all_sites(step.graph);
    let work = work(step, regimen, Terms::of_labels(0.0), &[], &sites)?;
    Ok((work, ReplaceTrained { sites }))
}

fn work(
    step: &StepScope<'_>,
    regimen: Regimen,
    terms: Terms,
    teachers: &[NamedModel],
    sites: &[String],
) -> Result<TrainWeights, Diagnostic> {
    refuse(step, &regimen.data, &terms)?;
    if let Some(held) = &regimen.held_out {
        refuse(step, &held.data, &terms)?;
    }
    for teacher in teachers {
        refuse_teacher(step, &terms, teacher)?;
    }
    Ok(TrainWeights::new(step.graph, regimen, terms, sites).beside(teachers))
}

/// An update of two factors is no update of one matrix.
fn refuse_factored(step: &StepScope<'_>, sites: &[String]) -> Result<(), Diagnostic> {
    let places = step.graph.places();
    let is_factored = |path: &&String| {
        let site = places.site(path).expect("targets are resolved in this graph");
        matches!(step.graph.sites[site].weight, Weight::Factored { .. })
    };
    let Some(path) = sites.iter().find(is_factored) else { return Ok(()) };
    let message = format!("`{path}` is two factors, and an adapter is of one matrix");
    let error = step.at(ClauseKind::With, &codes::FACTORED, message);
    Err(error.help("train the factors themselves: leave `adapter` out"))
}

/// Whether a model gives logits.
pub fn has_logits(graph: &Graph) -> bool {
    logits(graph).is_some()
}

fn logits(graph: &Graph) -> Option<OpId> {
    let is_logits = |op: &OpId| matches!(&graph.ops[*op].op, Op::Output(name) if name == "logits");
    graph.ops.node_indices().find(is_logits)
}

fn all_sites(graph: &Graph) -> Vec<String> {
    graph.sites.iter().map(|(_, site)| graph.tree.path(site.node)).collect()
}

/// Whether a model answers in classes, and samples say which is right.
///
/// # Errors
/// Where it does not, or they do not.
pub fn labelled(step: &StepScope<'_>, data: &Data) -> Result<(), Diagnostic> {
    refuse(step, data, &Terms::of_labels(0.0))
}

/// Refuses what cannot be compared.
fn refuse(step: &StepScope<'_>, data: &Data, terms: &Terms) -> Result<(), Diagnostic> {
    let graph = step.graph;
    if terms.labels + terms.logits > 0.0 && !has_logits(graph) {
        let message = "the model gives no logits, so that no loss on its predictions can be taken";
        let error = Diagnostic::at(&codes::NO_LOSS, step.verb, message);
        return Err(error.help("`distill` with `{ hidden: 1 }` learns from the layers' outputs"));
    }
    if terms.labels > 0.0 && !is_causal(graph) && !data.reader.has_labels() {
        let message = format!("the samples of `{}` have no labels", data.name);
        let error = step.at(ClauseKind::On, &codes::NO_LOSS, message);
        return Err(error.help("say where labels are: `label: \"label\"`"));
    }
    if terms.balance > 0.0 && !graph.ops.node_weights().any(|made| matches!(made.op, Op::Experts(_))) {
        let message = "no layer of this model has a router whose load could be even";
        return Err(step.at(ClauseKind::With, &codes::NOT_IN_MODEL, message).help("leave `balance` out"));
    }
    if terms.inside() > 0.0 && !graph.reductions().is_empty() {
        let message = "states are compared token by token, and tokens became fewer above";
        let error = step.at(ClauseKind::With, &codes::TOKENS_REDUCED, message);
        return Err(error.help("learn from `logits` alone, or reduce tokens behind this step"));
    }
    Ok(())
}

/// Refuses a teacher that the model cannot be compared with.
fn refuse_teacher(step: &StepScope<'_>, terms: &Terms, teacher: &NamedModel) -> Result<(), Diagnostic> {
    let theirs = teacher.other.as_ref().map_or(step.source, |other| &other.graph);
    if let Some(why) = theirs.cannot_be_shown() {
        let message = format!("`{}` is a model that tamis does not run: {why}", teacher.name);
        return Err(step.at(ClauseKind::From, &codes::CANNOT_RUN, message));
    }
    if pictures(step.graph) != pictures(theirs) {
        let message = format!("this model and `{}` take other inputs", teacher.name);
        let error = step.at(ClauseKind::From, &codes::DATA_UNFIT, message);
        return Err(error.help("both are shown the same samples: tokens, or pictures of one size"));
    }
    if terms.logits > 0.0 {
        refuse_other_classes(step, theirs, &teacher.name)?;
    }
    if terms.inside() > 0.0 && (step.graph.blocks.is_empty() || theirs.blocks.is_empty()) {
        let message = "there is no layer whose states could be compared";
        return Err(step.at(ClauseKind::With, &codes::NOT_IN_MODEL, message));
    }
    let alike = |graph: &Graph| {
        let rows = |op: OpId| graph.ops[op].value.first().map_or(1, |dim| graph.dim_extent(dim));
        (is_causal(graph), graph.blocks.last().map(|block| rows(block.output)))
    };
    if terms.inside() > 0.0 && alike(step.graph) != alike(theirs) {
        let message = format!("layers of this model and of `{}` have other tokens", teacher.name);
        let error = step.at(ClauseKind::From, &codes::NOT_IN_MODEL, message);
        return Err(error.help("learn from `logits` alone: states are compared token by token"));
    }
    if terms.logits > 0.0 && is_causal(step.graph) != is_causal(theirs) {
        let message = format!("one of this model and `{}` predicts tokens, the other classes", teacher.name);
        return Err(step.at(ClauseKind::From, &codes::NO_LOSS, message));
    }
    if terms.attention > 0.0 {
        refuse_shared_keys(step, theirs)?;
    }
    Ok(())
}

/// Extents of the pictures that a model takes; none of one that takes tokens.
fn pictures(graph: &Graph) -> Option<Vec<usize>> {
    let node = graph.ops.node_weights().find(|node| node.op == Op::Pixels)?;
    Some(node.value.iter().map(|dim| graph.dim_extent(dim)).collect())
}

fn refuse_other_classes(step: &StepScope<'_>, theirs: &Graph, name: &str) -> Result<(), Diagnostic> {
    let classes = |graph: &Graph| {
        let dim = graph.ops[logits(graph)?].value.last().cloned()?;
        Some(graph.dim_extent(&dim))
    };
    match (classes(step.graph), classes(theirs)) {
        (Some(ours), Some(theirs)) if ours != theirs => {
            let message = format!("this model predicts among {ours}, `{name}` among {theirs}");
            let error = step.at(ClauseKind::From, &codes::NO_LOSS, message);
            Err(error.help("predictions over other classes cannot be compared: `logits: 0`, or distill before they change"))
        }
        (_, None) => {
            let message = format!("`{name}` gives no logits");
            Err(step.at(ClauseKind::From, &codes::NO_LOSS, message).help("say `{ logits: 0, hidden: 1 }`"))
        }
        _ => Ok(()),
    }
}

/// Who attends to whom cannot be said of queries and keys of different widths.
fn refuse_shared_keys(step: &StepScope<'_>, theirs: &Graph) -> Result<(), Diagnostic> {
    for graph in [step.graph, theirs] {
        if graph.ops.node_indices().any(|op| graph.is_flow(op)) {
            let message = "`attention` compares shares of a softmax, and flow attention has none";
            let error = step.at(ClauseKind::With, &codes::NOT_IN_MODEL, message);
            return Err(error.help("`relations` and `hidden` compare what both have"));
        }
        let width = |op: OpId| graph.ops[op].value.last().map_or(0, |dim| graph.dim_extent(dim));
        let is_shared = |op: &OpId| {
            let operands = graph.operands(*op);
            matches!(graph.ops[*op].op, Op::Attention(_)) && width(operands[0]) != width(operands[1])
        };
        if graph.ops.node_indices().any(|op| is_shared(&op)) {
            let message = "`attention` compares queries with keys, and several query heads share a key here";
            let error = step.at(ClauseKind::With, &codes::NOT_IN_MODEL, message);
            return Err(
                error.help("`relations` compares queries with queries, keys with keys, values with values")
            );
        }
    }
    Ok(())
}

/// Puts trained tensors in the place of those that were there.
#[derive(Debug)]
pub struct ReplaceTrained {
    /// Paths of the operations that they belong to.
    sites: Vec<String>,
}

impl Rewrite for ReplaceTrained {
    fn describe(&self) -> String {
        format!("{} trained", numbers::things(self.sites.len(), "weight"))
    }

    fn arguments(&self) -> serde_json::Value {
        json!({ "trained": self.sites })
    }

    fn touches(&self) -> Vec<String> {
        self.sites.clone()
    }

    fn effect(&self, _: &mut Graph) {}

    fn apply(&self, version: &mut Version, found: Findings<'_>) -> Result<(), Diagnostic> {
        let dir = found.find(|finding| match finding {
            Finding::Trained { dir, .. } => Some(dir),
            _ => None,
        });
        let checkpoint = Arc::new(Checkpoint::open(dir.expect("trained weights come with their tensors"))?);
        for param in trained_params(&version.graph, &self.sites) {
            let stored = checkpoint.tensors[&param.index().to_string()].clone();
            version.replace(param, Arc::new(Expr::Stored { checkpoint: Arc::clone(&checkpoint), stored }));
        }
        Ok(())
    }
}
