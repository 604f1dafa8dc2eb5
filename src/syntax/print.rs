//! Canonical text of parts of a tree, on one line: `wanda(calib, samples: 64)`.
//!
//! The formatter prints numbers and texts as they were written; a report, which has the tree alone, prints their values.

use std::fmt::{self, Display, Formatter};

use super::ast::{
    Argument, BinaryOp, Expr, ExprKind, Field, Index, Indices, Measured, Noun, Path, Record, Segment,
    SegmentKind, Selector, Text, TextPart,
};
use crate::source::Span;

/// Prints on one line.
#[derive(Default)]
pub(super) struct Line<'a> {
    /// The text that the tree was parsed from, where it is known.
    source: Option<&'a str>,
    pub out: String,
}

/// How tightly an expression binds, loosest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Binding {
    Sum,
    Product,
    Sign,
    Amount,
    Pattern,
    Primary,
}

impl Binding {
    pub(super) fn of(expr: &Expr) -> Self {
        match &expr.kind {
            ExprKind::Binary { op: BinaryOp::Add | BinaryOp::Subtract, .. } => Self::Sum,
            ExprKind::Binary { .. } => Self::Product,
            ExprKind::Negate(_) => Self::Sign,
            ExprKind::Amount { .. } => Self::Amount,
            ExprKind::Pattern { .. } => Self::Pattern,
            _ => Self::Primary,
        }
    }

    /// What the right operand of an operator must bind like: operators group from the left.
    pub(super) fn of_right_operand(op: BinaryOp) -> Self {
        match op {
            BinaryOp::Add | BinaryOp::Subtract => Self::Product,
            BinaryOp::Multiply | BinaryOp::Divide => Self::Sign,
        }
    }
}

pub(super) fn sign(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Add => " + ",
        BinaryOp::Subtract => " - ",
        BinaryOp::Multiply => " * ",
        BinaryOp::Divide => " / ",
    }
}

/// Whether an argument without a name begins like one with a name: `(n:m)` keeps its parentheses.
pub(super) fn looks_named(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Pattern { n, .. } => matches!(n.kind, ExprKind::Name(_) | ExprKind::Bool(_)),
        ExprKind::Amount { value, .. } => Binding::of(value) == Binding::Pattern && looks_named(value),
        ExprKind::Binary { left, .. } => Binding::of(left) >= Binding::of(expr) && looks_named(left),
        _ => false,
    }
}

impl<'a> Line<'a> {
    pub(super) fn of_source(source: &'a str) -> Self {
        Self { source: Some(source), out: String::new() }
    }

    fn written(&self, span: Span) -> Option<&'a str> {
        self.source.map(|source| &source[span.start..span.end])
    }

    /// Writes items with `, ` between.
    fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                self.out.push_str(", ");
            }
            write(self, item);
        }
    }

    /// An expression where one is wanted that binds at least like `least`.
    pub(super) fn operand(&mut self, expr: &Expr, least: Binding) {
        if Binding::of(expr) < least {
            self.out.push('(');
            self.expr(expr);
            self.out.push(')');
        } else {
            self.expr(expr);
        }
    }

    pub(super) fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Number { value, integer } => match self.written(expr.span) {
                Some(written) => self.out.push_str(written),
                None => self.out.push_str(&number(*value, *integer)),
            },
            ExprKind::Percent(share) => match self.written(expr.span) {
                Some(written) => self.out.push_str(written),
                None => self.out.push_str(&percent(*share)),
            },
            ExprKind::Bool(value) => self.out.push_str(if *value { "true" } else { "false" }),
            ExprKind::Text(text) => self.text(text),
            ExprKind::Name(name) => self.out.push_str(name),
            ExprKind::Call { name, args } => {
                self.out.push_str(&name.text);
                self.out.push('(');
                self.list(args, Self::argument);
                self.out.push(')');
            }
            ExprKind::List(items) => {
                self.out.push('[');
                self.list(items, Self::expr);
                self.out.push(']');
            }
            ExprKind::Record(record) => self.record(record),
            ExprKind::Pattern { n, m } => {
                self.operand(n, Binding::Primary);
                self.out.push(':');
                self.operand(m, Binding::Primary);
            }
            ExprKind::Amount { value, unit } => {
                self.operand(value, Binding::Pattern);
                self.out.push(' ');
                self.out.push_str(&unit.text);
            }
            ExprKind::Negate(value) => {
                self.out.push('-');
                self.operand(value, Binding::Sign);
            }
            ExprKind::Binary { op, left, right } => {
                self.operand(left, Binding::of(expr));
                self.out.push_str(sign(*op));
                self.operand(right, Binding::of_right_operand(*op));
            }
            ExprKind::Broken => self.out.push('…'),
        }
    }

    fn argument(&mut self, argument: &Argument) {
        match &argument.name {
            Some(name) => {
                self.out.push_str(&name.text);
                self.out.push_str(": ");
                self.expr(&argument.value);
            }
            None if looks_named(&argument.value) => {
                self.out.push('(');
                self.expr(&argument.value);
                self.out.push(')');
            }
            None => self.expr(&argument.value),
        }
    }

    pub(super) fn record(&mut self, record: &Record) {
        if record.fields.is_empty() {
            return self.out.push_str("{}");
        }
        self.out.push_str("{ ");
        self.list(&record.fields, Self::field);
        self.out.push_str(" }");
    }

    fn field(&mut self, field: &Field) {
        self.out.push_str(&field.name.text);
        self.out.push_str(": ");
        self.expr(&field.value);
    }

    pub(super) fn text(&mut self, text: &Text) {
        if let Some(written) = self.written(text.span) {
            return self.out.push_str(written);
        }
        self.out.push('"');
        for part in &text.parts {
            match part {
                TextPart::Literal(literal) => literal.chars().for_each(|c| escape(c, &mut self.out)),
                TextPart::Interpolated(name) => self.out.extend(["{", &name.text, "}"]),
            }
        }
        self.out.push('"');
    }

    pub(super) fn measured(&mut self, measured: &Measured) {
        self.expr(&measured.measure);
        if let Some(of) = &measured.of {
            self.out.push_str(" of ");
            self.selector(of);
        }
    }

    pub(super) fn selector(&mut self, selector: &Selector) {
        self.list(&selector.include, Self::path);
        if !selector.except.is_empty() {
            self.out.push_str(" except ");
            self.list(&selector.except, Self::path);
        }
    }

    pub(super) fn path(&mut self, path: &Path) {
        for (i, segment) in path.segments.iter().enumerate() {
            if i > 0 {
                self.out.push('.');
            }
            self.segment(segment);
        }
    }

    fn segment(&mut self, segment: &Segment) {
        match &segment.kind {
            SegmentKind::Child { name, indices } => {
                self.out.push_str(&name.text);
                indices.iter().for_each(|indices| self.indices(indices));
            }
            SegmentKind::Alternatives(names) => {
                self.out.push('{');
                self.list(names, |line, name| line.out.push_str(&name.text));
                self.out.push('}');
            }
            SegmentKind::Any => self.out.push('*'),
            SegmentKind::AnyDepth => self.out.push_str("**"),
            SegmentKind::Tensor(glob) => {
                self.out.push_str("tensor(");
                self.text(glob);
                self.out.push(')');
            }
        }
    }

    pub(super) fn noun(&mut self, noun: &Noun) {
        self.out.push_str(&noun.name.text);
        noun.indices.iter().for_each(|indices| self.indices(indices));
    }

    fn indices(&mut self, indices: &Indices) {
        self.out.push('[');
        self.list(&indices.items, |line, index| match index {
            Index::All(_) => line.out.push('*'),
            Index::One(expr) => line.expr(expr),
            Index::Range { start, end, .. } => {
                start.iter().for_each(|start| line.expr(start));
                line.out.push_str("..");
                end.iter().for_each(|end| line.expr(end));
            }
        });
        self.out.push(']');
    }
}

