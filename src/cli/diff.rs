//! `tamis diff A B`: what changed between two models.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tamis::compare::{self, AxisChange, Change, Comparison, Model, TensorChange, TensorSide, Totals};
use tamis::diagnostic::numbers::{bytes, count, share, things};
use tamis::diagnostic::{Diagnostic, Diagnostics};
use tamis::graph::Graph;

use super::answer::{Answer, Format, Session};
use super::settings::InputSize;
use super::table::{Align, table};

/// Compare two models: costs, axes, and every tensor
#[derive(Debug, clap::Args)]
pub struct Diff {
    /// A directory, or a name in the local Hugging Face cache
    #[arg(value_name = "A")]
    a: PathBuf,
    /// The one to compare with it
    #[arg(value_name = "B")]
    b: PathBuf,
    #[command(flatten)]
    size: InputSize,
    /// List the tensors that are the same too
    #[arg(long)]
    all: bool,
    /// The form of the answer
    #[arg(long, default_value = "human", value_parser = Format::any_of(["human", "json"]))]
    pub format: Format,
}

impl Diff {
    pub fn run(&self, session: &mut Session) -> Result<Answer, Diagnostics> {
        let paths = [&self.a, &self.b];
        let checkpoints = [session.files.checkpoint(&self.a)?, session.files.checkpoint(&self.b)?];
        let [a, b] = paths.map(|path| self.graph(path, session));
        let (a, b) = (a.transpose()?, b.transpose()?);
        let model = |side: usize, graph| Model { checkpoint: &checkpoints[side], graph };
        let compared = compare::compare(model(0, a.as_ref()), model(1, b.as_ref()), self.size.at().batch)?;
        Ok(match self.format {
            Format::Json => Answer::fields(object(&paths, &compared)),
            _ => Answer::Text(self.text(&compared)),
        })
    }

    /// The graph, where the files have one. Tensors can be compared without.
    fn graph(&self, path: &Path, session: &mut Session) -> Option<Result<Graph, Diagnostic>> {
        match session.files.graph(path, &mut session.sources) {
            Ok((_, mut graph)) => Some(self.size.of(&graph).map(|at| {
                graph.set_tokens(at.tokens);
                graph
            })),
            Err(found) => {
                let noted = found.into_iter().map(|diagnostic| Diagnostic {
                    severity: tamis::diagnostic::Severity::Note,
                    ..diagnostic
                });
                session.diagnostics.extend(noted);
                None
            }
        }
    }

    fn text(&self, compared: &Comparison) -> String {
        let mut text = totals(&self.a, &self.b, &compared.totals);
        if !compared.axes.is_empty() {
            text.push_str(&format!("\naxes\n{}", table(axes(&compared.axes), [Align::Left, Align::Left])));
        }
        text.push_str(&format!("\n{}\n", kinds(&compared.tensors)));
        let told = compared.tensors.iter().filter(|tensor| self.all || tensor.change != Change::Same);
        let rows = told.map(|tensor| [format!("  {}", tensor.name), effect(tensor), form(tensor)]);
        text.push_str(&table(rows, [Align::Left; 3]));
        text
    }
}

fn object(paths: &[&PathBuf; 2], compared: &Comparison) -> Value {
    let side = |side: usize| {
        let Totals { family, params, macs, bytes, zeros } = &compared.totals[side];
        json!({
            "path": paths[side].display().to_string(),
            "family": family,
            "params": params,
            "macs": macs,
            "flops": macs.map(|macs| macs.saturating_mul(2)),
            "bytes": bytes,
            "zeros": zeros,
        })
    };
    json!({ "a": side(0), "b": side(1), "axes": compared.axes, "tensors": compared.tensors })
}

fn totals(a: &Path, b: &Path, [before, after]: &[Totals; 2]) -> String {
    let head = [String::new(), a.display().to_string(), b.display().to_string(), String::new()];
    let row = |name: &str, a: Option<u64>, b: Option<u64>, shown: fn(u64) -> String| {
        let cell = |number: Option<u64>| number.map_or("unknown".into(), shown);
        let change = a.zip(b).map_or(String::new(), |(a, b)| change(a, b));
        [name.to_owned(), cell(a), cell(b), change]
    };
    let flops = |side: &Totals| side.macs.map(|macs| macs.saturating_mul(2));
    let rows = [
        head,
        row("params", Some(before.params), Some(after.params), count),
        row("macs", before.macs, after.macs, count),
        row("flops", flops(before), flops(after), count),
        row("bytes", Some(before.bytes), Some(after.bytes), bytes),
        ["zeros".into(), zeros(before), zeros(after), String::new()],
    ];
    table(rows, [Align::Left, Align::Right, Align::Right, Align::Right])
}

