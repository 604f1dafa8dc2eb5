//! The page of the language: a frame written by hand, with the parts filled in that the registry knows.

use std::collections::BTreeMap;

use super::entry::{Entry, Kind, fields};
use super::markdown::{capitalised, one_line, table};
use crate::check::{PARAM_TYPES, SAVE_OPTIONS};
use crate::pass::{CostMeasure, FieldSpec, PassSpec, ReaderSpec, Registry, Type, summary};
use crate::syntax::ast::ClauseKind;

const FRAME: &str = include_str!("language.md");

/// The whole page.
pub(super) fn page(registry: &Registry) -> String {
    let parts = [
        ("params", params()),
        ("readers", readers(registry)),
        ("save", fields("option", SAVE_OPTIONS)),
        ("clauses", clauses(registry)),
        ("costs", costs()),
        ("types", types(registry)),
    ];
    let fill = |page: String, (name, text): (&str, String)| {
        page.replace(&format!("<!-- {name} -->"), text.trim_end())
    };
    parts.into_iter().fold(FRAME.to_string(), fill)
}

/// Statements: a section of the page each.
pub(super) fn statements(registry: &Registry) -> Vec<Entry> {
    let page = page(registry);
    let (_, from) = page.split_once("\n## Statements\n").expect("the frame has statements");
    let (statements, _) = from.split_once("\n## ").expect("the frame goes on behind them");
    let entry = |section: &str| {
        let (heading, text) = section.split_once('\n').expect("a heading ends with its line");
        Entry::new(Kind::Statement, &heading.replace('`', "").to_lowercase(), text)
    };
    statements.split("\n### ").skip(1).map(entry).collect()
}

/// Clauses: what each says, and who takes it.
pub(super) fn clause_entries(registry: &Registry) -> Vec<Entry> {
    let entry = |kind: ClauseKind| {
        let takers: Vec<String> = takers(registry, kind).iter().map(|taker| format!("* {taker}\n")).collect();
        let text = format!("{}.\n\n{}", capitalised(meaning(kind)), takers.concat());
        Entry::new(Kind::Clause, kind.keyword(), &text)
    };
    ClauseKind::ALL.into_iter().map(entry).collect()
}

/// Types of arguments: every one that something in the registry takes.
pub(super) fn type_entries(registry: &Registry) -> Vec<Entry> {
    let entry = |ty: Type| {
        let text = format!("{}.\n", capitalised(&one_line(summary(ty.doc))));
        Entry::new(Kind::Type, ty.name, &text)
    };
    all_types(registry).into_values().filter(|ty| ty.choices.is_empty()).map(entry).collect()
}

/// What a clause says, for whatever verb takes it.
fn meaning(kind: ClauseKind) -> &'static str {
    match kind {
        ClauseKind::Of | ClauseKind::At => "where: a selector; without it the whole model",
        ClauseKind::By => "the criterion, with its data",
        ClauseKind::To => "a target measured on the result",
        ClauseKind::Keep => "how many elements stay, or which share of them",
        ClauseKind::Remove => "how many elements go, or which share of them",
        ClauseKind::Into => "what the elements become",
        ClauseKind::From => "another model",
        ClauseKind::On => "the data to train on",
        ClauseKind::For => "the length of a training",
        ClauseKind::Over => "the training that the step is spread over",
        ClauseKind::With => "options, each with its name",
    }
}

fn clauses(registry: &Registry) -> String {
    let row = |kind: ClauseKind| {
        let takers = match takers(registry, kind) {
            none if none.is_empty() => "no verb yet".to_string(),
            all if all.len() == registry.passes.len() => "all verbs".to_string(),
            some => some.join(", "),
        };
        [format!("`{}`", kind.keyword()), meaning(kind).to_string(), takers]
    };
    table(["clause", "says", "taken by"], &ClauseKind::ALL.map(row))
}

/// Verbs that take a clause.
fn takers(registry: &Registry, kind: ClauseKind) -> Vec<String> {
    let takes = |spec: &&&'static PassSpec| match kind {
        ClauseKind::Of | ClauseKind::At => true,
        ClauseKind::With => !spec.options.is_empty(),
        _ => spec.clauses.iter().any(|clause| clause.kind == kind),
    };
    let mut verbs: Vec<String> =
        registry.passes.iter().filter(takes).map(|spec| format!("`{}`", spec.verb)).collect();
    verbs.dedup();
    verbs
}

fn params() -> String {
    let row = |(name, takes): &(&str, &str)| [format!("`{name}`"), (*takes).to_string()];
    table(["type", "takes"], &PARAM_TYPES.iter().map(row).collect::<Vec<_>>())
}

fn readers(registry: &Registry) -> String {
    let row = |spec: &&'static ReaderSpec| [format!("`{}`", spec.name), one_line(summary(spec.doc)).clone()];
    let readers = table(["reader", "reads"], &registry.readers.iter().map(row).collect::<Vec<_>>());
    let is_used = all_types(registry).contains_key("data");
    let unused = if is_used { "" } else { "No criterion and no measure of this version takes data." };
    format!("{readers}{unused}")
}

fn costs() -> String {
    CostMeasure::ALL.map(|measure| format!("`{measure}`")).join(", ")
}

fn types(registry: &Registry) -> String {
    let row = |ty: &Type| {
        let words: Vec<String> = ty.choices.iter().map(|word| format!("`{word}`")).collect();
        let takes = if words.is_empty() { one_line(summary(ty.doc)) } else { words.join(", ") };
        [format!("`{}`", ty.name), takes]
    };
    table(["type", "takes"], &all_types(registry).values().map(row).collect::<Vec<_>>())
}

/// By name. A list of words belongs to the one option that takes it, and several may share a name.
fn all_types(registry: &Registry) -> BTreeMap<&'static str, Type> {
    let passes = registry.passes.iter().flat_map(|spec| {
        let clauses = spec.clauses.iter().map(|clause| &clause.field);
        clauses.chain(spec.options)
    });
    let criteria = registry.criteria.iter().flat_map(|spec| spec.arguments);
    let measures = registry.measures.iter().flat_map(|spec| spec.arguments);
    let readers = registry.readers.iter().flat_map(|spec| spec.arguments);
    let all = passes.chain(criteria).chain(measures).chain(readers).chain(SAVE_OPTIONS);
    let is_shared = |ty: &Type| ty.name.starts_with(|letter: char| letter.is_ascii_lowercase());
    all.map(|field: &FieldSpec| field.ty).filter(is_shared).map(|ty| (ty.name, ty)).collect()
}
