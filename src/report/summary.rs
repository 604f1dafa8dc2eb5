//! The table that a run ends with.

use super::rows::{self, Spent, zeros};
use super::words::{at, left};
use crate::diagnostic::numbers::share;
use crate::graph::Between;
use crate::pass::CostMeasure;
use crate::plan::{aligned, cut, line};
use crate::provenance::Provenance;

/// ```text
///                                     params   MACs     bytes     zeros
///   input    models/minilm, 128 tokens  22.7 M   1.43 G   90.9 MB   0 %
/// 1 prune    heads, neurons …           15.5 M   0.86 G   62.0 MB
/// 2 sparsify weights …                  same     same     same
///   output   out/minilm-60              15.5 M   0.86 G   62.0 MB   34.3 %
///                                       68.3 %   60 %     68.2 %
/// held     flops <= 60% of input        1.71 G <= 1.71 G
/// ```
pub fn summary(provenance: &Provenance, output: &str) -> String {
    let columns: Vec<CostMeasure> = CostMeasure::columns(provenance.before.cost.nanoseconds > 0).collect();
    let titles = columns.iter().map(|measure| measure.title().to_string());
    let mut lines = vec![line(["", "", ""].map(String::from), titles, "zeros".into())];
    lines.extend(model_rows(provenance, output, &columns));
    let mut text = aligned(&lines, 2);
    let checked = expectations(provenance);
    let measured: Vec<[String; 3]> = rows::measures(provenance)
        .into_iter()
        .map(|it| ["measured".to_string(), it.text, format!("{} after {}", it.value, it.after)])
        .collect();
    if !(checked.is_empty() && measured.is_empty()) {
        text.push('\n');
        text.push_str(&aligned(&[measured, checked].concat(), 1));
    }
    text
}

fn model_rows(provenance: &Provenance, output: &str, columns: &[CostMeasure]) -> Vec<Vec<String>> {
    let (before, after) = (&provenance.before, &provenance.after);
    let stages = rows::stages(provenance);
    let mut rows = Vec::new();
    let mut last: Vec<String> = Vec::new();
    for stage in &stages {
        let costs: Vec<String> = stage.costs.iter().map(|Spent { value, .. }| value.clone()).collect();
        let shown = |column: usize| match (last.get(column), costs.get(column)) {
            (Some(last), Some(now)) if last == now => "same".to_string(),
            (_, now) => now.cloned().unwrap_or_default(),
        };
        let input = stage.number == 0;
        let number = if input { String::new() } else { stage.number.to_string() };
        let what = if input { format!("{}, {}", stage.text, at(provenance.at)) } else { stage.text.clone() };
        let zeros = if input { zeros(before) } else { String::new() };
        rows.push(line([number, stage.verb.clone(), cut(&what)], (0..columns.len()).map(shown), zeros));
        last = costs;
    }
    let (is, was) = (&after.cost, &before.cost);
    let shown = |measure: &CostMeasure| measure.show_range(Between::exact(is.of(*measure)), was.of(*measure));
    let front = [String::new(), "output".into(), cut(output)];
    rows.push(line(front, columns.iter().map(shown), zeros(after)));
    let of_input =
        |measure: &CostMeasure| left(is.of(*measure), was.of(*measure)).map_or(String::new(), share);
    let front = [String::new(), String::new(), "of the input".into()];
    rows.push(line(front, columns.iter().map(of_input), String::new()));
    rows
}

fn expectations(provenance: &Provenance) -> Vec<[String; 3]> {
    let row = |it: rows::Expected| {
        let (word, is) = if it.held { ("held", "") } else { ("failed", "is not ") };
        [word.to_string(), it.text, format!("{} {is}{} {}", it.value, it.op, it.bound)]
    };
    rows::expectations(provenance).into_iter().map(row).collect()
}
