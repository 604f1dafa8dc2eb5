//! Steps: nouns of the verb, clauses that its pass takes and that are not there yet, and what stands in each.

use super::super::callee::{Callee, Wanted, clause_of, page, pass_of, units};
use super::super::cursor::{Cursor, TokenKind};
use super::item::{CompletionKind, Items};
use super::{costs, selector_words, value};
use crate::pass::{ClauseSpec, CriterionSpec, NOUNS, Noun, NounKind, PassSpec, Registry, summary};
use crate::reference::{Entry, Kind};
use crate::syntax::ast::ClauseKind;

pub(super) fn step(cursor: &Cursor<'_>, items: &mut Items<'_>) {
    let depths = depths(cursor);
    let outer = |at: usize| depths[at] == 0;
    let clause = (0..cursor.tokens.len()).rev().filter(|&at| outer(at)).find_map(|at| {
        let kind = kind_of(cursor.tokens[at].text)?;
        Some((at, kind))
    });
    let Some((at, kind)) = clause else {
        return match cursor.last().map(|last| last.text) {
            Some(",") => nouns(cursor, items),
            Some(verb) if cursor.tokens.len() == 1 => nouns_of(verb, &[], items),
            _ => clauses(cursor, items),
        };
    };
    let written = cursor.tokens.len() - at - 1;
    let last = cursor.last().map_or("", |last| last.text);
    match kind {
        ClauseKind::Of | ClauseKind::At => match last {
            _ if written == 0 => selector_words(cursor, items),
            "," | "." | "except" | "*" => selector_words(cursor, items),
            _ => {
                items.keyword("except", "what is taken out again");
                clauses(cursor, items);
            }
        },
        ClauseKind::With => clauses(cursor, items),
        _ => {
            let known = pass(cursor, items.registry()).and_then(|spec| clause_of(spec, kind));
            if written == 0 || matches!(last, "+" | "-" | "*" | "/" | ":") {
                match known.map(|known| known.field.ty) {
                    Some(ty) if ty.name == "criterion" => criteria(cursor, items),
                    Some(ty) => value::value(Wanted::Type(ty), items),
                    None => value::value(Wanted::Anything, items),
                }
            } else {
                amount(cursor, known, items);
                clauses(cursor, items);
            }
        }
    }
}

/// Criteria: first those whose own examples are of such a step.
fn criteria(cursor: &Cursor<'_>, items: &mut Items<'_>) {
    let verb = cursor.word(0);
    let is_for_others = |spec: &CriterionSpec| {
        let by = format!("by {}", spec.name);
        !spec.doc.lines().any(|line| line.split_whitespace().next() == Some(verb) && line.contains(&by))
    };
    let mut all: Vec<_> = items.registry().criteria.iter().collect();
    all.sort_by_key(|spec| is_for_others(spec));
    all.into_iter().for_each(|spec| items.callee(Callee::Criterion(spec)));
}

/// Units behind a number or a name.
fn amount(cursor: &Cursor<'_>, known: Option<&'static ClauseSpec>, items: &mut Items<'_>) {
    let Some(last) = cursor.last() else { return };
    if !matches!(last.kind, TokenKind::Number | TokenKind::Word) {
        return;
    }
    let Some(known) = known else { return costs(items) };
    for unit in units(&known.field.ty) {
        let measure = items.registry().measure(unit);
        items.word(CompletionKind::Unit, unit, measure.map_or("a unit", |measure| summary(measure.doc)));
    }
}

/// Nouns that the verb acts on, and that are not there yet.
fn nouns(cursor: &Cursor<'_>, items: &mut Items<'_>) {
    let there: Vec<&str> = cursor.tokens[1..].iter().map(|token| token.text).collect();
    nouns_of(cursor.word(0), &there, items);
}

fn nouns_of(verb: &str, there: &[&str], items: &mut Items<'_>) {
    let registry = items.registry();
    let taken: Vec<&str> = registry.passes_of(verb).flat_map(|spec| spec.nouns.iter().copied()).collect();
    let graph = items.graph();
    // What the model has not would only be refused.
    let is_there = |noun: &&Noun| match (noun.kind, graph) {
        (NounKind::Elements(roles), Some(graph)) => {
            graph.axes.iter().any(|(_, axis)| roles.contains(&axis.role))
        }
        _ => true,
    };
    let nouns = NOUNS.iter().filter(|noun| taken.contains(&noun.name) && !there.contains(&noun.name));
    for noun in nouns.filter(is_there) {
        let text = page(registry, Kind::Noun, noun.name, |_| true).unwrap_or_default();
        let (name, summary) = (noun.name.to_owned(), noun.doc.to_owned());
        items.entry(&Entry { kind: Kind::Noun, name, summary, text });
    }
}

/// Clauses of the step that are not there yet.
pub(super) fn clauses(cursor: &Cursor<'_>, items: &mut Items<'_>) {
    let depths = depths(cursor);
    let written: Vec<ClauseKind> = (0..cursor.tokens.len())
        .filter(|&at| depths[at] == 0)
        .filter_map(|at| kind_of(cursor.tokens[at].text))
        .collect();
    let Some(spec) = pass(cursor, items.registry()) else { return };
    let is_placed = written.iter().any(|kind| matches!(kind, ClauseKind::Of | ClauseKind::At));
    if !is_placed {
        items.keyword("of", "where: a selector; without it the whole model");
    }
    for clause in spec.clauses.iter().filter(|clause| !written.contains(&clause.kind)) {
        items.keyword(clause.kind.keyword(), clause.field.doc.trim());
    }
    if !spec.options.is_empty() && !written.contains(&ClauseKind::With) {
        let names: Vec<&str> = spec.options.iter().map(|option| option.name).collect();
        let detail = names.join(", ");
        items.snippet(CompletionKind::Keyword, "with", &detail, "with { $0 }");
    }
}

/// The pass of the step before the cursor.
pub(super) fn pass(cursor: &Cursor<'_>, registry: &'static Registry) -> Option<&'static PassSpec> {
    pass_of(registry, cursor.word(0), Some(cursor.word(1)))
}

fn kind_of(word: &str) -> Option<ClauseKind> {
    ClauseKind::ALL.into_iter().find(|kind| kind.keyword() == word)
}

/// How many brackets each token stands in.
fn depths(cursor: &Cursor<'_>) -> Vec<usize> {
    let mut depth = 0_usize;
    let mut depths = Vec::new();
    for token in &cursor.tokens {
        match token.text {
            ")" | "]" | "}" => {
                depth = depth.saturating_sub(1);
                depths.push(depth + 1);
            }
            "(" | "[" | "{" => {
                depth += 1;
                depths.push(depth);
            }
            _ => depths.push(depth),
        }
    }
    depths
}
