//! Zeros that come over a training: the training goes before, and leaves what the mask then finds.

use std::sync::Arc;

use super::{Amount, Scope, Sparsify};
use crate::diagnostic::{Diagnostic, codes};
use crate::observe::{Flow, Sparse, spread};
use crate::pass::{Asked, Count, Factor, Ratio, Stage, StepScope};
use crate::syntax::ast::ClauseKind;
use crate::tensor::obs::Zeroing;

impl Sparsify {
    /// The training that the step is spread over, where there is one.
    pub(super) fn training(&self, step: &StepScope<'_>) -> Result<Option<Stage>, Diagnostic> {
        let Some(tuning) = &self.tuning else {
            return match &self.flow {
                None => Ok(None),
                Some(_) => {
                    let error = step.at(
                        ClauseKind::With,
                        &codes::MISSING_CLAUSE,
                        "`flow` is of zeros that come over a training",
                    );
                    Err(error.help("say which one: `over tune(train, epochs: 4)`"))
                }
            };
        };
        self.refuse_observed(step)?;
        let over = |message: &str| step.at(ClauseKind::Over, &codes::CONFLICTING_CLAUSES, message);
        let length =
            tuning.length().map_err(|wrong| step.at(ClauseKind::Over, &codes::MISSING_ARGUMENT, wrong))?;
        if self.block.is_some()
            || self.floor.is_some()
            || matches!(self.scope, Some(Scope::Row | Scope::Group))
        {
            return Err(over(
                "over a training weights compete by themselves, within a matrix or with all others",
            )
            .help("leave `block` and `floor` out, and take `scope: tensor` or `scope: global`"));
        }
        if tuning.held_out.is_some() {
            return Err(over("weights of a step before the last have not all of their zeros yet")
                .help("leave `held_out` out, and `tune` behind this step: zeros stay zero"));
        }
        let (aim, flow) = self.flow()?;
        let sparse = Sparse {
            sites: step.sites(),
            aim,
            global: self.scope == Some(Scope::Global),
            flow: flow.map_err(|message| {
                step.at(ClauseKind::With, &codes::CONFLICTING_CLAUSES, message)
                    .help("for a pattern there are `sr_ste`, `mask_decay` and `structure_decay`, for a share `gradual`, `rigl`, `sr_ste` and `mask_decay`")
            })?,
            criterion: Arc::clone(&self.criterion.criterion),
        };
        let (work, trained) = spread(step, tuning.regimen(tuning.data.clone(), length))?;
        Ok(Some(Stage { work: vec![Arc::new(work.towards(sparse))], rewrite: Arc::new(trained) }))
    }

    /// The aim, and the flow to it; why one does not go with the other.
    fn flow(&self) -> Result<(Zeroing, Result<Flow, &'static str>), Diagnostic> {
        let written = self.flow.clone();
        Ok(match self.amount {
            Amount::Pattern(pattern) => {
                let flow = written.unwrap_or(Flow::SrSte { decay: Factor(2e-4) });
                let fits = !matches!(flow, Flow::Gradual { .. } | Flow::Rigl { .. });
                (
                    Zeroing::Pattern(pattern),
                    if fits { Ok(flow) } else { Err("this flow is for a share of zeros") },
                )
            }
            Amount::Zeros(share) => {
                let flow = written.unwrap_or(Flow::Gradual {
                    start: Ratio(0.0),
                    every: Count(1),
                    until: Ratio(0.75),
                });
                let fits = !matches!(flow, Flow::StructureDecay { .. });
                (Zeroing::Share(share), if fits { Ok(flow) } else { Err("this flow is for patterns") })
            }
        })
    }

    /// Scores that need the model at work are not taken anew in each step of a training.
    pub(super) fn refuse_observed(&self, step: &StepScope<'_>) -> Result<(), Diagnostic> {
        let asked = Asked { graph: step.graph, sites: &[], mask: None };
        let observes =
            !self.criterion.criterion.data().is_empty() || self.criterion.criterion.observe(&asked).is_some();
        if self.tuning.is_none() || !observes {
            return Ok(());
        }
        let message = format!(
            "`{}` looks at the model at work, and over a training weights change in each step",
            self.criterion.spec.name
        );
        Err(step
            .at(ClauseKind::By, &codes::CONFLICTING_CLAUSES, message)
            .help("`magnitude` looks at the weights alone"))
    }
}
