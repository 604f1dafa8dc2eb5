//! `drop layers`, `drop experts`: whole blocks, or whole experts of a layer, taken out by number or by score.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, codes};
use crate::graph::{AxisId, Extent};
use crate::pass;
use crate::pass::elements::{
    Choice, ChooseElements, KeepElements, ScoreElements, Stay, least, refuse_merged, refuse_uneven_groups,
};
use crate::pass::{Choosing, Lowering, Pass, Quantity, Scorer, Stage, StepScope, Target, Work};
use crate::syntax::ast::ClauseKind;

pass! {
    /// Takes whole layers or whole experts out. The others are numbered anew, and nothing else changes: a router loses the rows of
    /// the experts that go. Where a router chooses within groups (DeepSeek-V3), those that stay are grouped anew in their order.
    ///
    /// With numbers or ranges those go; with `keep` or `remove` the criterion decides, of experts in each layer by itself. As many
    /// experts stay as a router chooses at least.
    ///
    /// ```tamis
    /// drop layers[-1]
    /// drop layers by magnitude remove 1
    /// ```
    ///
    /// ```tamis
    /// data calib = text("calib.txt", tokens: 128, samples: 64)
    /// drop experts of layers[*] by reap(calib) keep 50%
    /// drop experts of layers[*] by reconstruction(calib) keep 2
    /// ```
    Drop = "drop" ["layers", "experts"]
    {
        /// How layers or experts are scored.
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
        if let [_, second, ..] = step.targets {
            let message = "layers and experts go one after the other";
            return Err(Diagnostic::at(&codes::UNKNOWN_NOUN, second.span, message).help("write two steps"));
        }
        let target = &step.targets[0];
        refuse_merged(step)?;
        let clause = if self.keep.is_some() { ClauseKind::Keep } else { ClauseKind::Remove };
        let mut stay = BTreeMap::new();
        for axis in axes(step, target) {
            let these = self.stays(target, &axis).ok_or_else(|| self.unclear(step, target))?;
            let left = these.as_ref().map_or(0, |stay| stay.extent().max);
            let places = step.graph.places();
            refuse_uneven_groups(step, clause, places.axis(axis.path).expect("it was found there"), left)?;
            match these.filter(|_| (axis.least..=axis.all).contains(&left)) {
                Some(these) => drop(stay.insert(axis.path.to_owned(), these)),
                None => {
                    let asked = self.keep.or(self.remove).map(|quantity| quantity.of(axis.all));
                    return Err(too_many(step, target, clause, &axis, asked));
                }
            }
        }
        let work = match target.indices {
            Some(_) => Vec::new(),
            None => self.choice(step, target, &stay)?,
        };
        let rewrite = Arc::new(KeepElements::new(step.graph, stay));
        Ok(Lowering { stages: vec![Stage { work, rewrite }], ..Lowering::default() })
    }
}

/// An axis that elements are taken out of.
struct Counted<'t> {
    path: &'t str,
    all: usize,
    /// What has to stay.
    least: usize,
}

fn axes<'t>(step: &StepScope<'_>, target: &'t Target) -> Vec<Counted<'t>> {
    let places = step.graph.places();
    let counted = |path: &'t String| {
        let axis: AxisId = places.axis(path).expect("targets are resolved in this graph");
        Counted { path, all: step.graph.extent(axis).max, least: least(step.graph, axis) }
    };
    target.axes.iter().map(counted).collect()
}

impl Drop {
    /// What stays of an axis: `None` where clauses do not say it, `Some(None)` where they take out more than there is.
    fn stays(&self, target: &Target, axis: &Counted<'_>) -> Option<Option<Stay>> {
        match (&target.indices, self.keep, self.remove) {
            (Some(gone), None, None) => {
                Some(Some(Stay::These((0..axis.all).filter(|at| gone.binary_search(at).is_err()).collect())))
            }
            (None, Some(keep), None) => Some(Some(Stay::Some(Extent::exact(keep.of(axis.all))))),
            (None, None, Some(remove)) => {
                Some(axis.all.checked_sub(remove.of(axis.all)).map(|left| Stay::Some(Extent::exact(left))))
            }
            _ => None,
        }
    }

    fn unclear(&self, step: &StepScope<'_>, target: &Target) -> Diagnostic {
        let noun = target.noun.name;
        if self.keep.is_none() && self.remove.is_none() {
            let help = match target.noun.name {
                "layers" => "name them, `layers[6..12]`, or say how many: `remove 2`",
                _ => "name them, `experts[0, 3]`, or say how many: `keep 4`",
            };
            return Diagnostic::at(&codes::MISSING_CLAUSE, target.span, format!("which {noun}?")).help(help);
        }
        let message = format!("numbers, `keep` and `remove` say twice which {noun} go");
        Diagnostic::at(&codes::CONFLICTING_CLAUSES, step.verb, message)
    }

    /// How it is found out which stay.
    fn choice(
        &self,
        step: &StepScope<'_>,
        target: &Target,
        stay: &BTreeMap<String, Stay>,
    ) -> Result<Vec<Arc<dyn Work>>, Diagnostic> {
        let keep: BTreeMap<String, usize> =
            stay.iter().map(|(path, stay)| (path.clone(), stay.extent().max)).collect();
        let criterion = Arc::clone(&self.criterion.criterion);
        if target.noun.name == "experts" {
            let chosen = criterion.choose(&Choosing { graph: step.graph, keep: &keep });
            let chosen = chosen.map_err(|[message, help]| {
                step.at(ClauseKind::By, &codes::TOO_MANY_SETS, message).help(help)
            })?;
            if let Some(work) = chosen {
                return Ok(vec![work]);
            }
        }
        self.criterion.units(target.noun.name)?;
        let looks = !criterion.data().is_empty();
        if target.noun.name == "layers" && looks && !step.graph.reductions().is_empty() {
            let message = "what goes into a layer is held against what comes out, token by token, and tokens became fewer above";
            let error = step.at(ClauseKind::By, &codes::TOKENS_REDUCED, message);
            return Err(error.help("drop layers first, and reduce tokens behind it"));
        }
        let score = ScoreElements::new(step.graph, criterion, target.axes.clone());
        Ok(vec![Arc::new(score), Arc::new(ChooseElements { choice: Choice::Each(keep) })])
    }
}

fn too_many(
    step: &StepScope<'_>,
    target: &Target,
    clause: ClauseKind,
    axis: &Counted<'_>,
    asked: Option<usize>,
) -> Diagnostic {
    let (all, noun) = (axis.all, target.noun.name);
    let message = match axis.least {
        _ if asked.is_some_and(|asked| asked > all) => {
            format!("there are {all} {noun} in `{}`, not {}", axis.path, asked.unwrap_or(all))
        }
        1 => format!("there are {all} {noun}, of which at least one has to stay"),
        least => format!("there are {all} {noun} in `{}`, and a router chooses {least} of them", axis.path),
    };
    step.at(clause, &codes::TOO_MANY, message)
}
