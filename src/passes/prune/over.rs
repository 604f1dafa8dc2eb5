//! Elements that go at the end of a training, over which they shrink.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Prune;
use crate::diagnostic::{Diagnostic, codes};
use crate::graph::Graph;
use crate::observe::{Penalty, ReplaceTrained, Shrinking, Shrinks, spread};
use crate::pass::elements::{KeepElements, Stay};
use crate::pass::{Factor, Findings, Rewrite, Stage, StepScope};
use crate::syntax::ast::ClauseKind;
use crate::weights::Version;

/// Nouns whose elements are rows and columns of matrices, and of nothing else.
const SHRINK: [&str; 3] = ["heads", "kv_heads", "neurons"];

impl Prune {
    /// Puts the training that the step is spread over, if there is one, between the choice of elements and their end.
    pub(super) fn spread(
        &self,
        step: &StepScope<'_>,
        stage: Stage,
        stay: BTreeMap<String, Stay>,
    ) -> Result<Stage, Diagnostic> {
        let Some(tuning) = &self.tuning else {
            return match &self.flow {
                None => Ok(stage),
                Some(_) => {
                    let message = "`flow` is of elements that shrink over a training";
                    let error = step.at(ClauseKind::With, &codes::MISSING_CLAUSE, message);
                    Err(error.help("say which one: `over tune(train, epochs: 4)`"))
                }
            };
        };
        if let Some(target) = step.targets.iter().find(|target| !SHRINK.contains(&target.noun.name)) {
            let message = format!("{} do not shrink over a training", target.noun.name);
            return Err(Diagnostic::at(&codes::CONFLICTING_CLAUSES, target.span, message)
                .help("heads and neurons do; take these out in a step of their own, and `tune` behind it"));
        }
        let length =
            tuning.length().map_err(|wrong| step.at(ClauseKind::Over, &codes::MISSING_ARGUMENT, wrong))?;
        if tuning.held_out.is_some() {
            let message = "of a step before the last nothing has shrunk as far as it will";
            return Err(step
                .at(ClauseKind::Over, &codes::CONFLICTING_CLAUSES, message)
                .help("leave `held_out` out, and `tune` behind this step"));
        }
        let flow = self
            .flow
            .clone()
            .unwrap_or(Shrinking::MaskSparsity { lambda: Factor(5e-4), penalty: Penalty::L1 });
        let (work, trained) = spread(step, tuning.regimen(tuning.data.clone(), length))?;
        let kept = KeepElements::new(step.graph, stay.clone());
        let work = stage.work.into_iter().chain([Arc::new(work.shrinking(Shrinks { flow, stay })) as Arc<_>]);
        Ok(Stage { work: work.collect(), rewrite: Arc::new(TrainedThenKept { trained, kept }) })
    }
}

/// Weights that were trained, then elements taken out of them.
#[derive(Debug)]
struct TrainedThenKept {
    trained: ReplaceTrained,
    kept: KeepElements,
}

impl Rewrite for TrainedThenKept {
    fn describe(&self) -> String {
        format!("{}, {}", self.trained.describe(), self.kept.describe())
    }

    fn arguments(&self) -> serde_json::Value {
        serde_json::json!({ "first": self.trained.arguments(), "then": self.kept.arguments() })
    }

    fn touches(&self) -> Vec<String> {
        [self.trained.touches(), self.kept.touches()].concat()
    }

    fn effect(&self, graph: &mut Graph) {
        self.trained.effect(graph);
        self.kept.effect(graph);
    }

    fn apply(&self, version: &mut Version, found: Findings<'_>) -> Result<(), Diagnostic> {
        self.trained.apply(version, found)?;
        self.kept.apply(version, found)
    }
}
