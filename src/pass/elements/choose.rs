//! Which elements stay, from their scores: for each axis alone, together, or under a bound on cost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use super::knapsack::Axes;
use crate::diagnostic::Diagnostic;
use crate::pass::{Context, CostMeasure, Finding, Kept, Work, WorkKind};

/// How many stay, and who competes with whom.
#[derive(Debug, Clone, PartialEq)]
pub enum Choice {
    /// That many of each axis, by path.
    Each(BTreeMap<String, usize>),
    /// That many of all axes together.
    Together { keep: usize, limits: BTreeMap<String, Limits> },
    /// As much score as a cost allows.
    Within { measure: CostMeasure, at_most: u64, batch: u64, limits: BTreeMap<String, Limits> },
}

impl Choice {
    /// Whether it chooses among the elements of an axis.
    fn names(&self, path: &str) -> bool {
        match self {
            Self::Each(keep) => keep.contains_key(path),
            Self::Together { limits, .. } | Self::Within { limits, .. } => limits.contains_key(path),
        }
    }
}

/// What holds for the number of elements that stay on an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// So many at least; a multiple of `multiple`.
    pub floor: usize,
    /// Elements stay in blocks of so many, by rank; divides the axis.
    pub multiple: usize,
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
            Choice::Within { measure: CostMeasure::Latency, at_most, .. } => {
                format!("the best within {}", CostMeasure::Latency.show(*at_most))
            }
            Choice::Within { measure, at_most, .. } => format!("the best within {at_most} {measure}"),
        }
    }

    fn arguments(&self) -> serde_json::Value {
        match &self.choice {
            Choice::Each(keep) => json!({ "each": keep }),
            Choice::Together { keep, limits } => json!({ "together": keep, "limits": limits }),
            Choice::Within { measure, at_most, batch, limits } => {
                json!({ "within": at_most, "measure": measure, "batch": batch, "limits": limits })
            }
        }
    }

    fn reads(&self) -> Vec<String> {
        Vec::new()
    }

    fn without(&self, gone: &BTreeSet<String>) -> Option<Arc<dyn Work>> {
        // Where axes compete, each has a say in what stays of the others.
        let Choice::Each(keep) = &self.choice else { return None };
        let left: BTreeMap<String, usize> = keep
            .iter()
            .filter(|(path, _)| !gone.contains(*path))
            .map(|(path, &it)| (path.clone(), it))
            .collect();
        (!left.is_empty()).then(|| Arc::new(Self { choice: Choice::Each(left) }) as Arc<dyn Work>)
    }

    fn run(&self, at: &Context<'_>) -> Result<Finding, Diagnostic> {
        let version = at.version;
        let Some(Finding::UnitScores(scores)) = at.found.last() else {
            unreachable!("elements are chosen by their scores")
        };
        // Others may have asked for scores of further axes.
        let scores: BTreeMap<String, Vec<f64>> = scores
            .iter()
            .filter(|(path, _)| self.choice.names(path))
            .map(|(path, scores)| (path.clone(), scores.clone()))
            .collect();
        let ranked: BTreeMap<&str, Vec<usize>> =
            scores.iter().map(|(path, scores)| (path.as_str(), ranking(scores))).collect();
        let mut curve = Vec::new();
        let counts = match &self.choice {
            Choice::Each(keep) => keep.clone(),
            Choice::Together { keep, limits } => together(&scores, *keep, limits),
            Choice::Within { measure, at_most, batch, limits } => {
                let axes = Axes::new(&version.graph, &scores, limits, *measure, *batch);
                curve = axes.curve();
                axes.counted(&axes.within(*at_most))
            }
        };
        let stay = counts.into_iter().map(|(path, count)| {
            let mut kept: Vec<usize> = ranked[path.as_str()][..count].to_vec();
            kept.sort_unstable();
            (path, kept)
        });
        Ok(Finding::Kept(Kept { stay: stay.collect(), curve }))
    }
}

/// Numbers of elements, best first; of equals the lower number first.
pub(super) fn ranking(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    order
}

/// Scores of blocks of `multiple` elements by rank, best first: what a choice adds or leaves out at once.
pub(super) fn blocks(scores: &[f64], multiple: usize) -> Vec<f64> {
    let ranked = ranking(scores);
    ranked.chunks(multiple).map(|block| block.iter().map(|&index| scores[index]).sum()).collect()
}

/// The counts that keep the best `keep` of all axes, after the floors; fewer where a block would be too many.
fn together(
    scores: &BTreeMap<String, Vec<f64>>,
    keep: usize,
    limits: &BTreeMap<String, Limits>,
) -> BTreeMap<String, usize> {
    let mut counts: BTreeMap<String, usize> =
        limits.iter().map(|(path, limits)| (path.clone(), limits.floor)).collect();
    let mut rest: Vec<(f64, &str, usize)> = Vec::new();
    for (path, scores) in scores {
        let Limits { floor, multiple } = limits[path];
        let free = blocks(scores, multiple).into_iter().skip(floor / multiple);
        rest.extend(free.map(|score| (score / multiple as f64, path.as_str(), multiple)));
    }
    // Stable: of equal scores the earlier axis keeps its own.
    rest.sort_by(|(a, ..), (b, ..)| b.total_cmp(a));
    let mut left = keep.saturating_sub(counts.values().sum());
    for (_, path, multiple) in rest {
        if multiple > left {
            break;
        }
        left -= multiple;
        *counts.get_mut(path).expect("limits name every axis") += multiple;
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
        let limits = Limits { floor: 1, multiple: 1 };
        let limits = BTreeMap::from([("a".to_string(), limits), ("b".to_string(), limits)]);
        let counts = together(&scores, 3, &limits);
        assert_eq!(counts, BTreeMap::from([("a".to_string(), 2), ("b".to_string(), 1)]));
        assert_eq!(together(&scores, 5, &limits)["b"], 2);
    }

    #[test]
    fn blocks_hold_elements_by_rank() {
        assert_eq!(blocks(&[1.0, 4.0, 3.0, 2.0], 2), [7.0, 3.0]);
    }
}
