//! An argument that keeps the place where it was written.

use super::argument::{Argument, Type, Wrong};
use super::registry::Registry;
use super::value::Value;
use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;

/// A value whose mistakes show only once files are read: then the diagnostic points at it.
#[derive(Debug, Clone, PartialEq)]
pub struct Placed<T> {
    pub value: T,
    pub span: Span,
}

impl<T> Placed<T> {
    /// A diagnostic that points at the value.
    pub fn wrong(&self, code: &'static Code, message: impl Into<String>) -> Diagnostic {
        Diagnostic::at(code, self.span, message)
    }
}

impl<T: Argument> Argument for Placed<T> {
    const TYPE: Type = T::TYPE;
    const OPTIONAL: bool = T::OPTIONAL;

    fn read(value: &Value, registry: &Registry) -> Result<Self, Wrong> {
        T::read(value, registry).map(|read| Self { value: read, span: value.span })
    }
}
