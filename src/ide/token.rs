//! What each word is, for its colour.

use super::Analysis;
use super::callee::Wanted;
use super::cursor::{self, TokenKind as Lexed};
use super::mention::{What, mentions};
use super::name::defined;
use crate::pass::Noun;
use crate::syntax::{is_clause_word, is_statement_word};

/// What a token is; names as the protocol has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TokenKind {
    Comment,
    Keyword,
    /// A verb.
    Function,
    /// A noun.
    Class,
    /// A criterion, a measure or a reader.
    Method,
    /// A param or a let.
    Variable,
    /// The name of an argument or option.
    Parameter,
    /// A part of the model.
    Property,
    /// A word of a list of choices, or a unit.
    EnumMember,
    Type,
    String,
    Number,
}

/// Bytes of one line, and what they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    pub start: usize,
    pub end: usize,
    pub kind: TokenKind,
}

/// All tokens, in order, none over another; each on one line.
pub fn tokens(analysis: &Analysis) -> Vec<Token> {
    let text = analysis.text();
    let recipe = &analysis.examined.recipe;
    let mut found: Vec<Token> = mentions(recipe, analysis.registry)
        .iter()
        .filter_map(|mention| {
            let kind = kind(analysis, mention.what, mention.span.start)?;
            Some(Token { start: mention.span.start, end: mention.span.end, kind })
        })
        .collect();
    found.extend(recipe.comments.iter().map(|comment| Token {
        start: comment.span.start,
        end: comment.span.end,
        kind: TokenKind::Comment,
    }));
    found.sort_by_key(|token| token.start);
    let known = found.clone();
    // Words that the tree has no place for, as `in` and `except`, and what stands in broken statements.
    for token in cursor::statements(text).into_iter().flatten() {
        let kind = match token.kind {
            Lexed::Text => TokenKind::String,
            Lexed::Number => TokenKind::Number,
            Lexed::Word if is_reserved(token.text) => TokenKind::Keyword,
            Lexed::Word | Lexed::Sign => continue,
        };
        let (start, end) = (token.start, token.start + token.text.len());
        let before = known.partition_point(|other| other.start < end);
        if !known[..before].iter().rev().take(2).any(|other| start < other.end) {
            found.push(Token { start, end, kind });
        }
    }
    found.sort_by_key(|token| (token.start, std::cmp::Reverse(token.end)));
    split(found)
}

fn is_reserved(word: &str) -> bool {
    is_clause_word(word) || is_statement_word(word) || word == "in"
}

/// A name inside of a text is taken out of it.
fn split(tokens: Vec<Token>) -> Vec<Token> {
    let mut flat: Vec<Token> = Vec::new();
    for token in tokens {
        match flat.last().copied() {
            Some(outer) if token.start < outer.end => {
                flat.pop();
                let parts = [Token { end: token.start, ..outer }, token, Token { start: token.end, ..outer }];
                flat.extend(parts.into_iter().filter(|part| part.start < part.end));
            }
            _ => flat.push(token),
        }
    }
    flat
}

fn kind(analysis: &Analysis, what: What<'_>, at: usize) -> Option<TokenKind> {
    Some(match what {
        What::Keyword(_) | What::Clause(..) => TokenKind::Keyword,
        What::Verb(step) => {
            analysis.registry.passes_of(&step.verb.text).next()?;
            TokenKind::Function
        }
        What::Noun(_, noun) => {
            Noun::named(&noun.name.text)?;
            TokenKind::Class
        }
        What::Defines => TokenKind::Variable,
        What::Name(name, wanted) => named(analysis, name, wanted, at)?,
        What::Called(..) => TokenKind::Method,
        What::Key(..) => TokenKind::Parameter,
        What::Unit(_) => TokenKind::EnumMember,
        What::Type(_) => TokenKind::Type,
        What::Segment(..) => TokenKind::Property,
        What::Text => TokenKind::String,
        What::Number => TokenKind::Number,
    })
}

fn named(analysis: &Analysis, name: &str, wanted: Wanted, at: usize) -> Option<TokenKind> {
    if defined(analysis, name, at).is_some() {
        return Some(TokenKind::Variable);
    }
    if wanted.called(name, analysis.registry).is_some() {
        return Some(TokenKind::Method);
    }
    matches!(wanted, Wanted::Type(ty) if ty.choices.contains(&name)).then_some(TokenKind::EnumMember)
}
