//! Values: criteria, measures, readers, choices, names, and examples of their type.

use super::super::callee::{Callee, Wanted, examples};
use super::item::{CompletionKind, Items};
use crate::pass::{Type, ValueKind};

/// What can begin a value.
pub(super) fn value(wanted: Wanted, items: &mut Items<'_>) {
    let registry = items.registry();
    match wanted {
        Wanted::Measure => registry.measures.iter().for_each(|spec| items.callee(Callee::Measure(spec))),
        Wanted::Reader => registry.readers.iter().for_each(|spec| items.callee(Callee::Reader(spec))),
        Wanted::Anything => items.names(|value| !matches!(value, ValueKind::Data(_) | ValueKind::Model(_))),
        Wanted::Type(ty) => of_type(ty, items),
    }
}

fn of_type(ty: Type, items: &mut Items<'_>) {
    let registry = items.registry();
    match ty.name {
        "criterion" => registry.criteria.iter().for_each(|spec| items.callee(Callee::Criterion(spec))),
        "data" => items.names(|value| matches!(value, ValueKind::Data(_))),
        _ => {
            items.names(|value| !matches!(value, ValueKind::Data(_) | ValueKind::Model(_)));
            for choice in ty.choices {
                items.word(CompletionKind::Choice, choice, meaning(&ty, choice));
            }
            if ty.choices.is_empty() {
                examples(&ty).into_iter().for_each(|example| items.example(example, ty.doc));
            }
        }
    }
}

/// What a type's doc says of one of its words.
pub(super) fn meaning(ty: &Type, choice: &str) -> &'static str {
    let head = format!("* `{choice}`:");
    ty.doc.lines().find_map(|line| line.strip_prefix(&head)).unwrap_or_default().trim()
}
