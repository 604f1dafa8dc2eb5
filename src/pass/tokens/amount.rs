//! How many tokens stay in each layer: as the recipe says, or as many as a budget allows.

use super::{Reduced, Reducing};
use crate::choice;
use crate::diagnostic::{Diagnostic, codes};
use crate::graph::{Graph, ReductionRule, TokenCount};
use crate::pass::{Budget, Quantity, StepScope};
use crate::syntax::ast::ClauseKind;

choice! {
    /// How a number of tokens that go is spread over layers.
    pub enum Schedule("a schedule") {
        /// As many in each layer.
        Constant = "constant",
        /// Twice as many in the first layer, none in the last.
        Decreasing = "decreasing",
        /// None in the first layer, twice as many in the last.
        Increasing = "increasing",
    }
}

/// How many tokens stay, as clauses say it.
#[derive(Debug, Clone, Copy)]
pub enum Amount {
    Keep(Quantity),
    Remove(Quantity, Schedule),
    To(Budget, Schedule),
    /// As many as the criterion says, for each sample.
    Decided,
}

/// Halvings of the range in which a budget's amount lies.
const HALVINGS: usize = 40;

impl Amount {
    /// # Errors
    /// Where none or several of the clauses are there.
    pub fn read(
        step: &StepScope<'_>,
        reducing: &dyn Reducing,
        keep: Option<Quantity>,
        remove: Option<Quantity>,
        to: Option<Budget>,
        schedule: Schedule,
    ) -> Result<Self, Diagnostic> {
        if reducing.decides() {
            let message = "the criterion says how many tokens stay, for each sample anew";
            let error = || Diagnostic::at(&codes::CONFLICTING_CLAUSES, step.verb, message);
            return match (keep, remove, to) {
                (None, None, None) => Ok(Self::Decided),
                _ => Err(error().help("leave `keep`, `remove` and `to` out")),
            };
        }
        match (keep, remove, to) {
            (Some(keep), None, None) => Ok(Self::Keep(keep)),
            (None, Some(remove), None) => Ok(Self::Remove(remove, schedule)),
            (None, None, Some(budget)) => Ok(Self::To(budget, schedule)),
            (None, None, None) => {
                let message = "how many tokens stay?";
                let help = "write `keep 70%` or `remove 13`, for each layer, or `to 60% macs` for the model";
                Err(Diagnostic::at(&codes::MISSING_CLAUSE, step.verb, message).help(help))
            }
            _ => {
                let message = "`keep`, `remove` and `to` each say how many tokens stay";
                Err(Diagnostic::at(&codes::CONFLICTING_CLAUSES, step.verb, message).help("write one of them"))
            }
        }
    }

    /// What each layer of a step is to keep. `graph` has the step's reductions.
    pub(super) fn counts(
        self,
        step: &StepScope<'_>,
        reduced: &Reduced,
        graph: Graph,
    ) -> Result<Vec<TokenCount>, Diagnostic> {
        let layers = reduced.layers.len();
        match self {
            Self::Decided => Ok(vec![TokenCount::Less(0); layers]),
            Self::Keep(Quantity::Count(count)) => Ok(vec![TokenCount::Exactly(count); layers]),
            Self::Keep(Quantity::Share(share)) => shares(step, reduced, ClauseKind::Keep, share),
            Self::Remove(Quantity::Share(share), _) => shares(step, reduced, ClauseKind::Remove, 1.0 - share),
            Self::Remove(Quantity::Count(count), schedule) => {
                Ok(schedule.whole(count, layers).into_iter().map(TokenCount::Less).collect())
            }
            Self::To(budget, schedule) => Search { step, reduced, budget, schedule }.run(graph),
        }
    }
}

fn pairs(rule: &ReductionRule) -> bool {
    matches!(rule, ReductionRule::MergePairs | ReductionRule::MergeByEnergy(_))
}

fn shares(
    step: &StepScope<'_>,
    reduced: &Reduced,
    clause: ClauseKind,
    share: f64,
) -> Result<Vec<TokenCount>, Diagnostic> {
    if share < 0.5 && reduced.rules.iter().any(pairs) {
        let message = "tokens merge in pairs, so that at least half of them stay in each layer";
        return Err(step
            .at(clause, &codes::OUT_OF_RANGE, message)
            .help("name more layers, or take fewer out of each"));
    }
    Ok(vec![TokenCount::Share(share); reduced.layers.len()])
}

