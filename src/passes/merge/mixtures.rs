//! Experts that become mixtures of all: the rewrite behind `merge experts by evolution`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::{Groups, Merge, Router};
use crate::checkpoint::Checkpoint;
use crate::diagnostic::{Diagnostic, codes, numbers};
use crate::graph::{Expert, Graph};
use crate::observe::experts::{merged_name, transfer_name};
use crate::pass::{Finding, Findings, Lowering, Rewrite, Stage, StepScope, Work};
use crate::syntax::ast::ClauseKind;
use crate::weights::{Expr, Version};

impl Merge {
    /// Mixtures are found by work alone: nothing is grouped, counted or aligned.
    pub(super) fn mixed(
        &self,
        step: &StepScope<'_>,
        into: &BTreeMap<String, usize>,
        work: Arc<dyn Work>,
    ) -> Result<Lowering, Diagnostic> {
        let grouped = self.weights.is_some()
            || self.counts.is_some()
            || self.groups == Groups::Global
            || self.router == Router::Average;
        if grouped {
            let message = format!("`{}` makes no groups, which options speak of", self.criterion.spec.name);
            return Err(
                Diagnostic::at(&codes::CONFLICTING_CLAUSES, step.verb, message).help("leave options out")
            );
        }
        for (path, &count) in into {
            let axis = step.graph.places().axis(path).expect("targets are resolved in this graph");
            let (_, of) = step.graph.experts_of(axis).expect("experts are of an operation");
            if count < of.top_k {
                let message = format!("a token chooses {} of `{path}`, and {count} are left", of.top_k);
                return Err(step.at(ClauseKind::Into, &codes::TOO_MANY, message));
            }
        }
        let by = self.criterion.criterion.describe();
        let rewrite = Arc::new(MixExperts { into: into.clone(), by });
        Ok(Lowering { stages: vec![Stage { work: vec![work], rewrite }], ..Lowering::default() })
    }
}

/// Puts mixtures in the place of the experts that they were made of.
#[derive(Debug)]
struct MixExperts {
    /// How many are left of each axis, by path.
    into: BTreeMap<String, usize>,
    /// How mixtures are found, as written.
    by: String,
}

impl Rewrite for MixExperts {
    fn describe(&self) -> String {
        let layers = numbers::things(self.into.len(), "layer");
        let most = self.into.values().max().copied().unwrap_or(0);
        format!("experts of {layers} mixed into {most}")
    }

    fn arguments(&self) -> serde_json::Value {
        json!({ "mix experts": self.into, "by": self.by })
    }

    fn touches(&self) -> Vec<String> {
        self.into.keys().cloned().collect()
    }

    fn effect(&self, graph: &mut Graph) {
        let places = graph.places();
        for (path, &count) in &self.into {
            let Some(axis) = places.axis(path) else { continue };
            graph.forget_zeros_of_experts(axis);
            graph.mix_experts(axis, count);
        }
    }

    fn apply(&self, version: &mut Version, found: Findings<'_>) -> Result<(), Diagnostic> {
        let dir = found.find(|finding| match finding {
            Finding::Tensors { dir, .. } => Some(dir),
            _ => None,
        });
        let checkpoint = Arc::new(Checkpoint::open(dir.expect("mixtures were written"))?);
        let stored = |name: String| {
            let stored = checkpoint.tensors.get(&name)?.clone();
            Some(Arc::new(Expr::Stored { checkpoint: Arc::clone(&checkpoint), stored }))
        };
        let places = version.graph.places();
        for (path, &count) in &self.into {
            let axis = places.axis(path).expect("the checker and the run agree on paths");
            let (_, of) = version.graph.experts_of(axis).expect("experts are of an operation");
            let params: Vec<_> = of
                .experts
                .iter()
                .flat_map(Expert::sites)
                .flat_map(|site| version.graph.sites[site].views().map(|view| view.param))
                .collect();
            let transfer = stored(transfer_name(path)).expect("every matrix of shares was written");
            let made = |param| params.contains(&param).then(|| stored(merged_name(param))).flatten();
            version.mix_experts(axis, count, made, transfer);
        }
        Ok(())
    }
}
