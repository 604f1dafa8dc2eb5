//! `drop layers`: whole blocks taken out by number or by score.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, codes};
use crate::graph::{Extent, Graph};
use crate::pass;
use crate::pass::elements::{Choice, ChooseElements, KeepElements, ScoreElements, Stay};
use crate::pass::{Lowering, Pass, Quantity, Scorer, Stage, StepScope};
use crate::syntax::ast::ClauseKind;

pass! {
    /// Takes whole layers out. The others are numbered anew, so that the model has fewer layers and nothing else changes.
    ///
    /// With numbers or ranges those go; with `keep` or `remove` the criterion decides.
    ///
    /// ```tamis
    /// drop layers[-1]
    /// drop layers by magnitude remove 1
    /// ```
    Drop = "drop" ["layers"]
    {
        /// How layers are scored.
        By criterion: Scorer = "magnitude",
        /// How many stay.
        Keep keep: Option<Quantity>,
        /// How many go.
        Remove remove: Option<Quantity>,
    }
    with {}
}

impl Pass for Drop {
    fn lower(&self, step: &StepScope<'_>) -> Result<Lowering, Diagnostic> {
        let target = &step.targets[0];
        let path = &target.axes[0];
        let axis = step.graph.places().axis(path).expect("targets are resolved in this graph");
        let all = step.graph.extent(axis).max;
        let (stay, work) = match (&target.indices, self.keep, self.remove) {
            (Some(gone), None, None) => (
                Stay::These((0..all).filter(|index| gone.binary_search(index).is_err()).collect()),
                Vec::new(),
            ),
            (None, Some(keep), None) => self.chosen(step.graph, path, keep.of(all))?,
            (None, None, Some(remove)) => {
                let left = all.checked_sub(remove.of(all));
                self.chosen(step.graph, path, left.ok_or_else(|| too_many(step, ClauseKind::Remove, all))?)?
            }
            (None, None, None) => {
                let message = "which layers?";
                let help = "name them, `layers[6..12]`, or say how many: `remove 2`";
                return Err(Diagnostic::at(&codes::MISSING_CLAUSE, target.span, message).help(help));
            }
            _ => {
                let message = "numbers, `keep` and `remove` say twice which layers go";
                return Err(Diagnostic::at(&codes::CONFLICTING_CLAUSES, step.verb, message));
            }
        };
        let clause = if self.keep.is_some() { ClauseKind::Keep } else { ClauseKind::Remove };
        let left = stay.extent().max;
        if left == 0 || left > all {
            return Err(too_many(step, clause, all));
        }
        let rewrite = Arc::new(KeepElements::new(step.graph, BTreeMap::from([(path.clone(), stay)])));
        Ok(Lowering { stages: vec![Stage { work, rewrite }], ..Lowering::default() })
    }
}

impl Drop {
    fn chosen(
        &self,
        graph: &Graph,
        path: &str,
        keep: usize,
    ) -> Result<(Stay, Vec<Arc<dyn pass::Work>>), Diagnostic> {
        self.criterion.units("layers")?;
        let criterion = Arc::clone(&self.criterion.criterion);
        let score = ScoreElements::new(graph, criterion, vec![path.into()]);
        let choice = Choice::Each(BTreeMap::from([(path.to_string(), keep)]));
        Ok((Stay::Some(Extent::exact(keep)), vec![Arc::new(score), Arc::new(ChooseElements { choice })]))
    }
}

fn too_many(step: &StepScope<'_>, clause: ClauseKind, all: usize) -> Diagnostic {
    let message = format!("there are {all} layers, of which at least one has to stay");
    step.at(clause, &codes::TOO_MANY, message)
}
