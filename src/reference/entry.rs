//! Everything that has a page: one list, from which the manual, the index, the terminal's pages and the examples are made.

use super::markdown::{capitalised, fences, one_line, prose, table};
use super::{language, signature};
use crate::checkpoint::Family;
use crate::graph::Role;
use crate::pass::{
    CriterionSpec, FieldSpec, MeasureSpec, NOUNS, Noun, NounKind, PassSpec, ReaderSpec, Registry, Type, Unit,
    summary,
};

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Statement,
    Clause,
    Verb,
    Noun,
    Criterion,
    Measure,
    Reader,
    Family,
    Type,
}

impl Kind {
    pub const ALL: [Self; 9] = [
        Self::Statement,
        Self::Clause,
        Self::Verb,
        Self::Noun,
        Self::Criterion,
        Self::Measure,
        Self::Reader,
        Self::Family,
        Self::Type,
    ];

    /// One, and several.
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Statement => ("statement", "statements"),
            Self::Clause => ("clause", "clauses"),
            Self::Verb => ("verb", "verbs"),
            Self::Noun => ("noun", "nouns"),
            Self::Criterion => ("criterion", "criteria"),
            Self::Measure => ("measure", "measures"),
            Self::Reader => ("data reader", "data readers"),
            Self::Family => ("family", "families"),
            Self::Type => ("type", "types"),
        }
    }
}

/// One thing that has a page.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub kind: Kind,
    pub name: String,
    /// Its first sentence, on one line.
    pub summary: String,
    /// In markdown, without the heading.
    pub text: String,
}

impl Entry {
    /// An entry whose text begins with its summary.
    pub(super) fn new(kind: Kind, name: &str, text: &str) -> Self {
        Self { kind, name: name.to_string(), summary: one_line(summary(text)), text: text.trim().to_string() }
    }

    /// An entry whose text begins with its signature.
    fn signed(kind: Kind, name: &str, signature: &str, parts: &[String]) -> Self {
        let text = format!("```text\n{signature}\n```\n\n{}", parts.concat());
        Self { text: text.trim().to_string(), ..Self::new(kind, name, &parts[0]) }
    }

    /// Its examples of recipes.
    pub fn examples(&self) -> Vec<String> {
        fences(&self.text, "tamis")
    }
}

/// Every entry, in the order of [`Kind::ALL`], within a kind in that of the registry.
pub fn entries(registry: &Registry) -> Vec<Entry> {
    let mut all = language::statements(registry);
    all.extend(language::clause_entries(registry));
    all.extend(registry.passes.iter().map(|spec| pass(spec)));
    all.extend(NOUNS.iter().map(|it| noun(it, registry)));
    all.extend(registry.criteria.iter().map(|spec| criterion(spec)));
    all.extend(registry.measures.iter().map(|spec| measure(spec)));
    all.extend(registry.readers.iter().map(|spec| reader(spec)));
    all.extend(registry.families.iter().map(|it| family(it)));
    all.extend(language::type_entries(registry));
    all
}

fn pass(spec: &PassSpec) -> Entry {
    let clauses = spec.clauses.iter().map(|clause| row(clause.kind.keyword(), &clause.field));
    let clauses = table(["clause", "takes", "default", "meaning"], &clauses.collect::<Vec<_>>());
    let words = spec.clauses.iter().map(|clause| named_choices(&clause.field)).collect::<String>();
    let parts = [doc(spec.doc), clauses, words, fields("option", spec.options)];
    Entry::signed(Kind::Verb, spec.verb, &signature::pass(spec), &parts)
}

fn noun(noun: &Noun, registry: &Registry) -> Entry {
    let roles = match noun.kind {
        NounKind::Weights | NounKind::Outputs | NounKind::Tokens | NounKind::Attention => String::new(),
        NounKind::Elements(roles) => {
            let roles: Vec<String> = roles.iter().map(|role: &Role| format!("`{role}`")).collect();
            format!("Elements of axes of role {}.\n\n", roles.join(" or "))
        }
    };
    let verbs: Vec<String> = registry
        .passes
        .iter()
        .filter(|spec| spec.nouns.contains(&noun.name))
        .map(|spec| format!("`{}`", spec.verb))
        .collect();
    let verbs = if verbs.is_empty() { "no verb yet".to_string() } else { verbs.join(", ") };
    let text = format!("{}.\n\n{roles}Acted on by {verbs}.\n", capitalised(noun.doc));
    Entry::new(Kind::Noun, noun.name, &text)
}

fn criterion(spec: &CriterionSpec) -> Entry {
    let parts = [doc(spec.doc), fields("argument", spec.arguments)];
    Entry::signed(Kind::Criterion, spec.name, &signature::criterion(spec), &parts)
}

fn measure(spec: &MeasureSpec) -> Entry {
    let unit = match spec.unit {
        Unit::Count => "A number: bounds are numbers, `2.5G`, or shares `of` the input model.",
        Unit::Bytes => "Bytes: bounds are numbers, or shares `of` the input model.",
        Unit::Share => "A share: bounds are ratios, `50%`.",
        Unit::Number => {
            "A number without a unit: bounds are numbers, `0.95`, or shares `of` the input model."
        }
        Unit::Seconds => "Seconds: bounds are numbers, or shares `of` the input model.",
    };
    let parts = [doc(spec.doc), format!("{unit}\n\n"), fields("argument", spec.arguments)];
    Entry::signed(Kind::Measure, spec.name, &signature::measure(spec), &parts)
}

fn reader(spec: &ReaderSpec) -> Entry {
    let parts = [doc(spec.doc), fields("argument", spec.arguments)];
    Entry::signed(Kind::Reader, spec.name, &signature::reader(spec), &parts)
}

fn family(family: &Family) -> Entry {
    let types: Vec<String> = family.model_types.iter().map(|it| format!("`{it}`")).collect();
    let text = format!("{}`model_type` in `config.json`: {}.\n", doc(family.doc), types.join(", "));
    Entry::new(Kind::Family, family.name, &text)
}

/// A table of options or arguments, and what their words mean.
pub(super) fn fields(header: &str, specs: &[FieldSpec]) -> String {
    let rows: Vec<[String; 4]> = specs.iter().map(|spec| row(spec.name, spec)).collect();
    let words: String = specs.iter().map(named_choices).collect();
    table([header, "takes", "default", "meaning"], &rows) + &words
}

fn row(name: &str, spec: &FieldSpec) -> [String; 4] {
    let takes = match spec.ty.choices {
        [] => one_line(summary(spec.ty.doc)),
        words => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
    };
    let default = match (spec.default, spec.required) {
        (Some(default), _) => format!("`{default}`"),
        (None, true) => "required".to_string(),
        (None, false) => "none".to_string(),
    };
    [format!("`{name}`"), takes, default, one_line(spec.doc)]
}

fn named_choices(spec: &FieldSpec) -> String {
    match choices(&spec.ty) {
        list if list.is_empty() => list,
        list => format!("`{}`:\n\n{list}\n", spec.name),
    }
}

/// What the words of a type mean, a line each, where it says so.
fn choices(ty: &Type) -> String {
    let lines = ty.doc.lines().filter(|line| line.starts_with("* `"));
    let says_more = |line: &&str| line.split_once("`:").is_some_and(|(_, doc)| !doc.trim().is_empty());
    lines.filter(says_more).map(|line| format!("{line}\n")).collect()
}

fn doc(text: &str) -> String {
    format!("{}\n\n", prose(text))
}
