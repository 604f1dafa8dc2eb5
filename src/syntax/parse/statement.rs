//! Statements other than steps.

use pest::iterators::{Pair, Pairs};

use super::{Builder, Rule, expr, poisoned};
use crate::diagnostic::{Diagnostic, codes};
use crate::source::Span;
use crate::syntax::ast::{
    Comparison, Expr, ExprKind, Measured, Name, Record, Statement, StatementKind, Text,
};
use crate::syntax::layout::is_clause_word;

impl Builder<'_> {
    pub(super) fn statement_or_stray(&mut self, pair: Pair<Rule>) -> Option<Statement> {
        match pair.as_rule() {
            Rule::EOI => None,
            Rule::statement => Some(self.statement(pair)),
            _ => {
                self.superfluous(&pair, "a statement");
                None
            }
        }
    }

    fn statement(&mut self, pair: Pair<Rule>) -> Statement {
        let span = self.span(&pair);
        let mistakes = self.mistakes;
        let mut parts = pair.into_inner();
        let first = parts.next().expect("a statement is not empty");
        let keyword = self.token_at(span.start);
        let mut kind = self.kind(first);
        if let Some(trailing) = parts.next() {
            if poisoned(&trailing) {
                self.mistakes += 1;
                kind = spoiled(kind);
            } else if self.mistakes == mistakes {
                self.trailing(&trailing, self.laid_text(keyword), keyword);
            }
        }
        self.step_above = matches!(kind, StatementKind::Step(_)).then_some(span);
        Statement { kind, span }
    }

    fn kind(&mut self, pair: Pair<Rule>) -> StatementKind {
        let rule = pair.as_rule();
        match rule {
            Rule::step => return self.step(pair),
            Rule::broken => return self.broken(&pair),
            _ => {}
        }
        let parts = pair.into_inner();
        let kind = match rule {
            Rule::header => self.header(parts),
            Rule::import => self.text_or_missing(parts).map(|path| StatementKind::Use { path }),
            Rule::param => self.param(parts),
            Rule::binding => self.bound(parts).map(|(name, value)| StatementKind::Let { name, value }),
            Rule::data => self.bound(parts).map(|(name, reader)| StatementKind::Data { name, reader }),
            Rule::model => self.model(parts),
            Rule::measure_at => self.record_or_missing(parts).map(|at| StatementKind::MeasureAt { at }),
            Rule::measure => self.measure(parts),
            Rule::expect => self.expect(parts),
            Rule::sweep => self.sweep(parts),
            _ => Some(self.save(parts)),
        };
        kind.unwrap_or(StatementKind::Broken)
    }

    fn header(&mut self, mut parts: Pairs<Rule>) -> Option<StatementKind> {
        let name = self.text_part(parts.next());
        let fields = parts.next().map(|record| self.record(record));
        Some(StatementKind::Header { name: name?, fields })
    }

    fn text_or_missing(&mut self, mut parts: Pairs<Rule>) -> Option<Text> {
        self.text_part(parts.next())
    }

    fn text_part(&mut self, pair: Option<Pair<Rule>>) -> Option<Text> {
        let pair = pair?;
        if pair.as_rule() == Rule::text {
            return Some(self.text(pair));
        }
        self.missing(&pair, "a text in quotes");
        None
    }

    fn record_or_missing(&mut self, parts: Pairs<Rule>) -> Option<Record> {
        let mut record = None;
        for part in parts {
            match part.as_rule() {
                Rule::record => record = Some(self.record(part)),
                Rule::no_record => self.missing(&part, "options in braces"),
                _ => {}
            }
        }
        record
    }

    fn param(&mut self, mut parts: Pairs<Rule>) -> Option<StatementKind> {
        let name = self.name_or_missing(parts.next());
        let ty = parts.next().and_then(|ty| self.type_name(ty));
        let default = parts.next().map(|value| self.value(value));
        Some(StatementKind::Param { name: name?, ty: ty?, default })
    }

    /// A type of several words, `amount of flops`, is one name with single spaces.
    fn type_name(&mut self, pair: Pair<Rule>) -> Option<Name> {
        let at = self.start(&pair);
        let diagnostic = match pair.as_rule() {
            Rule::type_name => {
                let span = self.span(&pair);
                let words: Vec<&str> = pair.into_inner().map(|word| word.as_str()).collect();
                return Some(Name { text: words.join(" "), span });
            }
            Rule::no_type => self.expected(at, "a type"),
            _ => self.expected(at, "`:` and a type"),
        };
        let help = "a parameter says its type, as in `param budget: ratio = 60%`";
        self.diagnostics.extend(diagnostic.map(|diagnostic| diagnostic.help(help)));
        None
    }

    /// `NAME = value`
    fn bound(&mut self, mut parts: Pairs<Rule>) -> Option<(Name, Expr)> {
        let name = self.name_or_missing(parts.next());
        let value = self.after_equals(parts);
        Some((name?, value?))
    }

    fn after_equals(&mut self, parts: Pairs<Rule>) -> Option<Expr> {
        let mut value = None;
        for part in parts {
            if part.as_rule() == Rule::no_equals {
                let found = self.expected(self.start(&part), "`=`");
                // Where a value stands, nothing but the sign is missing.
                let begins = |text: &str| {
                    text.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '"')
                };
                let mended = |it: Diagnostic| match it.place.as_ref().map(|place| place.span) {
                    Some(span) if begins(self.laid_text(span)) => {
                        it.fix(Span::new(span.source, span.start, span.start), "= ")
                    }
                    _ => it,
                };
                let mended = found.map(mended);
                self.diagnostics.extend(mended);
            } else {
                value = Some(self.value(part));
            }
        }
        value
    }

    fn model(&mut self, mut parts: Pairs<Rule>) -> Option<StatementKind> {
        let name = self.name_or_missing(parts.next());
        let path = self.after_equals(parts);
        Some(StatementKind::Model { name: name?, path })
    }

    fn measure(&mut self, parts: Pairs<Rule>) -> Option<StatementKind> {
        let measures: Vec<Measured> = parts.filter_map(|part| self.measured(part)).collect();
        (!measures.is_empty()).then_some(StatementKind::Measure { measures })
    }

    fn measured(&mut self, pair: Pair<Rule>) -> Option<Measured> {
        if pair.as_rule() == Rule::no_measure {
            self.missing(&pair, "a measure");
            return None;
        }
        let span = self.span(&pair);
        let mut parts = pair.into_inner();
        let reference = parts.next()?;
        let measure = Expr { span: self.span(&reference), kind: self.reference(reference) };
        let of = match parts.nth(1) {
            None => None,
            Some(selector) => Some(self.selector(selector)?),
        };
        Some(Measured { measure, of, span })
    }

    fn expect(&mut self, mut parts: Pairs<Rule>) -> Option<StatementKind> {
        let measure = self.measured(parts.next()?);
        let op = self.comparison(&parts.next()?);
        let bound = self.value(parts.next()?);
        let of = parts.nth(1);
        let of = match of {
            None => None,
            Some(name) => Some(self.name_or_missing(Some(name))?),
        };
        Some(StatementKind::Expect { measure: measure?, op: op?, bound, of })
    }

    fn comparison(&mut self, pair: &Pair<Rule>) -> Option<Comparison> {
        let (op, sign) = match pair.as_str().trim_ascii_end() {
            "<=" => return Some(Comparison::LessOrEqual),
            ">=" => return Some(Comparison::GreaterOrEqual),
            "==" => return Some(Comparison::Equal),
            "<" => return Some(Comparison::Less),
            ">" => return Some(Comparison::Greater),
            "=<" => (Comparison::LessOrEqual, "<="),
            "=>" => (Comparison::GreaterOrEqual, ">="),
            "=" => (Comparison::Equal, "=="),
            _ => {
                self.missing(pair, "one of `<=`, `>=`, `<`, `>` and `==`");
                return None;
            }
        };
        let place = self.span(pair);
        self.mistakes += 1;
        self.diagnostics.push(
            Diagnostic::at(&codes::SYNTAX, place, format!("`{}` compares nothing", self.laid_text(place)))
                .help(format!("write `{sign}`"))
                .fix(place, sign),
        );
        Some(op)
    }

    fn sweep(&mut self, parts: Pairs<Rule>) -> Option<StatementKind> {
        let (mut name, mut values, mut body) = (None, None, Vec::new());
        let mistakes = self.mistakes;
        for part in parts {
            match part.as_rule() {
                Rule::name | Rule::no_name => name = self.name_or_missing(Some(part)),
                Rule::no_in => self.missing(&part, "`in`"),
                Rule::expr | Rule::no_value => values = Some(self.value(part)),
                Rule::head_leftover if poisoned(&part) => {
                    self.mistakes += 1;
                    values.iter_mut().for_each(expr::spoil);
                }
                Rule::head_leftover if self.mistakes == mistakes => self.superfluous(&part, "`{`"),
                Rule::no_block if self.mistakes == mistakes => self.missing(&part, "`{`"),
                Rule::block => {
                    self.step_above = None;
                    body = part.into_inner().filter_map(|part| self.statement_or_stray(part)).collect();
                }
                _ => {}
            }
        }
        Some(StatementKind::Sweep { name: name?, values: values?, body })
    }

    fn save(&mut self, mut parts: Pairs<Rule>) -> StatementKind {
        let path = parts.next().map(|path| self.value(path));
        let options = self.record_or_missing(parts);
        path.map_or(StatementKind::Broken, |path| StatementKind::Save { path, options })
    }

    /// A line that begins like no statement.
    fn broken(&mut self, pair: &Pair<Rule>) -> StatementKind {
        let place = self.token_at(self.start(pair));
        let word = self.laid_text(place);
        if poisoned(pair) {
            self.mistakes += 1;
        } else if is_clause_word(word) {
            self.report(
                &codes::STRAY_CLAUSE,
                place,
                format!("`{word}` continues a step, but none stands above"),
            );
        } else {
            self.superfluous(pair, "a statement");
        }
        StatementKind::Broken
    }

    /// Text behind a statement that is complete.
    fn trailing(&mut self, pair: &Pair<Rule>, keyword: &str, statement: Span) {
        let place = self.token_at(self.start(pair));
        let word = self.laid_text(place);
        if !is_clause_word(word) {
            return self.superfluous(pair, "the end of the line");
        }
        self.mistakes += 1;
        let message = format!("`{word}` continues a step, but none stands above");
        self.diagnostics.push(
            Diagnostic::at(&codes::STRAY_CLAUSE, place, message)
                .label(statement, format!("`{keyword}` takes no `{word}`")),
        );
    }
}

/// A statement whose end did not parse: what it binds stays bound, to a broken value.
fn spoiled(kind: StatementKind) -> StatementKind {
    match kind {
        StatementKind::Param { name, ty, default: Some(value) } => {
            StatementKind::Param { name, ty, default: Some(broken(value)) }
        }
        StatementKind::Let { name, value } => StatementKind::Let { name, value: broken(value) },
        StatementKind::Data { name, reader } => StatementKind::Data { name, reader: broken(reader) },
        StatementKind::Model { name, path } => StatementKind::Model { name, path: path.map(broken) },
        _ => StatementKind::Broken,
    }
}

fn broken(value: Expr) -> Expr {
    Expr { kind: ExprKind::Broken, span: value.span }
}
