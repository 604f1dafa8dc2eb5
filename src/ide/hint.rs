//! What steps cost, beside them: parameters, products and bytes after each, and the change against the input model.

use super::Analysis;
use crate::check::Seen;
use crate::graph::{Between, Cost};
use crate::pass::CostMeasure;
use crate::plan;

/// A text to show behind an offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    pub offset: usize,
    pub text: String,
    /// The same at length, for whoever asks.
    pub more: String,
}

/// A hint behind the model and behind each step that could be done.
pub fn hints(analysis: &Analysis) -> Vec<Hint> {
    let Some(model) = &analysis.examined.model else { return Vec::new() };
    let input = &model.cost;
    let mut hints = Vec::new();
    if let Some(offset) = model_end(analysis) {
        let text = costs(input, None);
        let more = format!("{}, as it is", model.graph.family);
        hints.push(Hint { offset, text, more });
    }
    let mut seen: Vec<&Seen> = analysis.examined.seen.iter().filter(|seen| seen.after.is_some()).collect();
    // In a sweep one statement is seen for each value: the hint spans them all.
    seen.sort_by_key(|seen| seen.span.start);
    for same in seen.chunk_by(|left, right| left.span == right.span) {
        let after = same.iter().filter_map(|seen| Some(seen.after.as_ref()?.1)).reduce(hull);
        let before = same.iter().map(|seen| seen.cost_before).reduce(hull);
        let (Some(after), Some(before)) = (after, before) else { continue };
        let changed = [after.params, after.macs, after.bytes] != [before.params, before.macs, before.bytes];
        let text = if changed { costs(&after, Some(input)) } else { "same cost".to_owned() };
        let more = format!("after this step: {}", costs(&after, Some(input)));
        hints.push(Hint { offset: same[0].span.end, text, more });
    }
    hints
}

/// The title of a lens above the recipe: from where to where, once it is without errors.
pub fn lens(analysis: &Analysis) -> Option<Hint> {
    let typed = analysis.examined.typed.as_ref()?;
    let last = analysis.examined.seen.iter().rev().find_map(|seen| seen.after.as_ref());
    let after = last.map_or(typed.model.cost, |(_, after)| *after);
    let text = format!("show plan: {}", costs(&after, Some(&typed.model.cost)));
    Some(Hint { offset: 0, text, more: String::new() })
}

/// The plan's table and tasks, as `tamis plan` prints them; `None` while there are errors.
pub fn plan_text(analysis: &Analysis) -> Option<String> {
    let plan = plan::build(analysis.examined.typed.as_ref()?);
    Some(format!("{}\n{}\n{}", plan::table(&plan), plan::text(&plan), plan::needs_text(&plan)))
}

/// The end of the `model` statement.
fn model_end(analysis: &Analysis) -> Option<usize> {
    use crate::syntax::ast::StatementKind::Model;
    let statements = &analysis.examined.recipe.statements;
    let model = statements.iter().find(|statement| matches!(statement.kind, Model { .. }))?;
    Some(model.span.end)
}

/// `22.7 M params (-12 %), 1.43 G MACs (-30 %), 90.9 MB (-12 %)`; without an input no changes.
fn costs(cost: &Cost, input: Option<&Cost>) -> String {
    let one = |measure: CostMeasure| {
        let now = measure.of(cost);
        let change = input.map(|input| change(now, measure.of(input))).unwrap_or_default();
        let unit = match measure {
            CostMeasure::Bytes | CostMeasure::Latency => String::new(),
            _ => format!(" {}", measure.title()),
        };
        format!("{}{unit}{change}", measure.show_range(now, now.max))
    };
    CostMeasure::columns(cost.nanoseconds.max > 0).map(one).collect::<Vec<_>>().join(", ")
}

/// ` (-40 %)`, ` (-40 to -12 %)`; nothing where nothing changed.
fn change(now: Between, input: Between) -> String {
    let percent = |now: u64| (now as f64 / input.max.max(1) as f64 - 1.0) * 100.0;
    let (low, high) = (percent(now.min), percent(now.max));
    let shown = |percent: f64| {
        let rounded = if percent.abs() < 9.95 { format!("{percent:+.1}") } else { format!("{percent:+.0}") };
        rounded.replace("+0.0", "0").replace("-0.0", "0")
    };
    match (shown(low), shown(high)) {
        (low, high) if low == high && high == "0" => String::new(),
        (low, high) if low == high => format!(" ({high} %)"),
        (low, high) => format!(" ({low} to {high} %)"),
    }
}

/// The smallest bounds that hold both.
fn hull(left: Cost, right: Cost) -> Cost {
    let both = |left: Between, right: Between| Between {
        min: left.min.min(right.min),
        max: left.max.max(right.max),
    };
    Cost {
        params: both(left.params, right.params),
        macs: both(left.macs, right.macs),
        bytes: both(left.bytes, right.bytes),
        activation_bytes: both(left.activation_bytes, right.activation_bytes),
        nanoseconds: both(left.nanoseconds, right.nanoseconds),
    }
}
