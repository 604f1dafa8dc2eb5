//! Every word of a recipe that means something, with what it means: what hover, references and colours are made of.

use super::callee::{Callee, Wanted, clause_of, pass_of_step};
use crate::pass::Registry;
use crate::source::Span;
use crate::syntax::ast::{self, ClauseKind, ClauseValue, ExprKind, StatementKind};

/// A word, and what it means.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mention<'a> {
    pub span: Span,
    pub what: What<'a>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum What<'a> {
    /// The word that begins a statement.
    Keyword(&'static str),
    Clause(&'a ast::Step, ClauseKind),
    Verb(&'a ast::Step),
    Noun(&'a ast::Step, &'a ast::Noun),
    Defines,
    /// A bare name in a value, or between braces in a text: of a definition, or a word that is wanted there.
    Name(&'a str, Wanted),
    /// The name in front of arguments.
    Called(&'a str, Wanted),
    /// The name of an argument or option.
    Key(Option<Callee>, &'a str),
    Unit(&'a str),
    Type(&'a str),
    /// A segment of a selector's path, by its number.
    Segment(&'a ast::Path, usize),
    Text,
    Number,
}

/// All mentions of a recipe, in the order of the text.
pub(super) fn mentions<'a>(recipe: &'a ast::Recipe, registry: &'static Registry) -> Vec<Mention<'a>> {
    let mut walk = Walk { registry, found: Vec::new() };
    recipe.statements.iter().for_each(|statement| walk.statement(statement));
    walk.found.sort_by_key(|mention| (mention.span.start, mention.span.end));
    walk.found
}

/// The smallest mention at an offset; at its end counts as in it.
pub(super) fn mention_at<'a>(mentions: &[Mention<'a>], offset: usize) -> Option<Mention<'a>> {
    let here = mentions.iter().filter(|mention| mention.span.start <= offset && offset <= mention.span.end);
    here.min_by_key(|mention| (mention.span.end == offset, mention.span.len())).copied()
}

/// The word that begins statements of a kind.
pub(super) fn keyword(kind: &StatementKind) -> Option<&'static str> {
    Some(match kind {
        StatementKind::Header { .. } => "recipe",
        StatementKind::Use { .. } => "use",
        StatementKind::Param { .. } => "param",
        StatementKind::Let { .. } => "let",
        StatementKind::Model { .. } => "model",
        StatementKind::Data { .. } => "data",
        StatementKind::MeasureAt { .. } | StatementKind::Measure { .. } => "measure",
        StatementKind::Expect { .. } => "expect",
        StatementKind::Sweep { .. } => "sweep",
        StatementKind::Save { .. } => "save",
        StatementKind::Step(_) | StatementKind::Broken => return None,
    })
}

struct Walk<'a> {
    registry: &'static Registry,
    found: Vec<Mention<'a>>,
}

impl<'a> Walk<'a> {
    fn note(&mut self, span: Span, what: What<'a>) {
        self.found.push(Mention { span, what });
    }

    fn statement(&mut self, statement: &'a ast::Statement) {
        if let Some(word) = keyword(&statement.kind) {
            let start = statement.span.start;
            self.note(Span::new(statement.span.source, start, start + word.len()), What::Keyword(word));
        }
        match &statement.kind {
            StatementKind::Header { name, fields } => {
                self.text(name);
                fields.iter().for_each(|record| self.record(record, None));
            }
            StatementKind::Use { path } => self.text(path),
            StatementKind::Param { name, ty, default } => {
                self.note(name.span, What::Defines);
                self.note(ty.span, What::Type(&ty.text));
                default.iter().for_each(|value| self.expr(value, Wanted::Anything));
            }
            StatementKind::Let { name, value } => {
                self.note(name.span, What::Defines);
                self.expr(value, Wanted::Anything);
            }
            StatementKind::Model { name, path } => {
                self.note(name.span, What::Defines);
                path.iter().for_each(|path| self.expr(path, Wanted::Anything));
            }
            StatementKind::Data { name, reader } => {
                self.note(name.span, What::Defines);
                self.expr(reader, Wanted::Reader);
            }
            StatementKind::MeasureAt { at } => self.record(at, None),
            StatementKind::Measure { measures } => measures.iter().for_each(|it| self.measured(it)),
            StatementKind::Expect { measure, bound, of, .. } => {
                self.measured(measure);
                self.expr(bound, Wanted::Anything);
                of.iter().for_each(|name| self.note(name.span, What::Name(&name.text, Wanted::Anything)));
            }
            StatementKind::Step(step) => self.step(step),
            StatementKind::Sweep { name, values, body } => {
                self.note(name.span, What::Defines);
                self.expr(values, Wanted::Anything);
                body.iter().for_each(|statement| self.statement(statement));
            }
            StatementKind::Save { path, options } => {
                self.expr(path, Wanted::Anything);
                options.iter().for_each(|record| self.record(record, Some(Callee::Save)));
            }
            StatementKind::Broken => {}
        }
    }

    fn step(&mut self, step: &'a ast::Step) {
        let spec = pass_of_step(self.registry, step);
        self.note(step.verb.span, What::Verb(step));
        for noun in &step.nouns {
            self.note(noun.name.span, What::Noun(step, noun));
            noun.indices.iter().for_each(|indices| self.indices(indices));
        }
        for clause in &step.clauses {
            self.note(clause.keyword, What::Clause(step, clause.kind));
            match &clause.value {
                ClauseValue::Selector(selector) => self.selector(selector),
                ClauseValue::Record(record) => self.record(record, spec.map(Callee::Pass)),
                ClauseValue::Expr(expr) => {
                    let known = spec.and_then(|spec| clause_of(spec, clause.kind));
                    self.expr(expr, known.map_or(Wanted::Anything, |known| Wanted::Type(known.field.ty)));
                }
            }
        }
    }

    fn measured(&mut self, measured: &'a ast::Measured) {
        self.expr(&measured.measure, Wanted::Measure);
        measured.of.iter().for_each(|selector| self.selector(selector));
    }

    fn selector(&mut self, selector: &'a ast::Selector) {
        for path in selector.include.iter().chain(&selector.except) {
            for (at, segment) in path.segments.iter().enumerate() {
                match &segment.kind {
                    ast::SegmentKind::Child { name, indices } => {
                        self.note(name.span, What::Segment(path, at));
                        indices.iter().for_each(|indices| self.indices(indices));
                    }
                    ast::SegmentKind::Alternatives(names) => {
                        names.iter().for_each(|name| self.note(name.span, What::Segment(path, at)));
                    }
                    ast::SegmentKind::Tensor(text) => self.text(text),
                    ast::SegmentKind::Any | ast::SegmentKind::AnyDepth => {
                        self.note(segment.span, What::Segment(path, at));
                    }
                }
            }
        }
    }

    fn indices(&mut self, indices: &'a ast::Indices) {
        for item in &indices.items {
            match item {
                ast::Index::All(_) => {}
                ast::Index::One(expr) => self.expr(expr, Wanted::Anything),
                ast::Index::Range { start, end, .. } => {
                    start.iter().chain(end).for_each(|expr| self.expr(expr, Wanted::Anything));
                }
            }
        }
    }

    fn record(&mut self, record: &'a ast::Record, owner: Option<Callee>) {
        for field in &record.fields {
            self.note(field.name.span, What::Key(owner, &field.name.text));
            let wanted = owner.map_or(Wanted::Anything, |owner| owner.wants(Some(&field.name.text), 0));
            self.expr(&field.value, wanted);
        }
    }

    fn text(&mut self, text: &'a ast::Text) {
        self.note(text.span, What::Text);
        for part in &text.parts {
            if let ast::TextPart::Interpolated(name) = part {
                self.note(name.span, What::Name(&name.text, Wanted::Anything));
            }
        }
    }

    fn expr(&mut self, expr: &'a ast::Expr, wanted: Wanted) {
        match &expr.kind {
            ExprKind::Name(name) => self.note(expr.span, What::Name(name, wanted)),
            ExprKind::Call { name, args } => {
                self.note(name.span, What::Called(&name.text, wanted));
                let callee = wanted.called(&name.text, self.registry);
                for (number, arg) in args.iter().enumerate() {
                    let key = arg.name.as_ref();
                    key.iter().for_each(|key| self.note(key.span, What::Key(callee, &key.text)));
                    let key = key.map(|key| key.text.as_str());
                    let wanted = callee.map_or(Wanted::Anything, |callee| callee.wants(key, number));
                    self.expr(&arg.value, wanted);
                }
            }
            ExprKind::List(items) => items.iter().for_each(|item| self.expr(item, wanted)),
            ExprKind::Record(record) => self.record(record, None),
            ExprKind::Pattern { n, m } => {
                self.expr(n, Wanted::Anything);
                self.expr(m, Wanted::Anything);
            }
            ExprKind::Amount { value, unit } => {
                self.expr(value, Wanted::Anything);
                self.note(unit.span, What::Unit(&unit.text));
            }
            ExprKind::Negate(inner) => self.expr(inner, Wanted::Anything),
            ExprKind::Binary { left, right, .. } => {
                self.expr(left, Wanted::Anything);
                self.expr(right, Wanted::Anything);
            }
            ExprKind::Text(text) => self.text(text),
            ExprKind::Number { .. } | ExprKind::Percent(_) | ExprKind::Bool(_) => {
                self.note(expr.span, What::Number);
            }
            ExprKind::Broken => {}
        }
    }
}
