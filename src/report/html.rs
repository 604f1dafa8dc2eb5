//! `report.html`: one file that a browser shows without a network, and without a script.

use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;
use serde_json::json;

use super::chart::{self, Curve, Losses, Scores};
use super::layers::{self, Table, Zeros};
use super::rows::{self, Expected, Measure, Spent, Stage, Total};
use super::words::{at, did, ranges, title};
use super::{load, reproduce};
use crate::diagnostic::numbers::{bytes, count, things};
use crate::graph::Role;
use crate::pass::Training;
use crate::provenance::{Kept, Note, Provenance, Sparsified, Step};

/// Numbers of elements are cut after so many runs; `report.json` has them all.
const RUNS: usize = 200;

/// The page.
pub fn html(provenance: &Provenance) -> String {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    // The name's ending turns on escaping.
    environment
        .add_template("report.html", include_str!("report.html.j2"))
        .and_then(|()| environment.get_template("report.html"))
        .and_then(|template| template.render(Serde(Page::new(provenance))))
        .expect("the template is fixed, and a page has every field that it names")
}

/// What the template shows.
#[derive(Debug, Serialize)]
struct Page<'a> {
    title: String,
    doc: Option<&'a str>,
    /// Name and value of what is known of the recipe and the run.
    facts: Vec<(String, String)>,
    /// `128 tokens`
    at: String,
    totals: Vec<Total>,
    stages: Vec<Stage>,
    /// Some costs had bounds only, or a budget.
    foreseen: bool,
    widths: Option<Table>,
    zeros: Option<Zeros>,
    details: Vec<Detail<'a>>,
    measures: Vec<Measure>,
    expectations: Vec<Expected>,
    /// `2 of 2 expectations held`
    verdict: Option<String>,
    all_held: bool,
    notes: &'a [Note],
    transformers: bool,
    because: Vec<String>,
    load: String,
    reproduce: String,
    files: Vec<[String; 3]>,
    recipe: &'a str,
    tool: String,
    schema: u32,
}

/// What a step kept and why.
#[derive(Debug, Serialize)]
struct Detail<'a> {
    number: usize,
    verb: &'a str,
    did: Vec<String>,
    groups: Vec<Group<'a>>,
    curve: Option<Curve>,
    losses: Option<Losses>,
    /// Name and value of what a training was done with.
    trained_with: Vec<[String; 2]>,
    /// Place and rank of factored weights.
    factored: Vec<[String; 2]>,
    /// Places and promise of sparse weights.
    sparsified: Vec<[String; 2]>,
}

/// Axes of one role.
#[derive(Debug, Serialize)]
struct Group<'a> {
    role: Role,
    axes: Vec<KeptAxis<'a>>,
}

#[derive(Debug, Serialize)]
struct KeptAxis<'a> {
    axis: &'a str,
    count: String,
    /// Too many elements to list them at once.
    many: bool,
    scores: Option<Scores>,
    stay: String,
    gone: String,
}

impl<'a> Page<'a> {
    fn new(provenance: &'a Provenance) -> Self {
        let expectations = rows::expectations(provenance);
        let held = expectations.iter().filter(|expectation| expectation.held).count();
        let stages = rows::stages(provenance);
        let verdict = format!("{held} of {} held", things(expectations.len(), "expectation"));
        let loads = &provenance.loads_in;
        let because = loads.because.iter().map(|reason| format!("{}: {}", reason.key, reason.why)).collect();
        Self {
            title: title(provenance),
            doc: provenance.recipe.doc.as_deref(),
            facts: facts(provenance),
            at: at(provenance.at),
            totals: rows::totals(provenance),
            foreseen: stages.iter().flat_map(|stage| &stage.costs).any(Spent::has_marks),
            stages,
            widths: layers::widths(provenance),
            zeros: layers::zeros(provenance),
            details: provenance.steps.iter().filter_map(detail).collect(),
            measures: rows::measures(provenance),
            all_held: held == expectations.len(),
            verdict: (!expectations.is_empty()).then_some(verdict),
            expectations,
            notes: &provenance.notes,
            transformers: loads.transformers,
            because,
            load: load(provenance),
            reproduce: reproduce(provenance),
            files: files(provenance),
            recipe: &provenance.recipe.text,
            tool: format!("{} {}", provenance.tool.name, provenance.tool.version),
            schema: provenance.schema,
        }
    }
}

fn facts(provenance: &Provenance) -> Vec<(String, String)> {
    let input = &provenance.input;
    let mut facts = vec![("model".to_string(), format!("{} ({})", input.path, input.family))];
    facts.extend(provenance.recipe.header.iter().cloned());
    facts.extend(
        provenance.recipe.params.iter().map(|(name, value)| (format!("param {name}"), value.clone())),
    );
    facts
}

fn files(provenance: &Provenance) -> Vec<[String; 3]> {
    let row =
        |file: &crate::provenance::InputFile| [file.name.clone(), bytes(file.bytes), file.sha256.clone()];
    provenance.input.files.iter().map(row).collect()
}

