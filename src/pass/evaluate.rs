//! Expressions to values: names looked up, arithmetic done, units kept.

use super::value::{CallArgument, Value, ValueKind};
use crate::diagnostic::{Diagnostic, Diagnostics, codes};
use crate::source::{Source, Sources, Span};
use crate::syntax::{self, ast};

/// What names stand for. A name that it does not know becomes a [`ValueKind::Word`].
pub trait Names {
    fn lookup(&self, name: &str) -> Option<ValueKind>;
}

/// No names at all: for defaults.
pub struct NoNames;

impl Names for NoNames {
    fn lookup(&self, _: &str) -> Option<ValueKind> {
        None
    }
}

/// The value of an expression; `None` after a diagnostic.
pub fn evaluate(expr: &ast::Expr, names: &dyn Names, diagnostics: &mut Diagnostics) -> Option<Value> {
    let mut evaluator = Evaluator { names, diagnostics };
    evaluator.value(expr)
}

/// The value of a default, written in the recipe language; its place is `span`.
pub fn constant(text: &str, span: Span) -> Value {
    let mut sources = Sources::new();
    let source = sources.add(Source::new("default", text));
    let mut diagnostics = Diagnostics::new();
    let value = syntax::parse_expr(source, text, &mut diagnostics)
        .and_then(|expr| evaluate(&expr, &NoNames, &mut diagnostics))
        .expect("defaults are written in the recipe language, and a test reads each");
    value.moved_to(span)
}

struct Evaluator<'a> {
    names: &'a dyn Names,
    diagnostics: &'a mut Diagnostics,
}

