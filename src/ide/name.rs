//! Names and where they are defined: go to definition, references, rename.

use super::Analysis;
use super::edit::Edit;
use super::mention::{Mention, What, mention_at, mentions};
use crate::check::Definition;
use crate::source::Span;
use crate::syntax::ast::{self, StatementKind};

/// Why a name cannot be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotRenamed(pub String);

/// Where the name, the used file or the data at an offset is defined.
pub fn definition(analysis: &Analysis, offset: usize) -> Option<Span> {
    if let Some(used) = used_file(analysis, offset) {
        return Some(used);
    }
    Some(definition_at(analysis, offset)?.span)
}

/// Every place that names what is named at an offset, its definition among them, in the order of the text.
pub fn references(analysis: &Analysis, offset: usize) -> Vec<Span> {
    let Some(definition) = definition_at(analysis, offset) else { return Vec::new() };
    let mentions = mentions(&analysis.examined.recipe, analysis.registry);
    let mut spans: Vec<Span> = mentions
        .iter()
        .filter(|mention| name_of(analysis, mention).is_some_and(|name| name == definition.name))
        .map(|mention| mention.span)
        .filter(|span| {
            defined(analysis, &definition.name, span.start).is_some_and(|it| it.span == definition.span)
        })
        .collect();
    if !spans.contains(&definition.span) {
        spans.insert(0, definition.span);
    }
    spans
}

/// The name at an offset, if it is one that can be given another.
pub fn renamable(analysis: &Analysis, offset: usize) -> Option<Span> {
    let definition = definition_at(analysis, offset)?;
    let mentions = mentions(&analysis.examined.recipe, analysis.registry);
    (definition.span.source == analysis.source)
        .then(|| mention_at(&mentions, offset))
        .flatten()
        .map(|it| it.span)
}

/// Edits that give the name at an offset another one.
///
/// # Errors
/// Where there is no name, or the new one cannot be given.
pub fn rename(analysis: &Analysis, offset: usize, new: &str) -> Result<Vec<Edit>, NotRenamed> {
    let refuse = |why: String| Err(NotRenamed(why));
    let Some(definition) = definition_at(analysis, offset) else {
        return refuse(
            "only params, lets, data, models and variables of sweeps have names of their own".into(),
        );
    };
    if definition.span.source != analysis.source {
        let file = analysis.sources.get(definition.span.source).name();
        return refuse(format!("`{}` is defined in `{file}`, which other recipes may use", definition.name));
    }
    if !crate::syntax::is_name(new) {
        return refuse(format!(
            "`{new}` cannot be a name: letters, digits and `_`, and no word of the language"
        ));
    }
    if new != definition.name && analysis.examined.definitions.iter().any(|other| other.name == new) {
        return refuse(format!("`{new}` is defined already"));
    }
    let edit = |span: Span| Edit { start: span.start, end: span.end, text: new.to_owned() };
    Ok(references(analysis, offset).into_iter().map(edit).collect())
}

/// The text that a mention names something with.
fn name_of<'a>(analysis: &'a Analysis, mention: &Mention<'a>) -> Option<&'a str> {
    match mention.what {
        What::Name(name, _) => Some(name),
        What::Defines => Some(analysis.sources.text(mention.span)),
        _ => None,
    }
}

pub(super) fn definition_at(analysis: &Analysis, offset: usize) -> Option<&Definition> {
    let mentions = mentions(&analysis.examined.recipe, analysis.registry);
    let mention = mention_at(&mentions, offset)?;
    defined(analysis, name_of(analysis, &mention)?, mention.span.start)
}

/// What a name means at an offset. What a sweep defines holds inside of it only.
pub(super) fn defined<'a>(analysis: &'a Analysis, name: &str, offset: usize) -> Option<&'a Definition> {
    let mut sweeps = Vec::new();
    collect_sweeps(&analysis.examined.recipe.statements, &mut sweeps);
    let around = |offset: usize| sweeps.iter().rfind(|sweep| sweep.start <= offset && offset <= sweep.end);
    analysis.examined.definitions.iter().filter(|it| it.name == name).find(|it| {
        let home = if it.span.source == analysis.source { around(it.span.start) } else { None };
        home.is_none_or(|sweep| sweep.start <= offset && offset <= sweep.end)
    })
}

/// The names that hold at an offset, each once.
pub(super) fn names_at(analysis: &Analysis, offset: usize) -> Vec<&Definition> {
    let mut names: Vec<&Definition> = Vec::new();
    for definition in &analysis.examined.definitions {
        let is_above = definition.span.source != analysis.source || definition.span.end < offset;
        let holds = defined(analysis, &definition.name, offset).is_some();
        if is_above && holds && !names.iter().any(|other| other.name == definition.name) {
            names.push(definition);
        }
    }
    names
}

/// Spans of sweeps, outer ones first.
fn collect_sweeps(statements: &[ast::Statement], found: &mut Vec<Span>) {
    for statement in statements {
        if let StatementKind::Sweep { body, .. } = &statement.kind {
            found.push(statement.span);
            collect_sweeps(body, found);
        }
    }
}

/// The begin of the file that a `use` at an offset names.
fn used_file(analysis: &Analysis, offset: usize) -> Option<Span> {
    let statement = analysis.examined.recipe.statements.iter().find(|statement| {
        let span = statement.span;
        matches!(statement.kind, StatementKind::Use { .. }) && span.start <= offset && offset <= span.end
    })?;
    let StatementKind::Use { path } = &statement.kind else { return None };
    let wanted = std::path::Path::new(path.literal()?).file_name()?;
    let named = |name: &str| std::path::Path::new(name).file_name() == Some(wanted);
    let (id, _) =
        analysis.sources.iter().find(|(id, source)| *id != analysis.source && named(source.name()))?;
    Some(Span::new(id, 0, 0))
}
