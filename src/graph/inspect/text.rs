//! The tree in columns.

use super::super::between::Between;
use super::super::op::Op;
use super::super::{Cost, Graph};
use super::axes::places;
use super::lines::{Line, lines};
use crate::diagnostic::numbers::{self, Scale};

/// One row: the tree, the weight, parameters, products.
type Row = [String; 4];

pub fn text(graph: &Graph, batch: u64) -> String {
    let mut rows = vec![["", "", "params", "MACs"].map(String::from)];
    for line in lines(graph, batch) {
        rows.push(row(line.title(), &line));
        push_below(&mut rows, &line.below, "");
    }
    format!("{}\n\n{}\n{}", summary(graph, batch), columns(&rows), axes(graph))
}

/// `bert: 22.7 M params, 90.9 MB; 1.43 G MACs, 2.87 G FLOPs at 128 tokens`
fn summary(graph: &Graph, batch: u64) -> String {
    let cost = graph.cost(batch);
    let Cost { params, macs, bytes, .. } = cost;
    let bytes = numbers::bytes_range(bytes.min, bytes.max, Scale::of(bytes.max));
    let active =
        graph.active_params().map(|active| format!(" ({} active)", count(active))).unwrap_or_default();
    let mut input: Vec<String> = Vec::new();
    if batch > 1 {
        input.push(format!("{batch} x"));
    }
    match graph.text_tokens() {
        Some(tokens) if graph.reads_picture() => {
            input.push(format!("{} tokens and a picture of {}", graph.extent(tokens), sides(graph)));
        }
        Some(tokens) => input.push(format!("{} tokens", graph.extent(tokens))),
        None => input.push(format!("a picture of {}", sides(graph))),
    }
    format!(
        "{}: {} params{active}, {bytes}; {} MACs, {} FLOPs for {}",
        graph.family,
        count(params),
        count(macs),
        count(cost.flops()),
        input.join(" ")
    )
}

/// `224 x 224`
fn sides(graph: &Graph) -> String {
    let picture = graph.ops.node_weights().find(|made| made.op == Op::Pixels);
    let sides = picture.and_then(|made| made.value.get(1..)).unwrap_or_default();
    let sides: Vec<String> = sides.iter().map(|side| graph.dim_extent(side).to_string()).collect();
    sides.join(" x ")
}

fn push_below(rows: &mut Vec<Row>, below: &[Line], indent: &str) {
    for (at, line) in below.iter().enumerate() {
        let last = at + 1 == below.len();
        let (branch, deeper) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        rows.push(row(format!("{indent}{branch}{}", line.title()), line));
        push_below(rows, &line.below, &format!("{indent}{deeper}"));
    }
}

fn row(title: String, line: &Line) -> Row {
    let times = match line.times() {
        1 => String::new(),
        times => format!("{times} x "),
    };
    let of =
        |number: Between| if number.max == 0 { String::new() } else { format!("{times}{}", count(number)) };
    [title, line.what.clone(), of(line.params), of(line.macs)]
}

fn count(number: Between) -> String {
    numbers::count_range(number.min, number.max, Scale::of(number.max))
}

/// Texts to the left, numbers to the right.
fn columns(rows: &[Row]) -> String {
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths = [0, 1, 2, 3].map(width);
    let line = |[title, what, params, macs]: &Row| {
        let [first, second, third, fourth] = widths;
        let line = format!("{title:first$}  {what:second$}  {params:>third$}  {macs:>fourth$}");
        format!("{}\n", line.trim_end())
    };
    rows.iter().map(line).collect()
}

/// `layers[*].attention.heads    12  num_attention_heads`
fn axes(graph: &Graph) -> String {
    let extent =
        |min: usize, max: usize| if min == max { format!("{min}") } else { format!("{min} to {max}") };
    let head = ["axes", "", "by the config"].map(String::from);
    let rows = places(graph).into_iter();
    let rows = rows.map(|place| [place.path, extent(place.min, place.max), place.said]);
    let rows: Vec<[String; 3]> = std::iter::once(head).chain(rows).collect();
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let (first, second) = (width(0), width(1));
    let line = |[path, extent, key]: &[String; 3]| {
        format!("{}\n", format!("{path:first$}  {extent:>second$}  {key}").trim_end())
    };
    rows.iter().map(line).collect()
}