/// Nothing where a step has no more to tell than its sentences.
fn detail(step: &Step) -> Option<Detail<'_>> {
    let factored: Vec<[String; 2]> =
        step.factored.iter().map(|it| [it.place.clone(), format!("rank {} of {}", it.rank, it.of)]).collect();
    let sparsified = sparsified(&step.sparsified);
    let groups = groups(&step.kept);
    let has_more =
        !(groups.is_empty() && factored.is_empty() && sparsified.is_empty()) || step.training.is_some();
    has_more.then(|| Detail {
        number: step.number,
        verb: &step.verb,
        did: did(step),
        groups,
        curve: chart::curve(step),
        losses: step.training.as_ref().and_then(chart::losses),
        trained_with: step.training.as_ref().map(trained_with).unwrap_or_default(),
        factored,
        sparsified,
    })
}

/// Settings of a training, defaults among them; what does not count is left out.
fn trained_with(training: &Training) -> Vec<[String; 2]> {
    let mut rows = Vec::new();
    if training.weights > 0 {
        rows.push(["trained weights".to_owned(), count(training.weights as u64)]);
    }
    let told = &training.arguments;
    let all = ["train", "terms"].iter().flat_map(|part| told[*part].as_object().into_iter().flatten());
    let more = ["teachers", "adapter", "spending", "flow"].iter().map(|name| (*name, &told[*name]));
    for (name, value) in all.map(|(name, value)| (name.as_str(), value)).chain(more) {
        let nothing = value.is_null() || value.as_f64() == Some(0.0) && name != "seed" || *value == json!([]);
        if !nothing {
            rows.push([name.replace('_', " "), setting(value)]);
        }
    }
    rows
}

/// A setting as a recipe would have it: `adamw(rate: 0.001)`, `4 epochs`.
fn setting(value: &serde_json::Value) -> String {
    let field = |(name, value): (&String, &serde_json::Value)| format!("{name}: {}", setting(value));
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Number(number) => {
            number.as_f64().map_or_else(|| number.to_string(), |it| it.to_string())
        }
        serde_json::Value::Array(items) => items.iter().map(setting).collect::<Vec<_>>().join(", "),
        serde_json::Value::Object(fields) => {
            let named = fields.get("name").and_then(serde_json::Value::as_str);
            let rest: Vec<String> = fields.iter().filter(|(name, _)| *name != "name").map(field).collect();
            match (named, fields.iter().next()) {
                (Some(name), _) if rest.is_empty() => name.to_owned(),
                (Some(name), _) => format!("{name}({})", rest.join(", ")),
                (None, Some((unit, number)))
                    if fields.len() == 1 && (unit == "epochs" || unit == "steps") =>
                {
                    format!("{} {unit}", setting(number))
                }
                _ => rest.join("; "),
            }
        }
        other => other.to_string(),
    }
}

/// Weights of one promise together.
fn sparsified(all: &[Sparsified]) -> Vec<[String; 2]> {
    let mut rows: Vec<[String; 2]> = Vec::new();
    for it in all {
        let promise = promise(it);
        match rows.iter_mut().find(|[_, other]| *other == promise) {
            Some([places, _]) => places.push_str(&format!(", {}", it.place)),
            None => rows.push([it.place.clone(), promise]),
        }
    }
    rows
}

fn promise(sparsified: &Sparsified) -> String {
    let pattern = |(keep, of)| format!("at most {keep} of {of} consecutive inputs are not zero");
    let pattern = sparsified.sparsity.pattern().map(pattern);
    let zeros = sparsified.sparsity.zeros().map(|zeros| format!("at least {zeros} zeros"));
    pattern.into_iter().chain(zeros).collect::<Vec<_>>().join("; ")
}

/// By role, in the order of the model.
fn groups(kept: &[Kept]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for it in kept {
        match groups.iter_mut().find(|group| group.role == it.role) {
            Some(group) => group.axes.push(axis(it)),
            None => groups.push(Group { role: it.role, axes: vec![axis(it)] }),
        }
    }
    groups
}

fn axis(kept: &Kept) -> KeptAxis<'_> {
    let gone: Vec<usize> = match kept.merged {
        Some(_) => Vec::new(),
        None => (0..kept.of).filter(|index| kept.kept.binary_search(index).is_err()).collect(),
    };
    let together = |group: &Vec<usize>| group.iter().map(usize::to_string).collect::<Vec<_>>().join(" + ");
    let merged =
        kept.merged.as_ref().map(|groups| groups.iter().map(together).collect::<Vec<_>>().join(", "));
    KeptAxis {
        axis: &kept.axis,
        count: format!("{} of {}", kept.kept.len(), kept.of),
        many: kept.of > chart::BARS,
        scores: chart::scores(kept),
        stay: merged.unwrap_or_else(|| ranges(&kept.kept, RUNS)),
        gone: ranges(&gone, RUNS),
    }
}