impl Evaluator<'_> {
    fn value(&mut self, expr: &ast::Expr) -> Option<Value> {
        let kind = self.kind(expr)?;
        Some(Value { kind, span: expr.span })
    }

    fn kind(&mut self, expr: &ast::Expr) -> Option<ValueKind> {
        Some(match &expr.kind {
            ast::ExprKind::Number { value, integer } => {
                ValueKind::Number { value: *value, integer: *integer }
            }
            ast::ExprKind::Percent(ratio) => ValueKind::Ratio(*ratio),
            ast::ExprKind::Broken => return None,
            ast::ExprKind::Bool(it) => ValueKind::Bool(*it),
            ast::ExprKind::Text(text) => ValueKind::Text(self.text(text)?),
            ast::ExprKind::Name(name) => {
                self.names.lookup(name).unwrap_or_else(|| ValueKind::Word(name.clone()))
            }
            ast::ExprKind::Call { name, args } => self.call(name, args)?,
            ast::ExprKind::List(items) => {
                let items: Vec<Option<Value>> = items.iter().map(|item| self.value(item)).collect();
                ValueKind::List(items.into_iter().collect::<Option<_>>()?)
            }
            ast::ExprKind::Record(record) => ValueKind::Record(self.fields(record)?),
            ast::ExprKind::Pattern { n, m } => {
                let (n, m) = (self.whole(n), self.whole(m));
                ValueKind::Pattern { n: n?, m: m? }
            }
            ast::ExprKind::Amount { value, unit } => {
                let value = Box::new(self.value(value)?);
                ValueKind::Amount { value, unit: unit.text.clone() }
            }
            ast::ExprKind::Negate(inner) => {
                let inner = self.value(inner)?;
                self.negated(&inner)?
            }
            ast::ExprKind::Binary { op, left, right } => {
                let (left, right) = (self.value(left), self.value(right));
                self.binary(*op, &left?, &right?, expr.span)?
            }
        })
    }

    /// A text with its names filled in.
    pub fn text(&mut self, text: &ast::Text) -> Option<String> {
        let parts: Vec<Option<String>> = text
            .parts
            .iter()
            .map(|part| match part {
                ast::TextPart::Literal(literal) => Some(literal.clone()),
                ast::TextPart::Interpolated(name) => self.interpolated(name),
            })
            .collect();
        parts.into_iter().collect()
    }

    fn interpolated(&mut self, name: &ast::Name) -> Option<String> {
        match self.names.lookup(&name.text).as_ref().and_then(shown) {
            Some(text) => Some(text),
            None => {
                let message = format!("`{}` has no value to put into a text", name.text);
                self.diagnostics.push(Diagnostic::at(&codes::UNKNOWN_NAME, name.span, message));
                None
            }
        }
    }

    fn call(&mut self, name: &ast::Name, args: &[ast::Argument]) -> Option<ValueKind> {
        let args: Vec<Option<CallArgument>> = args
            .iter()
            .map(|arg| {
                let name = arg.name.as_ref().map(|name| (name.text.clone(), name.span));
                Some(CallArgument { name, value: self.value(&arg.value)? })
            })
            .collect();
        let args = args.into_iter().collect::<Option<_>>()?;
        Some(ValueKind::Call { name: name.text.clone(), name_span: name.span, args })
    }

    fn fields(&mut self, record: &ast::Record) -> Option<Vec<(String, Span, Value)>> {
        let mut fields: Vec<(String, Span, Value)> = Vec::new();
        for field in &record.fields {
            if let Some((_, first, _)) = fields.iter().find(|(name, ..)| *name == field.name.text) {
                let message = format!("`{}` is given twice", field.name.text);
                let diagnostic = Diagnostic::at(&codes::DUPLICATE_FIELD, field.name.span, message);
                self.diagnostics.push(diagnostic.label(*first, "first here"));
                return None;
            }
            fields.push((field.name.text.clone(), field.name.span, self.value(&field.value)?));
        }
        Some(fields)
    }

    fn whole(&mut self, expr: &ast::Expr) -> Option<u64> {
        let value = self.value(expr)?;
        match value.kind {
            ValueKind::Number { value: number, integer: true } if number >= 0.0 => Some(number as u64),
            ValueKind::Word(ref name) => {
                self.unknown(name, value.span);
                None
            }
            _ => {
                self.mistyped(&value, "a whole number");
                None
            }
        }
    }

    fn unknown(&mut self, name: &str, span: Span) {
        let message = format!("`{name}` is not defined");
        self.diagnostics.push(Diagnostic::at(&codes::UNKNOWN_NAME, span, message));
    }

    fn mistyped(&mut self, value: &Value, expected: &str) {
        let message = format!("expected {expected}, found {}", value.kind.what());
        self.diagnostics.push(Diagnostic::at(&codes::WRONG_TYPE, value.span, message));
    }

    fn negated(&mut self, value: &Value) -> Option<ValueKind> {
        match value.kind {
            ValueKind::Number { value, integer } => Some(ValueKind::Number { value: -value, integer }),
            ValueKind::Ratio(ratio) => Some(ValueKind::Ratio(-ratio)),
            _ => {
                self.mistyped(value, "a number");
                None
            }
        }
    }

    fn binary(&mut self, op: ast::BinaryOp, left: &Value, right: &Value, span: Span) -> Option<ValueKind> {
        for side in [left, right] {
            if let ValueKind::Word(name) = &side.kind {
                self.unknown(name, side.span);
                return None;
            }
        }
        let result = arithmetic(op, &left.kind, &right.kind);
        match result {
            Some(kind) if is_finite(&kind) => Some(kind),
            Some(_) => {
                let message = "this division has no finite result";
                self.diagnostics.push(Diagnostic::at(&codes::OUT_OF_RANGE, span, message));
                None
            }
            None => {
                let verb = match op {
                    ast::BinaryOp::Add => "added to",
                    ast::BinaryOp::Subtract => "subtracted from",
                    ast::BinaryOp::Multiply => "multiplied with",
                    ast::BinaryOp::Divide => "divided by",
                };
                let message = format!("{} cannot be {verb} {}", left.kind.what(), right.kind.what());
                self.diagnostics.push(Diagnostic::at(&codes::WRONG_TYPE, span, message));
                None
            }
        }
    }
}

fn is_finite(kind: &ValueKind) -> bool {
    match kind {
        ValueKind::Number { value, .. } => value.is_finite(),
        ValueKind::Ratio(ratio) => ratio.is_finite(),
        _ => true,
    }
}