/// `148 K, 18.7 %`
fn zeros(side: &Totals) -> String {
    match side.zeros {
        0 => "0".into(),
        zeros => format!("{}, {}", count(zeros), share(zeros as f64 / side.params.max(1) as f64)),
    }
}

/// `-34 %`
fn change(a: u64, b: u64) -> String {
    match (a, b) {
        _ if a == b => "same".into(),
        (0, _) => String::new(),
        _ if b > a => format!("+{}", share(b as f64 / a as f64 - 1.0)),
        _ => format!("-{}", share(1.0 - b as f64 / a as f64)),
    }
}

/// A line an axis; those of all layers are one: `layers[*].mlp.neurons  1536 -> 536 to 880 in 30 places`.
fn axes(changes: &[AxisChange]) -> Vec<[String; 2]> {
    let mut groups: Vec<(String, Vec<&AxisChange>)> = Vec::new();
    for change in changes {
        let name = starred(&change.path);
        let like = |group: &&mut (String, Vec<&AxisChange>)| {
            group.0 == name
                && group.1[0].extents.map(|it| it.is_some()) == change.extents.map(|it| it.is_some())
        };
        match groups.iter_mut().find(like) {
            Some((_, group)) => group.push(change),
            None => groups.push((name, vec![change])),
        }
    }
    let range = |group: &[&AxisChange], side: usize| {
        let extents = || group.iter().filter_map(|change| change.extents[side]);
        match (extents().min(), extents().max()) {
            (Some(least), Some(most)) if least < most => format!("{least} to {most}"),
            (Some(extent), _) => extent.to_string(),
            _ => "none".into(),
        }
    };
    let row = |(name, group): (String, Vec<&AxisChange>)| {
        let name = if let [only] = group.as_slice() { only.path.clone() } else { name };
        let places = if group.len() == 1 { String::new() } else { format!(" in {} places", group.len()) };
        [format!("  {name}"), format!("{} -> {}{places}", range(&group, 0), range(&group, 1))]
    };
    groups.into_iter().map(row).collect()
}

/// `layers[*].mlp.neurons` of `layers[3].mlp.neurons`.
fn starred(path: &str) -> String {
    let parts = path.split('[').map(|part| part.split_once(']').map_or(part, |(_, rest)| rest));
    parts.collect::<Vec<_>>().join("[*]")
}

/// `tensors: 101, of which 65 the same, 36 with other values`
fn kinds(tensors: &[TensorChange]) -> String {
    let kind = |change: &Change| match change {
        Change::Same => 0,
        Change::Values { .. } => 1,
        Change::Shape => 2,
        Change::OnlyInA => 3,
        Change::OnlyInB => 4,
    };
    let words = ["the same", "with other values", "of another shape", "only in A", "only in B"];
    let told = words.iter().enumerate().filter_map(|(which, words)| {
        let many = tensors.iter().filter(|tensor| kind(&tensor.change) == which).count();
        (many > 0).then(|| format!("{many} {words}"))
    });
    format!("{}: {}", things(tensors.len(), "tensor"), told.collect::<Vec<_>>().join(", "))
}

/// `f32[neurons=1536, hidden=384] -> f32[neurons=768, hidden=384]`, or once where both are of one form.
fn form(tensor: &TensorChange) -> String {
    let form = |side: &TensorSide| match &side.axes {
        Some(axes) => format!("{}{axes}", side.dtype),
        None => format!("{}{:?}", side.dtype, side.shape),
    };
    let forms: Vec<String> = tensor.sides.iter().flatten().map(form).collect();
    match forms.as_slice() {
        [a, b] if a != b => format!("{a} -> {b}"),
        forms => forms.first().cloned().unwrap_or_default(),
    }
}

fn effect(tensor: &TensorChange) -> String {
    let zeros = tensor.sides.each_ref().map(|side| {
        let side = side.as_ref()?;
        let elements: usize = side.shape.iter().product();
        Some(share(side.zeros? as f64 / elements.max(1) as f64))
    });
    let zeros = match zeros {
        [Some(a), Some(b)] if a != b => Some(format!("zeros {a} -> {b}")),
        _ => None,
    };
    let what = match tensor.change {
        Change::Same => Some("the same".into()),
        Change::Values { relative: Some(relative) } => Some(format!("changed by {}", share(relative))),
        Change::Values { relative: None } => Some("other values".into()),
        Change::Shape => None,
        Change::OnlyInA => Some("only in A".into()),
        Change::OnlyInB => Some("only in B".into()),
    };
    what.into_iter().chain(zeros).collect::<Vec<_>>().join(", ")
}
