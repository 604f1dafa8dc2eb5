//! Values of the language after names are resolved and arithmetic is done, with the places they came from.

use super::reader::Data;
use super::teacher::NamedModel;
use crate::source::Span;

/// A value and where it was written. A default's place is the step's verb.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    pub kind: ValueKind,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ValueKind {
    /// A plain number; `integer` where it was written and computed without a fraction.
    Number {
        value: f64,
        integer: bool,
    },
    /// `60%` is 0.6.
    Ratio(f64),
    Bool(bool),
    Text(String),
    /// `2:4`: keep `n` of `m`.
    Pattern {
        n: u64,
        m: u64,
    },
    /// A number or ratio with its unit: `60% flops`, `2 GiB`, `3 epochs`.
    Amount {
        value: Box<Value>,
        unit: String,
    },
    /// A bare name that no statement defines: a choice, a criterion, a type.
    Word(String),
    /// `wanda(calib, samples: 64)`
    Call {
        name: String,
        name_span: Span,
        args: Vec<CallArgument>,
    },
    List(Vec<Value>),
    Record(Vec<(String, Span, Value)>),
    /// A `model` statement.
    Model(NamedModel),
    /// A `data` statement.
    Data(Data),
}

#[derive(Debug, Clone, PartialEq)]
pub struct CallArgument {
    pub name: Option<(String, Span)>,
    pub value: Value,
}

impl Value {
    /// Where the unit of an amount is written, if it is written here and not behind a name.
    pub fn unit_span(&self) -> Option<Span> {
        let ValueKind::Amount { value, unit } = &self.kind else { return None };
        let here = value.span.start == self.span.start && value.span.end + unit.len() <= self.span.end;
        here.then(|| Span::new(self.span.source, self.span.end - unit.len(), self.span.end))
    }
}

impl ValueKind {
    /// What it is, for messages: `a ratio`.
    pub fn what(&self) -> &'static str {
        match self {
            Self::Number { integer: true, .. } => "a whole number",
            Self::Number { .. } => "a number",
            Self::Ratio(_) => "a ratio",
            Self::Bool(_) => "a truth value",
            Self::Text(_) => "a text",
            Self::Pattern { .. } => "a pattern",
            Self::Amount { .. } => "an amount",
            Self::Word(_) => "a word",
            Self::Call { .. } => "a call",
            Self::List(_) => "a list",
            Self::Record(_) => "a record",
            Self::Model(_) => "a model",
            Self::Data(_) => "data",
        }
    }
}