/// Numbers with numbers; shares with shares and numbers; an amount scaled, or with one of its own unit.
fn arithmetic(op: ast::BinaryOp, left: &ValueKind, right: &ValueKind) -> Option<ValueKind> {
    use ValueKind::{Amount, Number, Ratio};
    use ast::BinaryOp::{Add, Divide, Multiply, Subtract};
    let apply = |left: f64, right: f64| match op {
        Add => left + right,
        Subtract => left - right,
        Multiply => left * right,
        Divide => left / right,
    };
    Some(match (left, right) {
        (Number { value: a, integer: x }, Number { value: b, integer: y }) => {
            Number { value: apply(*a, *b), integer: *x && *y && op != Divide }
        }
        (Ratio(a), Ratio(b)) if op == Divide => Number { value: a / b, integer: false },
        (Ratio(a), Ratio(b)) => Ratio(apply(*a, *b)),
        (Ratio(a), Number { value: b, .. }) if matches!(op, Multiply | Divide) => Ratio(apply(*a, *b)),
        (Number { value: a, .. }, Ratio(b)) if op == Multiply => Ratio(a * b),
        (Amount { value, unit }, Number { .. } | Ratio(_)) if matches!(op, Multiply | Divide) => {
            let kind = arithmetic(op, &value.kind, right)?;
            Amount { value: Box::new(Value { kind, span: value.span }), unit: unit.clone() }
        }
        (Number { .. } | Ratio(_), Amount { .. }) if op == Multiply => arithmetic(op, right, left)?,
        (Amount { value: a, unit: x }, Amount { value: b, unit: y })
            if x == y && matches!(op, Add | Subtract) =>
        {
            let kind = arithmetic(op, &a.kind, &b.kind)?;
            Amount { value: Box::new(Value { kind, span: a.span }), unit: x.clone() }
        }
        _ => return None,
    })
}

/// A value as it is put into a path: `60%` becomes `60`, so that directories are called `out/60`.
pub fn shown(kind: &ValueKind) -> Option<String> {
    Some(match kind {
        ValueKind::Number { value, .. } => format!("{value}"),
        // Through a decimal text, as 0.3 * 100 is 30.000000000000004 hundredths.
        ValueKind::Ratio(ratio) => format!("{}", (ratio * 1e10).round() / 1e8),
        ValueKind::Bool(it) => it.to_string(),
        ValueKind::Text(text) | ValueKind::Word(text) => text.clone(),
        ValueKind::Pattern { n, m } => format!("{n}-{m}"),
        ValueKind::Amount { value, unit } => format!("{}-{unit}", shown(&value.kind)?),
        _ => return None,
    })
}

/// A value as a recipe writes it: `60%`, `2:4`, `40% flops`. Of data, models and calls nothing.
pub fn written(kind: &ValueKind) -> Option<String> {
    Some(match kind {
        ValueKind::Ratio(_) => format!("{}%", shown(kind)?),
        ValueKind::Text(text) => format!("\"{text}\""),
        ValueKind::Pattern { n, m } => format!("{n}:{m}"),
        ValueKind::Amount { value, unit } => format!("{} {unit}", written(&value.kind)?),
        ValueKind::List(items) => {
            let items: Option<Vec<String>> = items.iter().map(|item| written(&item.kind)).collect();
            format!("[{}]", items?.join(", "))
        }
        _ => return shown(kind),
    })
}

impl Value {
    /// The same value, said to stand elsewhere.
    pub fn moved_to(mut self, span: Span) -> Value {
        self.span = span;
        self.kind = match self.kind {
            ValueKind::Amount { value, unit } => {
                ValueKind::Amount { value: Box::new(value.moved_to(span)), unit }
            }
            ValueKind::List(items) => {
                ValueKind::List(items.into_iter().map(|item| item.moved_to(span)).collect())
            }
            ValueKind::Record(fields) => ValueKind::Record(
                fields.into_iter().map(|(name, _, value)| (name, span, value.moved_to(span))).collect(),
            ),
            ValueKind::Call { name, args, .. } => {
                let moved = |arg: CallArgument| CallArgument {
                    name: arg.name.map(|(name, _)| (name, span)),
                    value: arg.value.moved_to(span),
                };
                ValueKind::Call { name, name_span: span, args: args.into_iter().map(moved).collect() }
            }
            kind => kind,
        };
        self
    }
}
