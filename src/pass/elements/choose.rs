//! Which elements stay, from their scores: for each axis alone, together, or under a bound on cost.

use std::collections::BTreeMap;

use serde_json::json;

use super::knapsack::{Axes, within_budget};
use crate::diagnostic::Diagnostic;
use crate::pass::{CostMeasure, Finding, Work, WorkKind};
use crate::weights::Version;

/// How many stay, and who competes with whom.
#[derive(Debug, Clone, PartialEq)]
pub enum Choice {
    /// That many of each axis, by path.
    Each(BTreeMap<String, usize>),
    /// That many of all axes together, but at least `floor` of each.
    Together { keep: usize, floor: BTreeMap<String, usize> },
    /// As much score as a cost allows, at least `floor` of each.
    Within { measure: CostMeasure, at_most: u64, batch: u64, floor: BTreeMap<String, usize> },
}

/// Chooses the elements with the highest scores. Of equal scores the lower number stays.
#[derive(Debug)]
pub struct ChooseElements {
    pub choice: Choice,
}

impl Work for ChooseElements {
    fn kind(&self) -> WorkKind {
        WorkKind::Select
    }

    fn describe(&self) -> String {
        match &self.choice {
            Choice::Each(keep) => format!("the best of each of {} axes", keep.len()),
            Choice::Together { keep, .. } => format!("the best {keep} of all"),
            Choice::Within { measure, at_most, .. } => format!("the best within {at_most} {measure}"),
        }
    }

    fn arguments(&self) -> serde_json::Value {
        match &self.choice {
            Choice::Each(keep) => json!({ "each": keep }),
            Choice::Together { keep, floor } => json!({ "together": keep, "floor": floor }),
            Choice::Within { measure, at_most, batch, floor } => {
                json!({ "within": at_most, "measure": measure, "batch": batch, "floor": floor })
            }
        }
    }

    fn reads(&self) -> Vec<String> {
        Vec::new()
    }

    fn run(&self, version: &Version, before: Option<&Finding>) -> Result<Finding, Diagnostic> {
        let Some(Finding::UnitScores(scores)) = before else {
            unreachable!("elements are chosen by their scores")
        };
        let ranked: BTreeMap<&str, Vec<usize>> =
            scores.iter().map(|(path, scores)| (path.as_str(), ranking(scores))).collect();
        let counts = match &self.choice {
            Choice::Each(keep) => keep.clone(),
            Choice::Together { keep, floor } => together(scores, *keep, floor),
            Choice::Within { measure, at_most, batch, floor } => {
                let axes = Axes::new(&version.graph, scores, &ranked, floor, *measure, *batch);
                within_budget(&axes, *at_most)
            }
        };
        let kept = counts.into_iter().map(|(path, count)| {
            let mut kept: Vec<usize> = ranked[path.as_str()][..count].to_vec();
            kept.sort_unstable();
            (path, kept)
        });
        Ok(Finding::Kept(kept.collect()))
    }
}

/// Numbers of elements, best first; of equals the lower number first.
pub(super) fn ranking(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    order
}

/// The counts that keep the best `keep` of all axes, after `floor` of each.
fn together(
    scores: &BTreeMap<String, Vec<f64>>,
    keep: usize,
    floor: &BTreeMap<String, usize>,
) -> BTreeMap<String, usize> {
    let mut counts = floor.clone();
    let mut rest: Vec<(f64, &str)> = Vec::new();
    for (path, scores) in scores {
        let ranked = ranking(scores);
        let free = ranked.iter().skip(floor[path]);
        rest.extend(free.map(|&index| (scores[index], path.as_str())));
    }
    // Stable: of equal scores the earlier axis keeps its own.
    rest.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let forced: usize = floor.values().sum();
    for (_, path) in rest.into_iter().take(keep.saturating_sub(forced)) {
        *counts.get_mut(path).expect("floors name every axis") += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_scores_the_lower_number_stays() {
        assert_eq!(ranking(&[1.0, 3.0, 1.0, 3.0]), [1, 3, 0, 2]);
    }

    #[test]
    fn competing_axes_keep_their_floor() {
        let scores =
            BTreeMap::from([("a".to_string(), vec![9.0, 8.0, 7.0]), ("b".to_string(), vec![1.0, 2.0])]);
        let floor = BTreeMap::from([("a".to_string(), 1), ("b".to_string(), 1)]);
        let counts = together(&scores, 3, &floor);
        assert_eq!(counts, BTreeMap::from([("a".to_string(), 2), ("b".to_string(), 1)]));
        assert_eq!(together(&scores, 5, &floor)["b"], 2);
    }
}
