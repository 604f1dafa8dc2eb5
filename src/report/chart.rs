//! Geometry of the drawings, in percent of their width and height, so that any size shows the whole.

use serde::Serialize;

use crate::diagnostic::numbers::share;
use crate::pass::{Point, Traded, Training};
use crate::provenance::{Kept, Step};

/// Up to so many elements each has a bar of its own.
pub(super) const BARS: usize = 64;
const BINS: usize = 48;

/// A bar on a track from 0 to 100.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Bar {
    pub fill: f64,
    /// From where to where the end of the bar could have been.
    pub band: Option<Rect>,
    /// A limit.
    pub tick: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Rect {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
    /// Whether it stands for what was kept.
    pub kept: bool,
}

/// Scores of the elements of an axis, and which of them stayed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Scores {
    pub rects: Vec<Rect>,
    /// Whether a bar is a number of elements, not an element.
    pub binned: bool,
    pub least: String,
    pub most: String,
}

/// What budgets buy: costs to the right, the share of the scores that stays upwards.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Curve {
    /// `x,y x,y …`
    pub line: String,
    /// Where the step's budget is.
    pub x: f64,
    pub y: f64,
    /// The least cost, and all of it.
    pub least: String,
    pub most: String,
    /// `at 0.86 G macs 91 % of the scores stay`
    pub says: String,
}

/// The curve of a step that had a budget.
pub(super) fn curve(step: &Step) -> Option<Curve> {
    let (budget, [first, .., last]) = (step.budget?, step.curve.as_slice()) else { return None };
    let measure = budget.measure;
    let x = |cost: u64| within(cost as f64, first.cost as f64, last.cost as f64) * 100.0;
    let points = step.curve.iter().map(|point| {
        let y = (1.0 - point.score).clamp(0.0, 1.0) * 100.0;
        format!("{:.2},{y:.2}", x(point.cost))
    });
    let at = step.after.of(measure);
    let score = between(&step.curve, at);
    let (cost, stays) = (measure.show(at), share((score * 1000.0).round() / 1000.0));
    Some(Curve {
        line: points.collect::<Vec<_>>().join(" "),
        x: x(at),
        y: (1.0 - score) * 100.0,
        least: measure.show(first.cost),
        most: measure.show(last.cost),
        says: format!("at {cost} {} about {stays} of the scores stay", measure.title()),
    })
}

/// Losses of a training: steps to the right, the loss upwards.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Losses {
    /// `x,y x,y …`
    pub line: String,
    /// The same on samples that were held out; empty where none were.
    pub held_out: String,
    pub least: String,
    pub most: String,
    pub steps: String,
    /// `the loss of 200 steps, from 1.2 to 0.4`
    pub says: String,
}

/// The curve of a training of more than one point.
pub(super) fn losses(training: &Training) -> Option<Losses> {
    let [first, .., last] = training.curve.as_slice() else { return None };
    let all = || training.curve.iter().chain(&training.held_out).map(|point| point.loss);
    let (least, most) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
    let line = |points: &[Point]| {
        let place = |point: &Point| {
            let x = within(point.step as f64, 0.0, training.steps as f64) * 100.0;
            format!("{x:.2},{:.2}", 100.0 - within(point.loss, least, most) * 100.0)
        };
        points.iter().map(place).collect::<Vec<_>>().join(" ")
    };
    Some(Losses {
        line: line(&training.curve),
        held_out: line(&training.held_out),
        least: short(least),
        most: short(most),
        steps: training.steps.to_string(),
        says: format!(
            "the loss of {} steps, from {} to {}",
            training.steps,
            short(first.loss),
            short(last.loss)
        ),
    })
}

/// The score at a cost, between the points of a curve.
fn between(curve: &[Traded], cost: u64) -> f64 {
    let next = curve.partition_point(|point| point.cost < cost).clamp(1, curve.len() - 1);
    let (from, to) = (curve[next - 1], curve[next]);
    from.score + within(cost as f64, from.cost as f64, to.cost as f64) * (to.score - from.score)
}

impl Bar {
    /// `part` of `whole`.
    pub(super) fn share(part: u64, whole: u64) -> Self {
        Self { fill: percent(part, whole), band: None, tick: None }
    }
}

/// Bars of the scores; `None` where the step did not score.
pub(super) fn scores(axis: &Kept) -> Option<Scores> {
    let scores = axis.scores.as_deref()?;
    let scored: Vec<(f64, bool)> =
        scores.iter().enumerate().map(|(at, &it)| (it, axis.kept.binary_search(&at).is_ok())).collect();
    let finite = || scores.iter().copied().filter(|score| score.is_finite());
    let (least, most) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    if least > most {
        return None;
    }
    if scored.len() <= BARS {
        let rects = bars(&scored, least.min(0.0), most);
        return Some(Scores { rects, binned: false, least: short(least), most: short(most) });
    }
    // A few scores far above all others would leave no room to see the rest.
    let top = nearly_largest(finite().collect());
    let rects = bins(&scored, least, top);
    let most = if top < most { format!("{} and more", short(top)) } else { short(most) };
    Some(Scores { rects, binned: true, least: short(least), most })
}

