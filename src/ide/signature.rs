//! The signature of what is being written, with the argument that the cursor is in.

use super::Analysis;
use super::callee::{Callee, pass_of};
use super::complete::{argument, callee_of};
use super::cursor::{Cursor, Inside};
use crate::pass::FieldSpec;
use crate::reference;
use crate::syntax::ast::ClauseKind;

/// A signature, and what of it the cursor is at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    pub label: String,
    /// Markdown.
    pub doc: String,
    /// Bytes of the label, and what that part means, for each argument, clause or option.
    pub parameters: Vec<(usize, usize, String)>,
    /// The number of the parameter that the cursor is at.
    pub active: Option<usize>,
}

/// The innermost call around an offset, else the step.
pub fn signature(analysis: &Analysis, offset: usize) -> Option<Signature> {
    let cursor = Cursor::at(analysis.text(), offset);
    if cursor.inside == Inside::Comment {
        return None;
    }
    let registry = analysis.registry;
    let innermost = cursor.open.iter().rev().find_map(|&open| match cursor.tokens[open].text {
        "(" => callee_of(&cursor.tokens, open, registry).map(|callee| (open, callee)),
        "{" if open > 0 && cursor.tokens[open - 1].text == "with" => {
            let pass = pass_of(registry, cursor.word(0), Some(cursor.word(1))).map(Callee::Pass);
            let owner = if cursor.word(0) == "save" { Some(Callee::Save) } else { pass };
            owner.map(|owner| (open, owner))
        }
        _ => None,
    });
    if let Some((open, callee)) = innermost {
        let (number, name) = argument(&cursor.tokens, open);
        let with = matches!(callee, Callee::Pass(_) | Callee::Save);
        let active = match name {
            Some(name) => callee.fields().iter().position(|field| field.name == name),
            None if with => None,
            None => Some(number).filter(|&number| number < callee.fields().len()),
        };
        let skipped = if let Callee::Pass(spec) = callee { spec.clauses.len() } else { 0 };
        return Some(of_callee(callee, active.map(|active| active + skipped)));
    }
    let first = if cursor.tokens.is_empty() { &cursor.above } else { &cursor.tokens };
    let (verb, noun) = (first.first()?, first.get(1).map(|noun| noun.text));
    let spec = pass_of(registry, verb.text, noun)?;
    let clause = cursor.tokens.iter().rev().find_map(|token| kind_of(token.text));
    let active = clause.and_then(|kind| spec.clauses.iter().position(|clause| clause.kind == kind));
    Some(of_callee(Callee::Pass(spec), active))
}

fn kind_of(word: &str) -> Option<ClauseKind> {
    ClauseKind::ALL.into_iter().find(|kind| kind.keyword() == word)
}

fn of_callee(callee: Callee, active: Option<usize>) -> Signature {
    let label = callee.signature();
    let mut parameters = Vec::new();
    let mut from = 0;
    if let Callee::Pass(spec) = callee {
        for clause in spec.clauses {
            let head = format!("{} ", clause.kind.keyword());
            parameters.push(found(&label, &mut from, &head, &clause.field));
        }
    }
    for field in callee.fields() {
        let signature = reference::field_signature(field);
        let head = signature.trim_matches(['[', ']']).to_owned();
        parameters.push(found(&label, &mut from, &head, field));
    }
    Signature { label, doc: reference::prose(callee.doc()), parameters, active }
}

/// Where a parameter stands in a label, behind those before it. Of a clause it is the word and what it takes.
fn found(label: &str, from: &mut usize, head: &str, field: &FieldSpec) -> (usize, usize, String) {
    let start = label[*from..].find(head).map_or(*from, |at| *from + at);
    let rest = &label[start + head.len()..];
    let more = if head.ends_with(' ') { rest.find([' ', ']']).unwrap_or(rest.len()) } else { 0 };
    *from = start + head.len() + more;
    (start, *from, reference::prose(field.doc))
}