impl Schedule {
    /// How many go in each of some layers, `count` on average. ToMe's `parse_r` with an inflection of 0, -1 or 1.
    fn whole(self, count: usize, layers: usize) -> Vec<usize> {
        let last = layers.saturating_sub(1).max(1);
        let of = |layer: usize| match self {
            _ if layers == 1 => count,
            Self::Constant => count,
            Self::Decreasing => 2 * count - (2 * count * layer).div_ceil(last).min(2 * count),
            Self::Increasing => 2 * count * layer / last,
        };
        (0..layers).map(of).collect()
    }

    /// The same for an average that is no whole number: sums over the first layers are rounded down.
    fn spread(self, average: f64, layers: usize) -> Vec<usize> {
        let last = layers.saturating_sub(1).max(1) as f64;
        let weight = |layer: usize| match self {
            _ if layers == 1 => 1.0,
            Self::Constant => 1.0,
            Self::Decreasing => 2.0 - 2.0 * layer as f64 / last,
            Self::Increasing => 2.0 * layer as f64 / last,
        };
        let (mut sum, mut spent) = (0.0, 0);
        let of = |layer: usize| {
            sum += average * weight(layer);
            let all = (sum + 1e-9).floor() as usize;
            let here = all - spent;
            spent = all;
            here
        };
        (0..layers).map(of).collect()
    }
}

/// The search for the most tokens that a budget allows.
struct Search<'a> {
    step: &'a StepScope<'a>,
    reduced: &'a Reduced,
    budget: Budget,
    schedule: Schedule,
}

impl Search<'_> {
    /// Amounts from 0, everything stays, to 1, as few as can be.
    fn run(&self, mut graph: Graph) -> Result<Vec<TokenCount>, Diagnostic> {
        let at_most = self.step.at_most(self.budget)?;
        let mut cost = |amount: f64| {
            graph.recount_tokens(&self.reduced.layers, &self.counts(amount));
            self.budget.measure.of(&graph.cost(self.step.batch)).max
        };
        let least = cost(1.0);
        if least > at_most {
            let show = |cost| self.budget.measure.show(cost);
            let message = format!(
                "{} {} allow fewer tokens than there can be: {} at least",
                show(at_most),
                self.budget.measure,
                show(least)
            );
            let error = self.step.at(ClauseKind::To, &codes::UNREACHABLE_BUDGET, message);
            return Err(error.help("name earlier layers too, or prune what else costs"));
        }
        if cost(0.0) <= at_most {
            return Ok(self.counts(0.0));
        }
        let (mut above, mut within) = (0.0, 1.0);
        for _ in 0..HALVINGS {
            let middle = (above + within) / 2.0;
            match cost(middle) <= at_most {
                true => within = middle,
                false => above = middle,
            }
        }
        Ok(self.counts(within))
    }

    fn counts(&self, amount: f64) -> Vec<TokenCount> {
        let layers = self.reduced.layers.len();
        let by_number = self.reduced.rules.iter().all(|rule| matches!(rule, ReductionRule::MergePairs));
        if by_number {
            let all = self.step.graph.most_layer_tokens() as f64;
            return self.schedule.spread(amount * all, layers).into_iter().map(TokenCount::Less).collect();
        }
        let least = if self.reduced.rules.iter().any(pairs) { 0.5 } else { 0.0 };
        vec![TokenCount::Share(1.0 - amount * (1.0 - least)); layers]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_those_of_the_paper() {
        // The card's vector: r = 13, inflection -1, 12 layers.
        let falling = [26, 23, 21, 18, 16, 14, 11, 9, 7, 4, 2, 0];
        assert_eq!(Schedule::Decreasing.whole(13, 12), falling);
        let rising: Vec<usize> = Schedule::Increasing.whole(13, 12);
        assert_eq!(rising, falling.into_iter().rev().collect::<Vec<_>>());
        assert_eq!(Schedule::Constant.whole(13, 3), [13; 3]);
        assert_eq!(Schedule::Decreasing.whole(5, 1), [5]);
    }

    #[test]
    fn averages_are_spread_evenly() {
        assert_eq!(Schedule::Constant.spread(2.5, 4), [2, 3, 2, 3]);
        assert_eq!(Schedule::Constant.spread(13.0, 3), [13; 3]);
        assert_eq!(Schedule::Decreasing.spread(2.0, 3), [4, 2, 0]);
        assert_eq!(Schedule::Increasing.spread(2.0, 3), [0, 2, 4]);
    }
}