/// A bar an element, in the order of their numbers.
fn bars(scored: &[(f64, bool)], least: f64, most: f64) -> Vec<Rect> {
    let step = 100.0 / scored.len() as f64;
    let bar = |(at, &(score, kept)): (usize, &(f64, bool))| {
        // A score of nothing still shows that there is an element.
        let height = (within(score, least, most) * 100.0).max(2.0);
        rect(at as f64 * step, 100.0 - height, step * 0.8, height, kept)
    };
    scored.iter().enumerate().map(bar).collect()
}

/// How many elements have which score: those that went below those that stayed.
fn bins(scored: &[(f64, bool)], least: f64, most: f64) -> Vec<Rect> {
    let mut counts = [[0_usize; 2]; BINS];
    for &(score, kept) in scored {
        let bin = (within(score, least, most) * BINS as f64) as usize;
        counts[bin.min(BINS - 1)][usize::from(kept)] += 1;
    }
    let tallest = counts.iter().map(|[gone, kept]| gone + kept).max().unwrap_or(1).max(1);
    let step = 100.0 / BINS as f64;
    let height = |count: usize| count as f64 * 100.0 / tallest as f64;
    let column = |(at, &[gone, kept]): (usize, &[usize; 2])| {
        let (x, width) = (at as f64 * step, step * 0.86);
        let gone_bar = rect(x, 100.0 - height(gone), width, height(gone), false);
        let kept_bar = rect(x, 100.0 - height(gone + kept), width, height(kept), true);
        [gone_bar, kept_bar].into_iter().filter(|rect| rect.height > 0.0)
    };
    counts.iter().enumerate().flat_map(column).collect()
}

/// What 99 of 100 do not exceed.
fn nearly_largest(mut scores: Vec<f64>) -> f64 {
    scores.sort_by(f64::total_cmp);
    scores[(scores.len() - 1) * 99 / 100]
}

/// Where a number lies between two, from 0 to 1. Of equal ones it is the upper.
fn within(number: f64, least: f64, most: f64) -> f64 {
    match most - least {
        range if range > 0.0 && number.is_finite() => ((number - least) / range).clamp(0.0, 1.0),
        _ if number == f64::INFINITY || number == most => 1.0,
        _ => 0.0,
    }
}

pub(super) fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { round((part as f64 / whole as f64 * 100.0).min(100.0)) }
}

fn rect(x: f64, y: f64, width: f64, height: f64, kept: bool) -> Rect {
    Rect { x: round(x), y: round(y), width: round(width), height: round(height), kept }
}

/// Two digits behind the point: finer than a pixel, and the same text on every machine.
fn round(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

/// Three digits of a score.
fn short(score: f64) -> String {
    match score.abs() {
        size if size == 0.0 || (0.001..100_000.0).contains(&size) => {
            let text = format!("{score:.3}");
            text.trim_end_matches('0').trim_end_matches('.').to_string()
        }
        _ => format!("{score:.2e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Role;

    fn axis(scores: Vec<f64>, kept: Vec<usize>) -> Kept {
        let of = scores.len();
        Kept { axis: "a".into(), role: Role::Neurons, of, kept, scores: Some(scores), merged: None }
    }

    #[test]
    fn each_of_a_few_elements_has_a_bar() {
        let chart = scores(&axis(vec![1.0, 4.0, 0.0], vec![0, 1])).expect("there are scores");
        let heights: Vec<(f64, bool)> = chart.rects.iter().map(|rect| (rect.height, rect.kept)).collect();
        assert_eq!(heights, [(25.0, true), (100.0, true), (2.0, false)]);
        assert_eq!((chart.least.as_str(), chart.most.as_str()), ("0", "4"));
    }

    #[test]
    fn many_elements_are_counted_by_score() {
        let scored: Vec<f64> = (0..96).map(f64::from).collect();
        let chart = scores(&axis(scored, (48..96).collect())).expect("there are scores");
        assert!(chart.binned);
        let ends = |kept: bool| chart.rects.iter().filter(move |rect| rect.kept == kept).map(|rect| rect.x);
        let (last_gone, first_kept) =
            (ends(false).fold(0.0, f64::max), ends(true).fold(f64::INFINITY, f64::min));
        assert!(last_gone <= first_kept, "{chart:?}");
        assert_eq!(chart.most, "94 and more");
    }

    #[test]
    fn odd_scores_are_drawn_all_the_same() {
        for odd in [vec![0.0; 3], vec![-1.0, -2.0], vec![f64::INFINITY, 1.0], vec![1e-9; 100]] {
            let chart = scores(&axis(odd, vec![0])).expect("there are scores");
            let inside = |rect: &Rect| rect.y >= 0.0 && rect.height <= 100.0;
            assert!(chart.rects.iter().all(inside), "{chart:?}");
        }
        assert_eq!(scores(&axis(Vec::new(), Vec::new())), None);
    }

    #[test]
    fn scores_have_three_digits() {
        assert_eq!([0.0, 0.5, 12.3456, 1e-7, 3e9].map(short), ["0", "0.5", "12.346", "1.00e-7", "3.00e9"]);
    }
}
