//! Brackets that do not fit, or that hold comments: an item a line.

use super::{INDENT, WIDTH, Writer};
use crate::source::Span;
use crate::syntax::ast::{Expr, ExprKind, Record};
use crate::syntax::print::{Binding, Line, looks_named, sign};

/// The outermost brackets of an expression that can be broken, from opener to closer.
pub(super) fn of(expr: &Expr, groups: &mut Vec<Span>) {
    match &expr.kind {
        ExprKind::List(_) | ExprKind::Record(_) => groups.push(expr.span),
        ExprKind::Call { name, .. } => groups.push(behind(name.span, expr.span)),
        ExprKind::Amount { value, .. } | ExprKind::Negate(value) => of(value, groups),
        ExprKind::Pattern { n: left, m: right } | ExprKind::Binary { left, right, .. } => {
            of(left, groups);
            of(right, groups);
        }
        _ => {}
    }
}

fn behind(name: Span, call: Span) -> Span {
    Span::new(call.source, name.end, call.end)
}

/// One item of a bracket.
struct Item<'t> {
    name: Option<&'t str>,
    value: &'t Expr,
    span: Span,
}

impl Writer<'_> {
    /// An expression, with `tail` columns to follow on its last line.
    pub(super) fn expr(&mut self, expr: &Expr, indent: usize, tail: usize) {
        self.operand(expr, Binding::Sum, indent, tail);
    }

    fn operand(&mut self, expr: &Expr, least: Binding, indent: usize, tail: usize) {
        let mut flat = Line::of_source(self.text);
        flat.operand(expr, least);
        if !self.comments.any_in(expr.span) && self.column() + flat.out.chars().count() + tail <= WIDTH {
            return self.out.push_str(&flat.out);
        }
        if Binding::of(expr) < least {
            return self.in_parentheses(expr, indent, tail);
        }
        match &expr.kind {
            ExprKind::List(items) => {
                let items = items.iter().map(|value| Item { name: None, value, span: value.span });
                self.group("[]", items.collect(), expr.span, indent);
            }
            ExprKind::Record(record) => self.record(record, indent, tail),
            ExprKind::Call { name, args } => {
                self.out.push_str(&name.text);
                let items = args.iter().map(|arg| Item {
                    name: arg.name.as_ref().map(|name| name.text.as_str()),
                    value: &arg.value,
                    span: arg.span,
                });
                self.group("()", items.collect(), behind(name.span, expr.span), indent);
            }
            ExprKind::Amount { value, unit } => {
                self.operand(value, Binding::Pattern, indent, tail + 1 + unit.text.len());
                self.out.push(' ');
                self.out.push_str(&unit.text);
            }
            ExprKind::Pattern { n, m } => {
                self.operand(n, Binding::Primary, indent, 1);
                self.out.push(':');
                self.operand(m, Binding::Primary, indent, tail);
            }
            ExprKind::Negate(value) => {
                self.out.push('-');
                self.operand(value, Binding::Sign, indent, tail);
            }
            ExprKind::Binary { op, left, right } => {
                self.operand(left, Binding::of(expr), indent, sign(*op).len());
                self.out.push_str(sign(*op));
                self.operand(right, Binding::of_right_operand(*op), indent, tail);
            }
            _ => self.out.push_str(&flat.out),
        }
    }

    fn in_parentheses(&mut self, expr: &Expr, indent: usize, tail: usize) {
        self.out.push('(');
        self.operand(expr, Binding::Sum, indent, tail + 1);
        self.out.push(')');
    }

    pub(super) fn record(&mut self, record: &Record, indent: usize, tail: usize) {
        let mut flat = Line::of_source(self.text);
        flat.record(record);
        if !self.comments.any_in(record.span) && self.column() + flat.out.chars().count() + tail <= WIDTH {
            return self.out.push_str(&flat.out);
        }
        let items = record.fields.iter().map(|field| Item {
            name: Some(&field.name.text),
            value: &field.value,
            span: field.span,
        });
        self.group("{}", items.collect(), record.span, indent);
    }

    fn group(&mut self, brackets: &str, items: Vec<Item>, span: Span, indent: usize) {
        let (open, close) = brackets.split_at(1);
        self.out.push_str(open);
        let ends = items.iter().skip(1).map(|next| next.span.start).chain([span.end]);
        for (item, end) in items.iter().zip(ends) {
            while let Some(comment) = self.comments.take_in(span.start, item.span.start) {
                self.comment_line(&comment.text, indent + INDENT);
            }
            self.item(item, indent + INDENT);
            self.trailing_comment(item.span.end, end);
        }
        while let Some(comment) = self.comments.take_in(span.start, span.end) {
            self.comment_line(&comment.text, indent + INDENT);
        }
        if !self.out.ends_with(open) {
            self.begin_line(indent);
        }
        self.out.push_str(close);
    }

    fn item(&mut self, item: &Item, indent: usize) {
        let mut groups = Vec::new();
        of(item.value, &mut groups);
        for comment in self.comments.take_outside(&groups, item.span) {
            self.comment_line(comment, indent);
        }
        self.begin_line(indent);
        if let Some(name) = item.name {
            self.out.push_str(name);
            self.out.push_str(": ");
        }
        if item.name.is_none() && looks_named(item.value) {
            self.in_parentheses(item.value, indent, 1);
        } else {
            self.expr(item.value, indent, 1);
        }
        self.out.push(',');
    }
}
