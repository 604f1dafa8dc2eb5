//! What a word means, as markdown: its page, and what it is in the model at hand.

use super::Analysis;
use super::callee::{Callee, Wanted, clause_of, page, pass_of_step};
use super::mention::{Mention, What, mention_at, mentions};
use super::name::defined;
use super::selector;
use crate::check::{Definition, PARAM_TYPES};
use crate::diagnostic::Diagnostic;
use crate::graph::{Graph, NodeId};
use crate::pass::{FieldSpec, NamedModel, Noun, NounKind, Type, ValueKind, written};
use crate::reference::{self, Kind};
use crate::source::Span;
use crate::syntax::ast::{self, ClauseKind};

/// A text about the bytes of a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hover {
    pub markdown: String,
    pub span: Span,
}

/// What is at an offset: diagnostics with their explanation, and what the word there means.
pub fn hover(analysis: &Analysis, offset: usize) -> Option<Hover> {
    let mentions = mentions(&analysis.examined.recipe, analysis.registry);
    let mention = mention_at(&mentions, offset);
    let told = mention.and_then(|mention| Some((about(analysis, &mention)?, mention.span)));
    let wrong: Vec<(String, Span)> = analysis
        .examined
        .diagnostics
        .iter()
        .filter_map(|diagnostic| {
            let span = diagnostic.place.as_ref()?.span;
            let here = span.source == analysis.source && span.start <= offset && offset <= span.end;
            here.then(|| (explained(diagnostic), span))
        })
        .collect();
    let span = told.as_ref().map(|(_, span)| *span).or_else(|| Some(wrong.first()?.1))?;
    let texts = wrong.into_iter().map(|(text, _)| text).chain(told.map(|(text, _)| text));
    Some(Hover { markdown: texts.collect::<Vec<_>>().join("\n\n---\n\n"), span })
}

fn explained(diagnostic: &Diagnostic) -> String {
    let page = crate::diagnostic::explain(diagnostic.code.name).unwrap_or_default();
    let explanation = page.split_once("\n\n").map_or(page.as_str(), |(_, text)| text);
    format!("**{}**: {}\n\n{explanation}", diagnostic.code.name, diagnostic.message)
}

fn about(analysis: &Analysis, mention: &Mention<'_>) -> Option<String> {
    let registry = analysis.registry;
    match mention.what {
        What::Keyword(word) => page(registry, Kind::Statement, word, |_| true),
        What::Clause(step, kind) => Some(clause(analysis, step, kind)),
        What::Verb(step) => Some(Callee::Pass(pass_of_step(registry, step)?).page(registry)),
        What::Noun(step, noun) => noun_text(analysis, step, noun),
        What::Defines => Some(definition(analysis, analysis.sources.text(mention.span), mention.span.start)?),
        What::Name(name, wanted) => named(analysis, name, wanted, mention.span.start),
        What::Called(name, wanted) => Some(wanted.called(name, registry)?.page(registry)),
        What::Key(owner, name) => Some(field(owner?.field(name)?)),
        What::Unit(unit) => page(registry, Kind::Measure, unit, |_| true),
        What::Type(name) => {
            let (name, takes) = PARAM_TYPES.iter().find(|(known, _)| *known == name)?;
            Some(format!("type `{name}`: {takes}"))
        }
        What::Segment(path, at) => place(analysis, path, at, mention.span),
        What::Text | What::Number => None,
    }
}

fn clause(analysis: &Analysis, step: &ast::Step, kind: ClauseKind) -> String {
    let known = pass_of_step(analysis.registry, step).and_then(|spec| clause_of(spec, kind));
    match known {
        Some(known) => {
            let default = known.field.default.map(|it| format!(" By default `{it}`.")).unwrap_or_default();
            let doc = reference::prose(known.field.doc);
            format!("`{}`: {}\n\n{doc}{default}", kind.keyword(), type_text(&known.field.ty))
        }
        None => page(analysis.registry, Kind::Clause, kind.keyword(), |_| true).unwrap_or_default(),
    }
}

fn field(field: &'static FieldSpec) -> String {
    let signature = reference::field_signature(field);
    format!("```text\n{signature}\n```\n\n{}\n\n{}", reference::prose(field.doc), type_text(&field.ty))
}

/// What a type takes; of words what each means.
fn type_text(ty: &Type) -> String {
    let words: Vec<&str> = ty.doc.lines().filter(|line| line.starts_with("* `")).collect();
    if words.is_empty() { reference::prose(ty.doc) } else { words.join("\n") }
}

