//! What names mean at a place of the recipe: one flat scope, to which a sweep adds its variable.

use std::cell::Cell;

use crate::diagnostic::{Diagnostic, Diagnostics, codes, nearest};
use crate::pass::{Names, ValueKind};
use crate::source::Span;
use crate::syntax::ast;

/// What kind of statement defined a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defined {
    Param,
    Let,
    Data,
    Model,
    Sweep,
}

impl Defined {
    /// The word that begins such a statement.
    pub fn word(self) -> &'static str {
        match self {
            Self::Param => "param",
            Self::Let => "let",
            Self::Data => "data",
            Self::Model => "model",
            Self::Sweep => "sweep",
        }
    }
}

#[derive(Debug)]
struct Entry {
    name: String,
    value: ValueKind,
    by: Defined,
    span: Span,
    used: Cell<bool>,
}

/// A name that a statement defines.
#[derive(Debug, Clone)]
pub struct Definition {
    pub name: String,
    pub by: Defined,
    /// The name, in the recipe or in a file that it uses.
    pub span: Span,
    pub value: ValueKind,
}

/// Names in the order of their definition.
#[derive(Debug, Default)]
pub struct Scope {
    entries: Vec<Entry>,
    /// All that was ever defined, a variable once for each of its values.
    defined: Vec<Definition>,
    /// Names whose definitions were refused: that they are not there follows from that.
    refused: Vec<String>,
}

impl Scope {
    /// Adds a name, and says whether it did; a second definition is a diagnostic and has no effect.
    pub fn define(
        &mut self,
        name: &ast::Name,
        value: ValueKind,
        by: Defined,
        diagnostics: &mut Diagnostics,
    ) -> bool {
        if let Some(first) = self.entries.iter().find(|entry| entry.name == name.text) {
            let message = format!("`{}` is defined already", name.text);
            let diagnostic = Diagnostic::at(&codes::DUPLICATE_NAME, name.span, message);
            diagnostics.push(diagnostic.label(first.span, format!("this {} has the name", first.by.word())));
            return false;
        }
        let (name, span) = (name.text.clone(), name.span);
        self.defined.push(Definition { name: name.clone(), by, span, value: value.clone() });
        self.entries.push(Entry { name, value, by, span, used: Cell::new(false) });
        true
    }

    /// Notes that a definition was refused, with a diagnostic of its own.
    pub fn refuse(&mut self, name: &str) {
        self.refused.push(name.to_owned());
    }

    pub fn is_refused(&self, name: &str) -> bool {
        self.refused.iter().any(|refused| refused == name)
    }

    /// Everything that was defined, what is forgotten by now too.
    pub fn take_defined(&mut self) -> Vec<Definition> {
        std::mem::take(&mut self.defined)
    }

    /// How many names there are: what [`Scope::leave`] goes back to.
    pub fn mark(&self) -> usize {
        self.entries.len()
    }

    /// Forgets the names defined since the mark, and warns of those never used.
    pub fn leave(&mut self, mark: usize, diagnostics: &mut Diagnostics) {
        for entry in self.entries.drain(mark..) {
            let named_for_others = entry.by == Defined::Model;
            if !entry.used.get() && !named_for_others {
                let message = format!("{} `{}` is never used", entry.by.word(), entry.name);
                diagnostics.push(Diagnostic::at(&codes::UNUSED, entry.span, message));
            }
        }
    }

    /// Names defined in `use`d files may be left unused.
    pub fn use_all(&self) {
        self.entries.iter().for_each(|entry| entry.used.set(true));
    }

    /// The name nearest to what was written.
    pub fn nearest(&self, written: &str) -> Option<&str> {
        nearest(written, self.entries.iter().map(|entry| entry.name.as_str()))
    }

    /// Adds the nearest name to diagnostics about unknown ones.
    pub fn suggest(&self, diagnostic: Diagnostic, written: &str) -> Diagnostic {
        match (self.nearest(written), &diagnostic.place) {
            (Some(name), Some(place)) if std::ptr::eq(diagnostic.code, &codes::UNKNOWN_NAME) => {
                let span = place.span;
                diagnostic.help(format!("did you mean `{name}`?")).fix(span, name)
            }
            _ => diagnostic,
        }
    }
}

impl Names for Scope {
    fn lookup(&self, name: &str) -> Option<ValueKind> {
        let entry = self.entries.iter().find(|entry| entry.name == name)?;
        entry.used.set(true);
        Some(entry.value.clone())
    }
}
