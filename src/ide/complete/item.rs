//! One thing that can stand at a cursor.

use std::sync::Arc;

use super::super::Analysis;
use super::super::callee::Callee;
use super::super::name::names_at;
use super::super::selector::Child;
use crate::check::Defined;
use crate::graph::Graph;
use crate::pass::{FieldSpec, Registry, ValueKind, summary, written};
use crate::reference::{self, Entry, Kind};

/// What a completion is, for its sign in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompletionKind {
    Keyword,
    Verb,
    Noun,
    Criterion,
    Measure,
    Reader,
    Option,
    /// A word of a fixed list of choices.
    Choice,
    Unit,
    Type,
    Name,
    Place,
    /// A value that stands in a definition as an example.
    Example,
    File,
    Directory,
    Field,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    pub label: String,
    pub kind: CompletionKind,
    /// A few words beside the label.
    pub detail: String,
    /// Markdown.
    pub doc: String,
    /// The bytes that it replaces.
    pub replaces: (usize, usize),
    pub insert: String,
    /// The same with `$0` for the cursor, for editors that know snippets.
    pub snippet: Option<String>,
    /// Whether the editor should ask again at once, as behind a directory.
    pub goes_on: bool,
}

/// Completions in the making.
pub(super) struct Items<'a> {
    pub analysis: &'a Analysis,
    pub replaces: (usize, usize),
    found: Vec<Completion>,
}

impl<'a> Items<'a> {
    pub fn new(analysis: &'a Analysis, start: usize, end: usize) -> Self {
        Self { analysis, replaces: (start, end), found: Vec::new() }
    }

    pub fn done(self) -> Vec<Completion> {
        self.found
    }

    pub fn registry(&self) -> &'static Registry {
        self.analysis.registry
    }

    /// The model that a statement at the cursor sees.
    pub fn graph(&self) -> Option<&'a Arc<Graph>> {
        self.analysis.graph_at(self.replaces.0)
    }

    pub fn push(&mut self, item: Completion) {
        if !self.found.iter().any(|other| other.label == item.label) {
            self.found.push(item);
        }
    }

    fn item(&self, kind: CompletionKind, label: &str, detail: &str) -> Completion {
        Completion {
            label: label.to_owned(),
            kind,
            detail: detail.split_whitespace().collect::<Vec<_>>().join(" "),
            doc: String::new(),
            replaces: self.replaces,
            insert: label.to_owned(),
            snippet: None,
            goes_on: false,
        }
    }

    pub fn word(&mut self, kind: CompletionKind, label: &str, detail: &str) {
        self.push(self.item(kind, label, detail));
    }

    pub fn snippet(&mut self, kind: CompletionKind, label: &str, detail: &str, snippet: &str) {
        let item = self.item(kind, label, detail);
        self.push(Completion { snippet: Some(snippet.to_owned()), ..item });
    }

    pub fn keyword(&mut self, word: &str, detail: &str) {
        let item = self.item(CompletionKind::Keyword, word, detail);
        self.push(Completion { insert: format!("{word} "), goes_on: true, ..item });
    }

    /// A word that has a page: a verb, a noun, a statement.
    pub fn entry(&mut self, entry: &Entry) {
        let kind = match entry.kind {
            Kind::Verb => CompletionKind::Verb,
            Kind::Noun => CompletionKind::Noun,
            _ => CompletionKind::Keyword,
        };
        let item = self.item(kind, &entry.name, &entry.summary);
        let space = if kind == CompletionKind::Noun { "" } else { " " };
        let insert = format!("{}{space}", entry.name);
        self.push(Completion { doc: entry.text.clone(), insert, ..item });
    }

    /// A criterion, a measure or a reader; where it needs arguments, with brackets for them.
    pub fn callee(&mut self, callee: Callee) {
        let kind = match callee {
            Callee::Criterion(_) => CompletionKind::Criterion,
            Callee::Measure(_) => CompletionKind::Measure,
            _ => CompletionKind::Reader,
        };
        let item = self.item(kind, callee.name(), summary(callee.doc()));
        let needs = callee.fields().iter().any(|field| field.required);
        let quoted = callee.fields().first().is_some_and(|field| field.required && field.ty.name == "text");
        let snippet = needs.then(|| match quoted {
            true => format!("{}(\"$0\")", callee.name()),
            false => format!("{}($0)", callee.name()),
        });
        let doc = format!("```text\n{}\n```\n\n{}", callee.signature(), reference::prose(callee.doc()));
        self.push(Completion { doc, snippet, goes_on: needs, ..item });
    }

    /// An argument or an option.
    pub fn field(&mut self, field: &'static FieldSpec) {
        let signature = reference::field_signature(field);
        let item = self.item(CompletionKind::Option, field.name, &signature);
        let quoted = field.ty.name == "text";
        let snippet = if quoted { format!("{}: \"$0\"", field.name) } else { format!("{}: $0", field.name) };
        let insert = format!("{}: ", field.name);
        let doc = field.doc.trim().to_owned();
        self.push(Completion { doc, insert, snippet: Some(snippet), goes_on: true, ..item });
    }

    /// A child of the model's tree. Of a list all members are proposed.
    pub fn place(&mut self, child: &Child, detail: &str) {
        let item = self.item(CompletionKind::Place, &child.name, detail);
        let insert = if child.is_list { format!("{}[*]", child.name) } else { child.name.clone() };
        self.push(Completion { insert, ..item });
    }

    pub fn example(&mut self, example: &str, detail: &str) {
        self.word(CompletionKind::Example, example, detail);
    }

    /// Names that hold here and whose values fit.
    pub fn names(&mut self, fits: impl Fn(&ValueKind) -> bool) {
        let analysis = self.analysis;
        for definition in names_at(analysis, self.replaces.0) {
            if fits(&definition.value) {
                let value = match &definition.value {
                    ValueKind::Data(data) => data.reader.describe(),
                    value => written(value).unwrap_or_else(|| value.what().to_owned()),
                };
                let detail = format!("{} {value}", definition.by.word());
                self.word(CompletionKind::Name, &definition.name, &detail);
            }
        }
    }

    pub fn models(&mut self) {
        let analysis = self.analysis;
        let models = analysis.examined.definitions.iter().filter(|it| it.by == Defined::Model);
        models.for_each(|it| self.word(CompletionKind::Name, &it.name, "the input model"));
    }
}
