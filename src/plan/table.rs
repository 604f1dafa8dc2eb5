//! What each step costs and leaves, as a table for people.

use super::{Needs, Plan, Step, needs};
use crate::diagnostic::numbers;
use crate::graph::Cost;
use crate::pass::CostMeasure;

/// Longer texts are cut, so that a row stays on a line.
const TEXT: usize = 48;

/// ```text
///                                 params         MACs      bytes
///   input    models/minilm        22.7 M         1.43 G    90.9 MB
/// 1 prune    heads, neurons …     15.0-16.1 M    0.86 G    60.0-64.1 MB   flops <= 1.71 G
/// 2 sparsify weights …            same           same      same           12 weights 2:4
/// ```
pub fn table(plan: &Plan) -> String {
    let input = &plan.model.cost;
    let columns: Vec<CostMeasure> = CostMeasure::columns(input.nanoseconds.max > 0).collect();
    let shown = |measure: &CostMeasure| measure.show_range(measure.of(input), measure.of(input).max);
    let titles = columns.iter().map(|measure| measure.title().to_string());
    let mut rows = vec![line(["", "", ""].map(String::from), titles, String::new())];
    let what = format!("{}, {}", plan.model.path.display(), measured_at(plan));
    rows.push(line([String::new(), "input".into(), cut(&what)], columns.iter().map(shown), String::new()));
    for step in &plan.steps {
        rows.push(row(step, &columns, input));
    }
    aligned(&rows, 2)
}

/// `needs 58.0 MB memory, 64.0 MB disk; result loads in: tamis, transformers`, and why not where not; a line a save.
pub fn needs_text(plan: &Plan) -> String {
    let Needs { memory, output, scratch } = needs(plan);
    let disk = numbers::bytes(output + scratch);
    let mut text = format!("needs {} memory, {disk} disk", numbers::bytes(memory));
    let several = plan.saves().count() > 1;
    for (_, saving) in plan.saves() {
        let what = if several { format!("\n{}", saving.path.display()) } else { "; result".into() };
        match &saving.loads {
            Ok(_) => text.push_str(&format!("{what} loads in: tamis, transformers")),
            Err(reasons) => {
                text.push_str(&format!("{what} loads in: tamis, transformers with the modeling file"));
                for reason in reasons {
                    text.push_str(&format!("\n      `{}` cannot say it: {}", reason.key, reason.why));
                }
            }
        }
    }
    text.push('\n');
    text
}

/// `128 tokens`, `batch 8, 128 tokens`
fn measured_at(plan: &Plan) -> String {
    let tokens = plan.model.graph.text_tokens().map(|_| format!("{} tokens", plan.at.tokens));
    let batch = (plan.at.batch > 1).then(|| format!("batch {}", plan.at.batch));
    let at: Vec<String> = batch.into_iter().chain(tokens).collect();
    if at.is_empty() { "1 picture".into() } else { at.join(", ") }
}

fn row(step: &Step, columns: &[CostMeasure], input: &Cost) -> Vec<String> {
    let cost = |measure: &CostMeasure| {
        let (before, after) = (measure.of(&step.before), measure.of(&step.after));
        match before == after {
            true => "same".into(),
            false => measure.show_range(after, measure.of(input).max),
        }
    };
    let bound = step.bound.map(|bound| format!("{} <= {}", bound.measure, bound.measure.show(bound.at_most)));
    let gain = Some(step.gain.clone()).filter(|gain| !gain.is_empty());
    let remark = bound.into_iter().chain(gain).collect::<Vec<_>>().join(", ");
    let rest = step.text.strip_prefix(step.verb).unwrap_or(&step.text).trim();
    let branch: String = step.branch.iter().map(|label| format!("{label}: ")).collect();
    let front = [step.number.to_string(), step.verb.into(), cut(&format!("{branch}{rest}"))];
    line(front, columns.iter().map(cost), remark)
}

/// What stands in front of the costs, the costs, and what stands behind.
pub fn line(front: [String; 3], costs: impl Iterator<Item = String>, behind: String) -> Vec<String> {
    front.into_iter().chain(costs).chain([behind]).collect()
}

/// The text, or its beginning where a row would not stay on a line.
pub fn cut(text: &str) -> String {
    match text.char_indices().nth(TEXT) {
        Some((at, _)) => format!("{}…", text[..at].trim_end()),
        None => text.into(),
    }
}

/// Columns as wide as their widest cell, the first ones one space apart, the others three.
pub fn aligned<R: AsRef<[String]>>(rows: &[R], close: usize) -> String {
    let columns = rows.iter().map(|row| row.as_ref().len()).max().unwrap_or(0);
    let cell = |row: &R, column: usize| row.as_ref().get(column).map_or(0, |cell| cell.chars().count());
    let width = |column: usize| rows.iter().map(|row| cell(row, column)).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.as_ref().iter().zip(&widths).enumerate() {
            let gap = if column < close { " " } else { "   " };
            line.push_str(&format!("{cell:<width$}{gap}"));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
