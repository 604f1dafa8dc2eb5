//! What each step costs and leaves, as a table for people.

use super::{Needs, Plan, Step, needs};
use crate::diagnostic::numbers::{self, Scale};
use crate::graph::{Between, Cost};
use crate::pass::{CostBound, CostMeasure};

/// Longer texts are cut, so that a row stays on a line.
const TEXT: usize = 48;

/// ```text
///                                 params         MACs      bytes
///   input    models/minilm        22.7 M         1.43 G    90.9 MB
/// 1 prune    heads, neurons …     15.0-16.1 M    0.86 G    60.0-64.1 MB   flops <= 1.71 G
/// 2 sparsify weights …            same           same      same           12 weights 2:4
/// ```
pub fn table(plan: &Plan) -> String {
    let scales = Scales::of(&plan.model.cost);
    let mut rows = vec![["", "", "", "params", "MACs", "bytes", ""].map(String::from)];
    let [params, macs, bytes] = scales.show(&plan.model.cost);
    let input = format!("{}, {}", plan.model.path.display(), measured_at(plan));
    rows.push([String::new(), "input".into(), cut(&input), params, macs, bytes, String::new()]);
    for step in &plan.steps {
        rows.push(row(step, &scales));
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

fn row(step: &Step, scales: &Scales) -> [String; 7] {
    let after = scales.show(&step.after);
    let costs = [
        (step.before.params, step.after.params),
        (step.before.macs, step.after.macs),
        (step.before.bytes, step.after.bytes),
    ];
    let mut shown = after.into_iter().zip(costs);
    let mut next = || {
        shown.next().map_or(
            String::new(),
            |(text, (before, after))| if before == after { "same".into() } else { text },
        )
    };
    let [params, macs, bytes] = [next(), next(), next()];
    let bound = step.bound.map(|bound| format!("{} <= {}", bound.measure, at_most(bound)));
    let gain = Some(step.gain.clone()).filter(|gain| !gain.is_empty());
    let remark = bound.into_iter().chain(gain).collect::<Vec<_>>().join(", ");
    let rest = step.text.strip_prefix(step.verb).unwrap_or(&step.text).trim();
    let branch: String = step.branch.iter().map(|label| format!("{label}: ")).collect();
    [step.number.to_string(), step.verb.into(), cut(&format!("{branch}{rest}")), params, macs, bytes, remark]
}

fn at_most(bound: CostBound) -> String {
    match bound.measure {
        CostMeasure::Bytes => numbers::bytes(bound.at_most),
        _ => numbers::count(bound.at_most),
    }
}

/// One scale a column, the input's, so that rows compare at sight.
struct Scales {
    params: Scale,
    macs: Scale,
    bytes: Scale,
}

impl Scales {
    fn of(cost: &Cost) -> Self {
        let scale = |number: Between| Scale::of(number.max);
        Self { params: scale(cost.params), macs: scale(cost.macs), bytes: scale(cost.bytes) }
    }

    fn show(&self, cost: &Cost) -> [String; 3] {
        let count = |number: Between, scale| numbers::count_range(number.min, number.max, scale);
        let bytes = numbers::bytes_range(cost.bytes.min, cost.bytes.max, self.bytes);
        [count(cost.params, self.params), count(cost.macs, self.macs), bytes]
    }
}

/// The text, or its beginning where a row would not stay on a line.
pub fn cut(text: &str) -> String {
    match text.char_indices().nth(TEXT) {
        Some((at, _)) => format!("{}…", text[..at].trim_end()),
        None => text.into(),
    }
}

/// Columns as wide as their widest cell, the first ones one space apart, the others three.
pub fn aligned<const N: usize>(rows: &[[String; N]], close: usize) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
            let gap = if column < close { " " } else { "   " };
            line.push_str(&format!("{cell:<width$}{gap}"));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
