//! A plan in the language of Graphviz.

use std::fmt::Write;

use petgraph::visit::{EdgeRef, IntoEdgeReferences};

use super::task::Need;
use super::{Plan, numbered};

/// Versions and findings as arrows from what is needed to who needs it.
pub fn dot(plan: &Plan) -> String {
    let numbers = numbered(plan);
    let mut dot =
        String::from("digraph plan {\n  rankdir = TB;\n  node [shape = box, fontname = \"sans-serif\"];\n");
    for &id in &plan.order {
        let label = format!("{} {}\n{}", numbers[&id], plan.tasks[id].kind(), plan.describe(id));
        writeln!(dot, "  t{} [label = \"{}\"];", numbers[&id], escaped(&label))
            .expect("writing to a string succeeds");
    }
    let mut edges: Vec<(usize, usize, Need)> = plan
        .tasks
        .edge_references()
        .map(|edge| (numbers[&edge.source()], numbers[&edge.target()], *edge.weight()))
        .collect();
    edges.sort_unstable();
    for (from, to, need) in edges {
        let style = if need == Need::Version { "solid" } else { "dashed" };
        writeln!(dot, "  t{from} -> t{to} [style = {style}];").expect("writing to a string succeeds");
    }
    dot.push_str("}\n");
    dot
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
