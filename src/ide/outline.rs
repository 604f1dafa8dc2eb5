//! The shape of a recipe: its statements as symbols, and what of it can be folded.

use super::Analysis;
use super::mention::keyword;
use crate::source::Span;
use crate::syntax::ast::{Statement, StatementKind};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SymbolKind {
    Recipe,
    Param,
    Let,
    Model,
    Data,
    Step,
    Sweep,
    Measure,
    Save,
}

/// A statement, and those in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symbol {
    pub name: String,
    pub detail: String,
    pub kind: SymbolKind,
    pub span: Span,
    /// What is shown selected: the name or the verb.
    pub focus: Span,
    pub children: Vec<Symbol>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoldKind {
    Comment,
    Region,
}

/// Lines that can be folded into the first, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fold {
    pub first: usize,
    pub last: usize,
    pub kind: FoldKind,
}

/// The statements that have something to say.
pub fn symbols(analysis: &Analysis) -> Vec<Symbol> {
    analysis.examined.recipe.statements.iter().filter_map(|it| symbol(analysis, it)).collect()
}

fn symbol(analysis: &Analysis, statement: &Statement) -> Option<Symbol> {
    let text = |span: Span| analysis.sources.text(span);
    let span = statement.span;
    let first = keyword(&statement.kind)
        .map_or(span, |word| Span::new(span.source, span.start, span.start + word.len()));
    let rest = |from: Span| one_line(text(Span::new(span.source, from.end, span.end)));
    let (name, detail, kind, focus) = match &statement.kind {
        StatementKind::Header { name, .. } => {
            (one_line(text(name.span)), String::new(), SymbolKind::Recipe, name.span)
        }
        StatementKind::Param { name, ty, .. } => {
            (name.text.clone(), ty.text.clone(), SymbolKind::Param, name.span)
        }
        StatementKind::Let { name, value } => {
            (name.text.clone(), one_line(text(value.span)), SymbolKind::Let, name.span)
        }
        StatementKind::Model { name, .. } => {
            (name.text.clone(), rest(name.span), SymbolKind::Model, name.span)
        }
        StatementKind::Data { name, reader } => {
            (name.text.clone(), one_line(text(reader.span)), SymbolKind::Data, name.span)
        }
        StatementKind::Step(step) => {
            let nouns: Vec<&str> = step.nouns.iter().map(|noun| noun.name.text.as_str()).collect();
            let name = format!("{} {}", step.verb.text, nouns.join(", "));
            let behind = step.nouns.last().map_or(step.verb.span, |noun| noun.span);
            (name, rest(behind), SymbolKind::Step, step.verb.span)
        }
        StatementKind::Sweep { name, values, .. } => {
            (format!("sweep {}", name.text), one_line(text(values.span)), SymbolKind::Sweep, name.span)
        }
        StatementKind::Measure { .. } | StatementKind::MeasureAt { .. } | StatementKind::Expect { .. } => {
            (one_line(text(span)), String::new(), SymbolKind::Measure, first)
        }
        StatementKind::Save { path, .. } => {
            (format!("save {}", one_line(text(path.span))), String::new(), SymbolKind::Save, first)
        }
        StatementKind::Use { .. } | StatementKind::Broken => return None,
    };
    let children = match &statement.kind {
        StatementKind::Sweep { body, .. } => body.iter().filter_map(|it| symbol(analysis, it)).collect(),
        _ => Vec::new(),
    };
    Some(Symbol { name, detail: detail.trim().to_owned(), kind, span, focus, children })
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Statements of several lines, and comments that follow each other.
pub fn folds(analysis: &Analysis) -> Vec<Fold> {
    let source = analysis.sources.get(analysis.source);
    let lines = |span: Span| (source.place(span.start).line - 1, source.place(span.end).line - 1);
    let mut folds = Vec::new();
    statement_folds(&analysis.examined.recipe.statements, &lines, &mut folds);
    let comments: Vec<usize> = analysis.examined.recipe.comments.iter().map(|it| lines(it.span).0).collect();
    for run in comments.chunk_by(|above, below| above + 1 == *below) {
        if let [first, .., last] = run {
            folds.push(Fold { first: *first, last: *last, kind: FoldKind::Comment });
        }
    }
    folds.sort_by_key(|fold| (fold.first, fold.last));
    folds
}

fn statement_folds(statements: &[Statement], lines: &dyn Fn(Span) -> (usize, usize), folds: &mut Vec<Fold>) {
    for statement in statements {
        let (first, last) = lines(statement.span);
        if last > first {
            folds.push(Fold { first, last, kind: FoldKind::Region });
        }
        if let StatementKind::Sweep { body, .. } = &statement.kind {
            statement_folds(body, lines, folds);
        }
    }
}
