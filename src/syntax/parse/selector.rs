//! Selectors and indices.

use pest::iterators::Pair;

use super::{Builder, Rule};
use crate::diagnostic::{Diagnostic, codes};
use crate::source::Span;
use crate::syntax::ast::{BinaryOp, Expr, ExprKind, Index, Indices, Path, Segment, SegmentKind, Selector};

impl Builder<'_> {
    /// None where a path is broken: a selector without it would select something else.
    pub(super) fn selector(&mut self, pair: Pair<Rule>) -> Option<Selector> {
        let span = self.span(&pair);
        let mut paths = [Vec::new(), Vec::new()];
        let mut side = 0;
        let mut whole = true;
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::except_word => side = 1,
                Rule::path => match self.path(part) {
                    Some(path) => paths[side].push(path),
                    None => whole = false,
                },
                _ => {
                    self.missing(&part, "a selector");
                    whole = false;
                }
            }
        }
        let [include, except] = paths;
        whole.then_some(Selector { include, except, span })
    }

    fn path(&mut self, pair: Pair<Rule>) -> Option<Path> {
        let span = self.span(&pair);
        let mistakes = self.mistakes;
        let segments: Vec<Segment> = pair.into_inner().filter_map(|part| self.segment(part)).collect();
        (self.mistakes == mistakes).then_some(Path { segments, span })
    }

    fn segment(&mut self, pair: Pair<Rule>) -> Option<Segment> {
        let span = self.span(&pair);
        let kind = match pair.as_rule() {
            Rule::any_depth => SegmentKind::AnyDepth,
            Rule::any_child => SegmentKind::Any,
            Rule::alternatives => SegmentKind::Alternatives(self.items(
                pair,
                "a name",
                |builder, name| builder.name(&name),
                |_| (),
            )),
            Rule::raw => self.raw(pair)?,
            Rule::child => {
                let mut parts = pair.into_inner();
                let name = self.name(&parts.next().expect("a child begins with its name"));
                SegmentKind::Child { name, indices: parts.next().map(|indices| self.indices(indices)) }
            }
            _ => {
                self.missing_segment(&pair);
                return None;
            }
        };
        Some(Segment { kind, span })
    }

    fn missing_segment(&mut self, pair: &Pair<Rule>) {
        let at = self.start(pair);
        let Some(diagnostic) = self.expected(at, "a name") else { return };
        let number = self.token_at(at);
        let text = self.laid_text(number);
        self.diagnostics.push(if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
            let point = Span::new(self.source, self.laid[..at].rfind('.').unwrap_or(at), number.end);
            diagnostic
                .help(format!("an index stands in brackets: `[{text}]`"))
                .fix(point, format!("[{text}]"))
        } else {
            diagnostic
        });
    }

    fn raw(&mut self, pair: Pair<Rule>) -> Option<SegmentKind> {
        let mut kind = None;
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::text => kind = Some(SegmentKind::Tensor(self.text(part))),
                Rule::no_text => self.missing(&part, "a pattern for tensor names in quotes"),
                _ => self.superfluous(&part, "`)`"),
            }
        }
        kind
    }

    pub(super) fn indices(&mut self, pair: Pair<Rule>) -> Indices {
        let span = self.span(&pair);
        let items = self.items(pair, "an index", Self::index, |index| {
            if let Index::One(expr) = index {
                super::expr::spoil(expr);
            }
        });
        Indices { items, span }
    }

    fn index(&mut self, pair: Pair<Rule>) -> Index {
        let span = self.span(&pair);
        let (mut start, mut end, mut range) = (None, None, false);
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::all_items => return Index::All(span),
                Rule::dots => range = true,
                _ if range => end = Some(self.expr(part)),
                _ => start = Some(self.expr(part)),
            }
        }
        match (range, start) {
            (false, Some(expr)) => self.single_index(expr),
            (_, start) => Index::Range { start, end, span },
        }
    }

    /// One index, or a range that was written as in another language.
    fn single_index(&mut self, expr: Expr) -> Index {
        let Some((start, end, written_end)) = range_meant(&expr) else { return Index::One(expr) };
        let mended = format!("{}..{}", start.value, end);
        self.mistakes += 1;
        self.diagnostics.push(
            Diagnostic::at(&codes::BAD_RANGE, expr.span, "a range of indices is written with `..`")
                .help(format!("`{mended}` is {} up to {}", start.value, end - 1.0))
                .fix(expr.span, mended),
        );
        let end = Expr { kind: ExprKind::Number { value: end, integer: true }, span: written_end };
        Index::Range { start: Some(start.expr), end: Some(end), span: expr.span }
    }
}

struct Start {
    value: f64,
    expr: Expr,
}

/// Start, exclusive end, and the span of the end, of `6-11` and `6:12`. The first counts its end in, the second not.
fn range_meant(expr: &Expr) -> Option<(Start, f64, Span)> {
    let (left, right, past) = match &expr.kind {
        ExprKind::Pattern { n, m } => (n, m, 0.0),
        ExprKind::Binary { op: BinaryOp::Subtract, left, right } => (left, right, 1.0),
        _ => return None,
    };
    let (start, end) = (whole(left)?, whole(right)?);
    (start < end).then(|| (Start { value: start, expr: left.as_ref().clone() }, end + past, right.span))
}

fn whole(expr: &Expr) -> Option<f64> {
    match expr.kind {
        ExprKind::Number { value, integer: true } => Some(value),
        _ => None,
    }
}
