//! The table that a run ends with.

use super::rows::{self, Spent, zeros};
use super::words::{at, left};
use crate::diagnostic::numbers::{Scale, bytes_range, count_range, share};
use crate::plan::{aligned, cut};
use crate::provenance::{Cost, Provenance};

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
    let mut lines = vec![["", "", "", "params", "MACs", "bytes", "zeros"].map(String::from)];
    lines.extend(model_rows(provenance, output));
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

fn model_rows(provenance: &Provenance, output: &str) -> Vec<[String; 7]> {
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
        rows.push([number, stage.verb.clone(), cut(&what), shown(0), shown(1), shown(2), zeros]);
        last = costs;
    }
    let [params, macs, bytes] = costs(&after.cost, &before.cost);
    rows.push([String::new(), "output".into(), cut(output), params, macs, bytes, zeros(after)]);
    let of_input = |is: u64, was: u64| left(is, was).map_or(String::new(), share);
    let (is, was) = (&after.cost, &before.cost);
    let shares = [(is.params, was.params), (is.macs, was.macs), (is.bytes, was.bytes)];
    let [params, macs, bytes] = shares.map(|(is, was)| of_input(is, was));
    let nothing = String::new;
    rows.push([nothing(), nothing(), "of the input".into(), params, macs, bytes, nothing()]);
    rows
}

fn costs(cost: &Cost, input: &Cost) -> [String; 3] {
    [
        count_range(cost.params, cost.params, Scale::of(input.params)),
        count_range(cost.macs, cost.macs, Scale::of(input.macs)),
        bytes_range(cost.bytes, cost.bytes, Scale::of(input.bytes)),
    ]
}

fn expectations(provenance: &Provenance) -> Vec<[String; 3]> {
    let row = |it: rows::Expected| {
        let (word, is) = if it.held { ("held", "") } else { ("failed", "is not ") };
        [word.to_string(), it.text, format!("{} {is}{} {}", it.value, it.op, it.bound)]
    };
    rows::expectations(provenance).into_iter().map(row).collect()
}
