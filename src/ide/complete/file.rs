//! Inside of texts: paths of models, data and recipes, and fields of data.

use super::super::callee::Callee;
use super::super::cursor::{Cursor, TokenKind};
use super::argument::{argument, called};
use super::item::{CompletionKind, Items};
use crate::pass::{CallArgument, Value, ValueKind, bind_call};
use crate::source::Span;

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    pub name: String,
    pub is_dir: bool,
    /// A directory that holds a model.
    pub is_model: bool,
}

/// What files lie where, as far as an editor is to propose them.
pub trait Shelf {
    /// The entries of a directory, by name. The path is one of the recipe: relative to where tamis runs, or, for files that
    /// are `use`d, to the recipe.
    fn list(&self, directory: &str, beside_recipe: bool) -> Vec<Listed>;
}

/// What is wanted in a text.
enum Text {
    Model,
    Recipe,
    Data,
    Directory,
    Field,
}

/// So many names of tensors are proposed; a glob says more with less.
const TENSORS: usize = 200;

pub(super) fn texts(cursor: &Cursor<'_>, items: &mut Items<'_>, shelf: &dyn Shelf) {
    let named = cursor.open.last().and_then(|open| open.checked_sub(1)).map(|at| cursor.tokens[at].text);
    if named == Some("tensor") {
        return tensors(items);
    }
    let Some(wanted) = wanted(cursor, items) else { return };
    if matches!(wanted, Text::Field) {
        return fields(cursor, items);
    }
    let (directory, _) =
        cursor.prefix.rsplit_once('/').map_or(("", cursor.prefix), |(dir, name)| (dir, name));
    let start = items.replaces.0 + cursor.prefix.rfind('/').map_or(0, |slash| slash + 1);
    let absolute = cursor.prefix.starts_with('/') && directory.is_empty();
    let listed = shelf.list(if absolute { "/" } else { directory }, matches!(wanted, Text::Recipe));
    items.replaces.0 = start;
    for entry in listed {
        let fits = match wanted {
            _ if entry.is_dir => true,
            Text::Recipe => entry.name.ends_with(".tamis"),
            Text::Model => entry.name.ends_with(".json"),
            Text::Data => true,
            Text::Directory | Text::Field => false,
        };
        if fits {
            listed_item(&entry, items);
        }
    }
}

fn listed_item(entry: &Listed, items: &mut Items<'_>) {
    let detail = match (entry.is_model, entry.is_dir) {
        (true, _) => "model",
        (_, true) => "directory",
        _ => "file",
    };
    let kind = if entry.is_dir { CompletionKind::Directory } else { CompletionKind::File };
    items.word(kind, &entry.name, detail);
}

fn wanted(cursor: &Cursor<'_>, items: &Items<'_>) -> Option<Text> {
    match (cursor.word(0), cursor.open.last()) {
        ("use", None) => Some(Text::Recipe),
        ("model", None) => Some(Text::Model),
        ("save", None) => Some(Text::Directory),
        (_, Some(&open)) => match called(cursor, open, items)? {
            Callee::Reader(spec) => {
                let (number, name) = argument(&cursor.tokens, open);
                let field = name.or_else(|| spec.arguments.get(number).map(|field| field.name))?;
                Some(if field == spec.arguments.first()?.name { Text::Data } else { Text::Field })
            }
            _ => None,
        },
        _ => None,
    }
}

/// Names of the checkpoint, with their shapes.
fn tensors(items: &mut Items<'_>) {
    let Some(graph) = items.graph() else { return };
    for (_, param) in graph.weights().take(TENSORS) {
        items.word(CompletionKind::Place, &param.name.resolve(), &graph.dims_text(&param.dims));
    }
}

/// The fields that the data has, as the reader finds them.
fn fields(cursor: &Cursor<'_>, items: &mut Items<'_>) {
    let Some(&open) = cursor.open.last() else { return };
    let Some(Callee::Reader(spec)) = called(cursor, open, items) else { return };
    let path = cursor.tokens.get(open + 1).filter(|path| path.kind == TokenKind::Text);
    let Some(path) = path.and_then(|path| path.text.strip_prefix('"')?.strip_suffix('"')) else { return };
    let span = Span::new(items.analysis.source, cursor.start, cursor.start);
    let value = Value { kind: ValueKind::Text(path.to_owned()), span };
    let args = [CallArgument { name: None, value }];
    let bound = bind_call((spec.name, span), &args, spec.arguments, items.registry(), spec.bind);
    let Ok(reader) = bound else { return };
    for field in reader.fields() {
        items.word(CompletionKind::Field, &field, &format!("a field of {path}"));
    }
}