fn escape(character: char, out: &mut String) {
    match character {
        '\n' => out.push_str("\\n"),
        '"' | '\\' | '{' => out.extend(['\\', character]),
        _ => out.push(character),
    }
}

/// The shortest text that reads as this number: `11M`, `128`, `0.9`, `3e-4`.
fn number(value: f64, integer: bool) -> String {
    const SUFFIXES: [(f64, char); 3] = [(1e12, 'T'), (1e9, 'G'), (1e6, 'M')];
    if !integer {
        return if value != 0.0 && value < 1e-3 { format!("{value:e}") } else { format!("{value:?}") };
    }
    let short = SUFFIXES.iter().find(|(unit, _)| value >= *unit).and_then(|(unit, suffix)| {
        let text = format!("{}", value / unit);
        (text.len() <= 6).then(|| format!("{text}{suffix}"))
    });
    short.unwrap_or_else(|| format!("{value}"))
}

/// The shortest text with a percent sign that reads as this share.
fn percent(share: f64) -> String {
    let scaled = share * 100.0;
    let exact = |text: &String| format!("{text}e-2").parse() == Ok(share);
    let digits = (0..=17).map(|digits| format!("{scaled:.digits$}")).find(exact);
    format!("{}%", digits.unwrap_or_else(|| format!("{scaled:e}")))
}

/// Canonical text from the tree alone.
macro_rules! display {
    ($($node:ident by $write:ident),+ $(,)?) => {
        $(impl Display for $node {
            fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
                let mut line = Line::default();
                line.$write(self);
                f.pad(&line.out)
            }
        })+
    };
}

display! {
    Expr by expr,
    Measured by measured,
    Selector by selector,
    Path by path,
    Noun by noun,
    Record by record,
    Text by text,
    Indices by indices,
}

#[cfg(test)]
mod tests {
    use crate::diagnostic::Diagnostics;
    use crate::source::{Source, Sources};

    fn printed(text: &str) -> String {
        let id = Sources::new().add(Source::new("text", text));
        let expr = crate::syntax::parse_expr(id, text, &mut Diagnostics::new());
        expr.expect("a value that parses").to_string()
    }

    #[test]
    fn prints_values_as_people_write_them() {
        for text in [
            "11M",
            "2.5G macs",
            "128",
            "1000",
            "2.0",
            "0.95",
            "3e-4",
            "60%",
            "0.05%",
            "87.5%",
            "33.3%",
            "2 GiB",
            "2:4",
            "n:m",
            "-3 epochs",
            "true",
            "wanda(calib, samples: 64)",
            "[30%, 50%]",
            "{ a: 1, b: [x] }",
            "\"out/{r}\"",
            "\"a \\\"b\\\" \\{c} \\\\ \\n\"",
            "a + b * c - d",
            "f((n:m), x: n:m)",
        ] {
            assert_eq!(printed(text), text);
        }
    }

    #[test]
    fn writes_no_parentheses_but_those_that_matter() {
        assert_eq!(printed("((a))*(b*c)"), "a * (b * c)");
        assert_eq!(printed("(a*b)+(c)"), "a * b + c");
        assert_eq!(printed("a-(b-c)"), "a - (b - c)");
        assert_eq!(printed("-(a+b) * (2 flops)"), "-(a + b) * 2 flops");
        assert_eq!(printed("(a+b) flops"), "(a + b) flops");
        assert_eq!(printed("(-a):(b c)"), "(-a):(b c)");
    }
}