fn noun_text(analysis: &Analysis, step: &ast::Step, noun: &ast::Noun) -> Option<String> {
    let text = page(analysis.registry, Kind::Noun, &noun.name.text, |_| true)?;
    let known = Noun::named(&noun.name.text)?;
    let graph = analysis.graph_at(step.span.start);
    let here = graph.and_then(|graph| elements(graph, known)).map(|here| format!("\n\n{here}"));
    Some(text + &here.unwrap_or_default())
}

/// How many elements of a noun's kind the model has.
fn elements(graph: &Graph, noun: &Noun) -> Option<String> {
    let NounKind::Elements(roles) = noun.kind else { return None };
    let axes: Vec<_> = graph.axes.iter().filter(|(_, axis)| roles.contains(&axis.role)).collect();
    let (_, first) = axes.first()?;
    let all_alike = axes.iter().all(|(_, axis)| axis.extent == first.extent);
    let extent = if all_alike {
        first.extent.to_string()
    } else {
        let least = axes.iter().map(|(_, axis)| axis.extent.min).min().unwrap_or(0);
        let most = axes.iter().map(|(_, axis)| axis.extent.max).max().unwrap_or(0);
        format!("{least} to {most}")
    };
    let role = first.role;
    Some(match axes.len() {
        1 => format!("The model has **{extent}** {role} here."),
        places => format!("The model has {places} times **{extent}** {role} here."),
    })
}

/// A bare name: what a statement defines, else a word that is wanted there.
fn named(analysis: &Analysis, name: &str, wanted: Wanted, at: usize) -> Option<String> {
    if let Some(text) = definition(analysis, name, at) {
        return Some(text);
    }
    if let Some(callee) = wanted.called(name, analysis.registry) {
        return Some(callee.page(analysis.registry));
    }
    match wanted {
        Wanted::Type(ty) if ty.choices.contains(&name) => {
            let meaning = ty.doc.lines().find(|line| line.starts_with(&format!("* `{name}`")));
            Some(meaning.map_or_else(|| format!("`{name}`"), |line| line.trim_start_matches("* ").to_owned()))
        }
        _ => None,
    }
}

fn definition(analysis: &Analysis, name: &str, at: usize) -> Option<String> {
    let Definition { span, value, by, .. } = defined(analysis, name, at)?;
    let source = analysis.sources.get(span.source);
    let line = source.line(source.place(span.start).line);
    let mut text = format!("```tamis\n{}\n```", source.text()[line].trim());
    match value {
        ValueKind::Data(data) => text.push_str(&format!("\n\n`{}`", data.reader.describe())),
        ValueKind::Model(NamedModel { other: Some(other), .. }) => {
            let cost = selector::cost(&other.graph, other.graph.tree.root());
            text.push_str(&format!("\n\n{}: {cost}", other.graph.family));
        }
        ValueKind::Model(_) => {
            if let Some(model) = &analysis.examined.model {
                let cost = selector::cost(&model.graph, model.graph.tree.root());
                text.push_str(&format!("\n\n{}: {cost}", model.graph.family));
            }
        }
        value => text.push_str(&format!(
            "\n\n{} `{name}`: {}{}",
            by.word(),
            value.what(),
            written(value).map(|it| format!(", `{it}`")).unwrap_or_default()
        )),
    }
    if span.source != analysis.source {
        text.push_str(&format!("\n\nfrom `{}`", source.name()));
    }
    Some(text)
}

/// A part of the model: its axes with their extents at this step, and what it costs.
fn place(analysis: &Analysis, path: &ast::Path, at: usize, span: Span) -> Option<String> {
    let graph = analysis.graph_at(span.start)?;
    let mut segments = selector::of_path(path, at);
    if let Some(selector::Segment::Alternatives(_)) = segments.last() {
        let last = segments.len() - 1;
        segments[last] = selector::Segment::Child(analysis.sources.text(span));
    }
    let nodes = selector::reach(graph, &segments);
    let first: NodeId = *nodes.first()?;
    let what = selector::describe(graph, first);
    let children = selector::children(graph, &nodes);
    let name = graph.tree.path(first);
    let mut text = match nodes.len() {
        1 => format!("`{name}`: {what}"),
        count => format!("{count} places, the first is `{name}`: {what}"),
    };
    let each = if nodes.len() > 1 { " each" } else { "" };
    text.push_str(&format!("\n\n{}{each}", selector::cost(graph, first)));
    if !children.is_empty() {
        let names: Vec<String> = children.iter().map(|child| format!("`{}`", child.name)).collect();
        text.push_str(&format!("\n\nbelow: {}", names.join(", ")));
    }
    Some(text)
}
