//! Inside of brackets: arguments of a call, options of `with`, numbers of a list.

use super::super::callee::{Callee, Wanted};
use super::super::cursor::{Cursor, Token, TokenKind};
use super::super::selector;
use super::item::{CompletionKind, Items};
use super::{selector_words, value, with_owner};
use crate::syntax::ast::ClauseKind;

/// Fields that the report and the model card know.
const HEADER: [(&str, &str); 3] = [
    ("paper", "of the method, such as `arXiv:2403.17921`"),
    ("license", "of the result"),
    ("base_model", "its name on the hub"),
];

pub(super) fn inside(cursor: &Cursor<'_>, open: usize, items: &mut Items<'_>) {
    let before = open.checked_sub(1).map(|at| cursor.tokens[at]);
    let word = before.map_or("", |before| before.text);
    match cursor.tokens[open].text {
        "(" => {
            if let Some(callee) = called(cursor, open, items) {
                arguments(cursor, open, callee, items);
            }
        }
        "{" if word == "with" => {
            if let Some(owner) = with_owner(cursor, items) {
                arguments(cursor, open, owner, items);
            }
        }
        "{" if word == "at" => {
            for name in ["tokens", "batch"] {
                items.snippet(
                    CompletionKind::Option,
                    name,
                    "of the input that costs are stated for",
                    &format!("{name}: $0"),
                );
            }
        }
        "{" if cursor.word(0) == "recipe" => {
            for (name, doc) in HEADER {
                items.snippet(CompletionKind::Option, name, doc, &format!("{name}: \"$0\""));
            }
        }
        "{" if word == "." || is_clause(word) => {
            let path = Cursor { tokens: cursor.tokens[..open].to_vec(), ..cursor.clone() };
            selector_words(&path, items);
        }
        "[" => numbers(cursor, open, items),
        _ => {}
    }
}

fn is_clause(word: &str) -> bool {
    ClauseKind::ALL.iter().any(|kind| kind.keyword() == word)
}

/// What is called with the bracket that a token opens.
pub(super) fn called(cursor: &Cursor<'_>, open: usize, items: &Items<'_>) -> Option<Callee> {
    callee_of(&cursor.tokens, open, items.registry())
}

/// What is called by the name before an opening bracket: a measure in `measure` and `expect`, a reader in `data`, else a
/// criterion.
pub(in crate::ide) fn callee_of(
    tokens: &[Token<'_>],
    open: usize,
    registry: &'static crate::pass::Registry,
) -> Option<Callee> {
    let name = tokens.get(open.checked_sub(1)?).filter(|token| token.kind == TokenKind::Word)?;
    let wanted = match tokens[0].text {
        "measure" | "expect" => Wanted::Measure,
        "data" => Wanted::Reader,
        _ => Wanted::Anything,
    };
    wanted.called(name.text, registry).or_else(|| Wanted::Anything.called(name.text, registry))
}

/// The number of the argument behind the tokens, and its name where it has one.
pub(in crate::ide) fn argument<'a>(tokens: &[Token<'a>], open: usize) -> (usize, Option<&'a str>) {
    let mut depth = 0;
    let (mut number, mut begin) = (0, open + 1);
    for (at, token) in tokens.iter().enumerate().skip(open + 1) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            "," if depth == 0 => {
                number += 1;
                begin = at + 1;
            }
            _ => {}
        }
    }
    let named = tokens.get(begin + 1).is_some_and(|colon| colon.text == ":");
    let name = tokens.get(begin).filter(|name| named && name.kind == TokenKind::Word);
    (number, name.map(|name| name.text))
}

fn arguments(cursor: &Cursor<'_>, open: usize, callee: Callee, items: &mut Items<'_>) {
    let (number, name) = argument(&cursor.tokens, open);
    let last = cursor.last().map_or("", |last| last.text);
    let with = matches!(callee, Callee::Pass(_) | Callee::Save);
    if name.is_some() {
        if last == ":" {
            value::value(callee.wants(name, number), items);
        }
        return;
    }
    if !matches!(last, "(" | "{" | ",") {
        return;
    }
    if !with {
        value::value(callee.wants(None, number), items);
    }
    let given: Vec<&str> = cursor.tokens[open + 1..]
        .windows(2)
        .filter(|pair| pair[1].text == ":")
        .map(|pair| pair[0].text)
        .collect();
    let skipped = if with { 0 } else { number };
    for field in callee.fields().iter().skip(skipped).filter(|field| !given.contains(&field.name)) {
        items.field(field);
    }
}

/// Numbers of a list's members: all of them, or the first half, with how many there are.
fn numbers(cursor: &Cursor<'_>, open: usize, items: &mut Items<'_>) {
    let is_list = open > 0 && cursor.tokens[open - 1].kind == TokenKind::Word && cursor.word(0) != "sweep";
    let last = cursor.last().map_or("", |last| last.text);
    if is_list && last == "[" {
        // As if the list's name had a point behind it.
        let mut tokens = cursor.tokens[..open].to_vec();
        tokens.push(Token { text: ".", start: cursor.start, kind: TokenKind::Sign });
        let path = selector::of_tokens(&tokens);
        if let Some(graph) = items.graph() {
            let count = selector::reach(graph, &path).len();
            if count > 0 {
                items.word(CompletionKind::Example, "*", &format!("all {count}"));
                if count > 1 {
                    items.word(
                        CompletionKind::Example,
                        &format!("0..{}", count.div_ceil(2)),
                        "the first half",
                    );
                    items.word(
                        CompletionKind::Example,
                        &format!("{}..", count.div_ceil(2)),
                        "the second half",
                    );
                }
                items.word(CompletionKind::Example, "-1", "the last");
            }
        }
    }
    value::value(Wanted::Anything, items);
}
