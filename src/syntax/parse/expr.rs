//! Expressions, and the lists in brackets.

use pest::iterators::{Pair, Pairs};

use super::{Builder, MAX_TREE_DEPTH, Rule, poisoned};
use crate::diagnostic::{Diagnostic, codes};
use crate::source::Span;
use crate::syntax::ast::{Argument, BinaryOp, Expr, ExprKind, Field, Record};

impl Builder<'_> {
    /// An expression, or what stands where one is missing.
    pub(super) fn value(&mut self, pair: Pair<Rule>) -> Expr {
        if pair.as_rule() == Rule::expr {
            return self.expr(pair);
        }
        self.missing(&pair, "a value");
        let at = self.token_at(self.start(&pair)).start;
        Expr { kind: ExprKind::Broken, span: Span::new(self.source, at, at) }
    }

    pub(super) fn expr(&mut self, pair: Pair<Rule>) -> Expr {
        let span = self.span(&pair);
        let parts = pair.into_inner();
        self.deeper(parts.len().div_ceil(2), span, |builder| builder.binary(parts))
    }

    /// Builds a part that is `levels` deeper in the tree, if that is not too deep.
    fn deeper(&mut self, levels: usize, span: Span, build: impl FnOnce(&mut Self) -> Expr) -> Expr {
        if self.depth + levels > MAX_TREE_DEPTH {
            let message = format!("this expression is more than {MAX_TREE_DEPTH} operators deep");
            self.report(&codes::TOO_DEEP, span, message);
            return Expr { kind: ExprKind::Broken, span };
        }
        self.depth += levels;
        let expr = build(self);
        self.depth -= levels;
        expr
    }

    /// Operands with operators between them: products first, from the left.
    fn binary(&mut self, mut parts: Pairs<Rule>) -> Expr {
        let first = parts.next().expect("an expression begins with an operand");
        let mut product = self.operand(first);
        let mut sum: Option<(Expr, BinaryOp)> = None;
        while let (Some(operator), Some(operand)) = (parts.next(), parts.next()) {
            let op = binary_op(operator.as_str());
            let operand = self.operand(operand);
            if matches!(op, BinaryOp::Multiply | BinaryOp::Divide) {
                product = join(product, op, operand);
            } else {
                sum = Some((add(sum, product), op));
                product = operand;
            }
        }
        add(sum, product)
    }

    fn operand(&mut self, pair: Pair<Rule>) -> Expr {
        if pair.as_rule() != Rule::operand {
            return self.value(pair);
        }
        let span = self.span(&pair);
        let mut parts = pair.into_inner().peekable();
        let mut signs = Vec::new();
        while let Some(sign) = parts.next_if(|part| part.as_rule() == Rule::minus) {
            signs.push(self.start(&sign));
        }
        self.deeper(signs.len(), span, |builder| {
            let first = parts.next().expect("an operand has a value");
            let mut value = builder.primary(first);
            for part in parts {
                value = match part.as_rule() {
                    Rule::colon => continue,
                    Rule::unit => builder.amount(value, part),
                    _ => builder.pattern(value, part),
                };
            }
            signs.into_iter().rev().fold(value, |value, at| {
                let span = Span::new(value.span.source, at, value.span.end);
                Expr { kind: ExprKind::Negate(Box::new(value)), span }
            })
        })
    }

    fn amount(&mut self, value: Expr, unit: Pair<Rule>) -> Expr {
        let span = value.span.to(self.span(&unit));
        let name = unit.into_inner().next().expect("a unit is a name");
        Expr { kind: ExprKind::Amount { value: Box::new(value), unit: self.name(&name) }, span }
    }

    fn pattern(&mut self, n: Expr, m: Pair<Rule>) -> Expr {
        let m = if m.as_rule() == Rule::no_value { self.value(m) } else { self.primary(m) };
        let span = n.span.to(m.span);
        Expr { kind: ExprKind::Pattern { n: Box::new(n), m: Box::new(m) }, span }
    }

    fn primary(&mut self, pair: Pair<Rule>) -> Expr {
        let span = self.span(&pair);
        let kind = match pair.as_rule() {
            Rule::number => self.number(&pair),
            Rule::bad_number => self.bad_number(&pair),
            Rule::text => ExprKind::Text(self.text(pair)),
            Rule::bool => ExprKind::Bool(pair.as_str() == "true"),
            Rule::list => ExprKind::List(self.items(pair, "a value", Self::expr, spoil)),
            Rule::record => ExprKind::Record(self.record(pair)),
            Rule::paren => return self.paren(pair),
            _ => self.reference(pair),
        };
        Expr { kind, span }
    }

    /// A name or a call.
    pub(super) fn reference(&mut self, pair: Pair<Rule>) -> ExprKind {
        let mut parts = pair.into_inner();
        let name = self.name(&parts.next().expect("a reference begins with a name"));
        match parts.next() {
            None => ExprKind::Name(name.text),
            Some(arguments) => {
                let args = self.items(arguments, "an argument", Self::argument, |arg| spoil(&mut arg.value));
                ExprKind::Call { name, args }
            }
        }
    }

    fn argument(&mut self, pair: Pair<Rule>) -> Argument {
        let span = self.span(&pair);
        let mut parts = pair.into_inner();
        let first = parts.next().expect("an argument is not empty");
        match parts.next() {
            None => Argument { name: None, value: self.value(first), span },
            Some(value) => Argument { name: Some(self.name(&first)), value: self.value(value), span },
        }
    }

    pub(super) fn record(&mut self, pair: Pair<Rule>) -> Record {
        let span = self.span(&pair);
        let fields = self.items(pair, "`name: value`", Self::field, |field| spoil(&mut field.value));
        Record { fields, span }
    }

    fn field(&mut self, pair: Pair<Rule>) -> Field {
        let span = self.span(&pair);
        let mut parts = pair.into_inner();
        let name = self.name(&parts.next().expect("a field begins with its name"));
        let value = self.value(parts.next().expect("a field has a value, or a rule that stands for it"));
        Field { name, value, span }
    }

    /// What stands in parentheses. A tree needs no parentheses, so only the span keeps them.
    fn paren(&mut self, pair: Pair<Rule>) -> Expr {
        let span = self.span(&pair);
        let mistakes = self.mistakes;
        let mut parts = pair.into_inner();
        let mut expr =
            self.value(parts.next().expect("parentheses hold a value, or a rule that stands for it"));
        if let Some(rest) = parts.next() {
            if self.mistakes == mistakes {
                let list = rest.as_rule() == Rule::comma;
                let diagnostic = self.expected(self.start(&rest), "`)`").filter(|_| !poisoned(&rest));
                let help = "a list stands in `[` and `]`";
                self.diagnostics.extend(diagnostic.map(|found| if list { found.help(help) } else { found }));
            }
            spoil(&mut expr);
        }
        if is_compound(&expr.kind) {
            expr.span = span;
        }
        expr
    }

    /// What stands in a pair of brackets, with commas between. `spoil` breaks an item that more text follows.
    pub(super) fn items<T>(
        &mut self,
        pair: Pair<Rule>,
        wanted: &str,
        build: impl Fn(&mut Self, Pair<Rule>) -> T,
        spoil: impl Fn(&mut T),
    ) -> Vec<T> {
        let closer = pair.as_str().trim_ascii_end().chars().last().unwrap_or(']');
        let separator = format!("`,` or `{closer}`");
        let mut items = Vec::new();
        let mut complete = false;
        let mut mistakes = self.mistakes;
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::comma => {
                    if !complete {
                        self.missing(&part, wanted);
                    }
                    complete = false;
                    mistakes = self.mistakes;
                }
                Rule::leftover => {
                    if self.mistakes == mistakes {
                        self.leftover(&part, if complete { &separator } else { wanted }, complete);
                    }
                    if let Some(item) = items.last_mut().filter(|_| complete) {
                        spoil(item);
                    }
                    complete = true;
                }
                _ => {
                    if complete && self.mistakes == mistakes {
                        self.missing(&part, &separator);
                    }
                    items.push(build(self, part));
                    complete = true;
                }
            }
        }
        items
    }

    fn leftover(&mut self, pair: &Pair<Rule>, wanted: &str, behind_item: bool) {
        if poisoned(pair) {
            self.mistakes += 1;
            return;
        }
        let start = self.start(pair);
        let sign = pair.as_str().find('=').filter(|&at| pair.as_str()[..at].bytes().all(is_name_or_space));
        match sign {
            Some(0) if self.text[..start].ends_with("..") => {
                self.mistakes += 1;
                let place = Span::new(self.source, start - 2, start + 1);
                let told = Diagnostic::at(&codes::BAD_RANGE, place, "a range leaves its end out");
                self.diagnostics.push(told.help("`1..3` is 1 and 2"));
            }
            Some(at) if at > 0 || behind_item => {
                self.mistakes += 1;
                let place = Span::new(self.source, start + at, start + at + 1);
                self.diagnostics.push(
                    Diagnostic::at(
                        &codes::SYNTAX,
                        place,
                        "a value in brackets gets its name by `:`, not by `=`",
                    )
                    .fix(
                        Span::new(self.source, start + pair.as_str()[..at].trim_end().len(), start + at + 1),
                        ":",
                    ),
                );
            }
            _ => self.superfluous(pair, wanted),
        }
    }
}

fn is_name_or_space(byte: u8) -> bool {
    byte == b' ' || crate::syntax::layout::is_ident_byte(byte)
}

pub(super) fn spoil(expr: &mut Expr) {
    expr.kind = ExprKind::Broken;
}

fn binary_op(sign: &str) -> BinaryOp {
    match sign {
        "+" => BinaryOp::Add,
        "-" => BinaryOp::Subtract,
        "*" => BinaryOp::Multiply,
        _ => BinaryOp::Divide,
    }
}

fn add(sum: Option<(Expr, BinaryOp)>, term: Expr) -> Expr {
    match sum {
        None => term,
        Some((left, op)) => join(left, op, term),
    }
}

fn join(left: Expr, op: BinaryOp, right: Expr) -> Expr {
    let span = left.span.to(right.span);
    Expr { kind: ExprKind::Binary { op, left: Box::new(left), right: Box::new(right) }, span }
}

fn is_compound(kind: &ExprKind) -> bool {
    matches!(
        kind,
        ExprKind::Pattern { .. } | ExprKind::Amount { .. } | ExprKind::Negate(_) | ExprKind::Binary { .. }
    )
}
