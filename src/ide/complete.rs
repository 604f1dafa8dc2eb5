//! What can stand at a cursor: words of the language, names of the recipe, places of the model, files.

mod argument;
mod file;
mod item;
mod step;
mod value;

pub(super) use argument::{argument, callee_of};
pub use file::{Listed, Shelf};
pub use item::{Completion, CompletionKind};

use super::Analysis;
use super::callee::{Callee, Wanted};
use super::cursor::{Cursor, Inside};
use super::selector;
use crate::check::PARAM_TYPES;
use crate::pass::CostMeasure;
use crate::reference::{self, Kind};
use crate::syntax::{is_clause_word, statement_words};
use item::Items;

/// Everything that can stand at an offset, the likeliest first. `shelf` tells what files lie where.
pub fn complete(analysis: &Analysis, offset: usize, shelf: &dyn Shelf) -> Vec<Completion> {
    let cursor = Cursor::at(analysis.text(), offset);
    let mut items = Items::new(analysis, cursor.start, offset);
    match cursor.inside {
        Inside::Comment => {}
        Inside::Text => file::texts(&cursor, &mut items, shelf),
        Inside::Words => words(&cursor, &mut items),
    }
    items.done()
}

fn words(cursor: &Cursor<'_>, items: &mut Items<'_>) {
    let Some(first) = cursor.tokens.first() else { return beginnings(cursor, items) };
    if let Some(&open) = cursor.open.last() {
        return argument::inside(cursor, open, items);
    }
    match first.text {
        "recipe" | "use" | "model" => {}
        "param" => param(cursor, items),
        "let" => {
            if behind(cursor, "=") {
                value::value(Wanted::Anything, items);
            }
        }
        "data" => {
            if behind(cursor, "=") {
                value::value(Wanted::Reader, items);
            }
        }
        "measure" => measure(cursor, items),
        "expect" => expect(cursor, items),
        "sweep" => sweep(cursor, items),
        "save" => {
            if cursor.tokens.len() > 1 && cursor.last().is_some_and(|last| last.text != "with") {
                items.keyword("with", "options");
            }
        }
        _ => step::step(cursor, items),
    }
}

/// Whether a token stands right before the cursor.
fn behind(cursor: &Cursor<'_>, text: &str) -> bool {
    cursor.last().is_some_and(|last| last.text == text)
}

/// The begin of a statement, or a clause of the step above.
fn beginnings(cursor: &Cursor<'_>, items: &mut Items<'_>) {
    let above = Cursor { tokens: cursor.above.clone(), above: Vec::new(), ..cursor.clone() };
    if let Some(first) = above.tokens.first()
        && !statement_words().contains(&first.text)
    {
        step::clauses(&above, items);
    }
    let entries = reference::entries(items.registry());
    for entry in entries.iter().filter(|entry| matches!(entry.kind, Kind::Verb | Kind::Statement)) {
        let is_new = entry.kind == Kind::Verb || statement_words().contains(&entry.name.as_str());
        if is_new {
            items.entry(entry);
        }
    }
}

fn param(cursor: &Cursor<'_>, items: &mut Items<'_>) {
    if behind(cursor, ":") {
        for (name, takes) in PARAM_TYPES {
            items.word(CompletionKind::Type, name, takes);
        }
    } else if behind(cursor, "=") {
        value::value(Wanted::Anything, items);
        let ty =
            cursor.tokens.iter().position(|token| token.text == ":").map_or("", |at| cursor.word(at + 1));
        if let Some((_, takes)) = PARAM_TYPES.iter().find(|(name, _)| *name == ty) {
            takes.split('`').skip(1).step_by(2).for_each(|example| items.example(example, takes));
        }
    }
}

fn measure(cursor: &Cursor<'_>, items: &mut Items<'_>) {
    let last = cursor.last().map_or("", |last| last.text);
    match last {
        "measure" => {
            items.keyword("at", "the input that costs are stated for");
            value::value(Wanted::Measure, items);
        }
        "," => value::value(Wanted::Measure, items),
        "of" | "except" | "." => selector_words(cursor, items),
        _ if !is_clause_word(last) => items.keyword("of", "of a part of the model"),
        _ => {}
    }
}

fn expect(cursor: &Cursor<'_>, items: &mut Items<'_>) {
    let comparison = cursor.tokens.iter().rposition(|token| matches!(token.text, "<" | ">" | "="));
    let last = cursor.last().map_or("", |last| last.text);
    match comparison {
        None => match last {
            "expect" => value::value(Wanted::Measure, items),
            "of" | "except" | "." | "," => selector_words(cursor, items),
            _ => {
                for sign in ["<=", ">=", "<", ">", "=="] {
                    items.word(CompletionKind::Keyword, sign, "a bound");
                }
                items.keyword("of", "of a part of the model");
            }
        },
        Some(at) if at + 1 == cursor.tokens.len() => value::value(Wanted::Anything, items),
        Some(_) if last == "of" => items.models(),
        Some(_) => items.keyword("of", "relative to the input model"),
    }
}

fn sweep(cursor: &Cursor<'_>, items: &mut Items<'_>) {
    match (cursor.tokens.len(), behind(cursor, "in")) {
        (2, _) => items.keyword("in", "a list of values"),
        (_, true) => value::value(Wanted::Anything, items),
        _ => {}
    }
}

/// Children of what the path before the cursor has reached.
fn selector_words(cursor: &Cursor<'_>, items: &mut Items<'_>) {
    let path = selector::of_tokens(&cursor.tokens);
    let Some(graph) = items.graph() else { return };
    let reached = selector::reach(graph, &path);
    for child in selector::children(graph, &reached) {
        items.place(&child, &selector::describe(graph, child.node));
    }
    if path.is_empty() {
        items.word(CompletionKind::Place, "**", "every depth");
        items.snippet(
            CompletionKind::Place,
            "tensor",
            "weights by the names of the checkpoint",
            "tensor(\"$0\")",
        );
    } else {
        items.word(CompletionKind::Place, "*", "every child");
    }
}

/// What an expectation or a step can be given in: names of costs.
fn costs(items: &mut Items<'_>) {
    for measure in CostMeasure::ALL {
        items.word(CompletionKind::Unit, measure.name(), "a cost of the model");
    }
}

/// The callee of a `with { … }`: of the step, or of `save`.
fn with_owner(cursor: &Cursor<'_>, items: &Items<'_>) -> Option<Callee> {
    match cursor.word(0) {
        "save" => Some(Callee::Save),
        _ => step::pass(cursor, items.registry()).map(Callee::Pass),
    }
}
