//! A statement as rows: the head and, for a step, its clauses.

use super::{INDENT, WIDTH, Writer, groups};
use crate::source::Span;
use crate::syntax::ast::{
    Clause, ClauseValue, Comparison, Expr, Measured, Record, Selector, Statement, StatementKind, Step, Text,
};
use crate::syntax::layout::is_statement_word;
use crate::syntax::print::Line;

/// A part of a row.
pub(super) enum Piece<'t> {
    Word(String),
    Text(&'t Text),
    Expr(&'t Expr),
    Record(&'t Record),
    Selector(&'t Selector),
    /// `, `, where a row that is too long breaks.
    Comma,
}

/// What stands on one line if it fits.
pub(super) struct Row<'t> {
    pieces: Vec<Piece<'t>>,
    pub span: Span,
    /// Begins a line, as its author wanted or as the width needs.
    own_line: bool,
}

/// Widths of the words before `=`, in `model` and `data` lines that follow each other.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Columns {
    keyword: usize,
    name: usize,
}

impl Columns {
    /// The columns of each statement. `joined` says whether a statement belongs to the lines above it.
    pub(super) fn of(statements: &[Statement], joined: impl Fn(&Statement, &Statement) -> bool) -> Vec<Self> {
        let aligned = |statement: &Statement| !matches!(Self::single(statement), Self { keyword: 0, .. });
        let together = |a: &Statement, b: &Statement| aligned(a) && aligned(b) && joined(a, b);
        let runs = statements.chunk_by(together);
        runs.flat_map(|run| {
            let widest = run.iter().map(Self::single).fold(Self::default(), Self::max);
            std::iter::repeat_n(widest, run.len())
        })
        .collect()
    }

    fn single(statement: &Statement) -> Self {
        match &statement.kind {
            StatementKind::Model { path: None, .. } => Self { keyword: "model".len(), name: 0 },
            StatementKind::Model { name, .. } => Self { keyword: "model".len(), name: name.text.len() },
            StatementKind::Data { name, .. } => Self { keyword: "data".len(), name: name.text.len() },
            _ => Self::default(),
        }
    }

    fn max(self, other: Self) -> Self {
        Self { keyword: self.keyword.max(other.keyword), name: self.name.max(other.name) }
    }

    fn bind(self, keyword: &str, name: &str) -> Piece<'static> {
        Piece::Word(format!("{keyword:<0$} {name:<1$} = ", self.keyword, self.name))
    }
}

impl<'t> Row<'t> {
    pub(super) fn of(statement: &'t Statement, columns: Columns, text: &str) -> Vec<Self> {
        match &statement.kind {
            StatementKind::Step(step) => step_rows(step, text),
            kind => vec![Row { pieces: pieces(kind, columns), span: statement.span, own_line: true }],
        }
    }

    /// The insides of brackets that can be broken.
    pub(super) fn groups(&self) -> Vec<Span> {
        let mut groups = Vec::new();
        for piece in &self.pieces {
            match piece {
                Piece::Expr(expr) => groups::of(expr, &mut groups),
                Piece::Record(record) => groups.push(record.span),
                _ => {}
            }
        }
        groups
    }

    fn flat(&self, text: &str) -> String {
        self.pieces.iter().map(|piece| piece.flat(text)).collect()
    }
}

impl Piece<'_> {
    fn flat(&self, text: &str) -> String {
        let mut line = Line::of_source(text);
        match self {
            Piece::Word(word) => return word.clone(),
            Piece::Comma => return ", ".to_owned(),
            Piece::Text(text) => line.text(text),
            Piece::Expr(expr) => line.expr(expr),
            Piece::Record(record) => line.record(record),
            Piece::Selector(selector) => line.selector(selector),
        }
        line.out
    }
}

fn word<'t>(text: impl Into<String>) -> Piece<'t> {
    Piece::Word(text.into())
}

fn pieces(kind: &StatementKind, columns: Columns) -> Vec<Piece<'_>> {
    match kind {
        StatementKind::Header { name, fields } => {
            let mut pieces = vec![word("recipe "), Piece::Text(name)];
            if let Some(fields) = fields {
                pieces.extend([word(" "), Piece::Record(fields)]);
            }
            pieces
        }
        StatementKind::Use { path } => vec![word("use "), Piece::Text(path)],
        StatementKind::Param { name, ty, default } => {
            let mut pieces = vec![word(format!("param {}: {}", name.text, ty.text))];
            if let Some(default) = default {
                pieces.extend([word(" = "), Piece::Expr(default)]);
            }
            pieces
        }
        StatementKind::Let { name, value } => vec![word(format!("let {} = ", name.text)), Piece::Expr(value)],
        StatementKind::Model { name, path: None } => vec![word(format!("model {}", name.text))],
        StatementKind::Model { name, path: Some(path) } => {
            vec![columns.bind("model", &name.text), Piece::Expr(path)]
        }
        StatementKind::Data { name, reader } => vec![columns.bind("data", &name.text), Piece::Expr(reader)],
        StatementKind::MeasureAt { at } => vec![word("measure at "), Piece::Record(at)],
        StatementKind::Measure { measures } => {
            let mut pieces = vec![word("measure ")];
            for (i, measure) in measures.iter().enumerate() {
                pieces.extend((i > 0).then_some(Piece::Comma));
                measured(measure, &mut pieces);
            }
            pieces
        }
        StatementKind::Expect { measure, op, bound, of } => {
            let mut pieces = vec![word("expect ")];
            measured(measure, &mut pieces);
            pieces.extend([word(comparison(*op)), Piece::Expr(bound)]);
            pieces.extend(of.iter().map(|of| word(format!(" of {}", of.text))));
            pieces
        }
        StatementKind::Sweep { name, values, .. } => {
            vec![word(format!("sweep {} in ", name.text)), Piece::Expr(values), word(" {")]
        }
        StatementKind::Save { path, options } => {
            let mut pieces = vec![word("save "), Piece::Expr(path)];
            if let Some(options) = options {
                pieces.extend([word(" with "), Piece::Record(options)]);
            }
            pieces
        }
        StatementKind::Step(_) | StatementKind::Broken => Vec::new(),
    }
}

fn measured<'t>(measure: &'t Measured, pieces: &mut Vec<Piece<'t>>) {
    pieces.push(Piece::Expr(&measure.measure));
    if let Some(of) = &measure.of {
        pieces.extend([word(" of "), Piece::Selector(of)]);
    }
}

fn comparison(op: Comparison) -> &'static str {
    match op {
        Comparison::LessOrEqual => " <= ",
        Comparison::GreaterOrEqual => " >= ",
        Comparison::Less => " < ",
        Comparison::Greater => " > ",
        Comparison::Equal => " == ",
    }
}

fn step_rows<'t>(step: &'t Step, text: &str) -> Vec<Row<'t>> {
    let mut pieces = vec![word(format!("{} ", step.verb.text))];
    for (i, noun) in step.nouns.iter().enumerate() {
        let mut line = Line::of_source(text);
        line.noun(noun);
        pieces.extend((i > 0).then_some(Piece::Comma));
        pieces.push(word(line.out));
    }
    let span = step.nouns.iter().fold(step.verb.span, |span, noun| span.to(noun.span));
    let mut rows = vec![Row { pieces, span, own_line: true }];
    for clause in &step.clauses {
        let end = rows.last().map_or(span.end, |row| row.span.end);
        let own_line = text[end..clause.span.start].contains('\n');
        rows.push(Row { pieces: clause_pieces(clause), span: clause.span, own_line });
    }
    rows
}

fn clause_pieces(clause: &Clause) -> Vec<Piece<'_>> {
    let keyword = word(format!("{} ", clause.kind.keyword()));
    let value = match &clause.value {
        ClauseValue::Selector(selector) => Piece::Selector(selector),
        ClauseValue::Record(record) => Piece::Record(record),
        ClauseValue::Expr(expr) => Piece::Expr(expr),
    };
    vec![keyword, value]
}

impl Writer<'_> {
    /// Writes the rows of a statement. Comments that stand in the first one between its words are written already.
    pub(super) fn rows(&mut self, mut rows: Vec<Row>, indent: usize) {
        self.split(&mut rows, indent);
        let mut above = rows[0].span;
        for (i, row) in rows.iter().enumerate() {
            let hoisted = self.comments.take_outside(&row.groups(), row.span);
            if i > 0 && (row.own_line || !hoisted.is_empty()) {
                self.comments_between(above.end, row.span.start, indent + INDENT);
                for comment in hoisted {
                    self.comment_line(comment, indent + INDENT);
                }
                self.begin_line(indent + INDENT);
            } else if i > 0 {
                self.out.push(' ');
            } else {
                self.begin_line(indent);
            }
            self.row(row);
            above = row.span;
        }
    }

    /// Where clauses on one line do not fit, each gets its own; only a place may stay behind the nouns.
    fn split(&self, rows: &mut [Row], indent: usize) {
        let widths: Vec<usize> = rows.iter().map(|row| row.flat(self.text).chars().count()).collect();
        let mut width = indent + widths[0];
        let mut too_long = false;
        for (row, add) in rows.iter().zip(&widths).skip(1) {
            width = if row.own_line { indent + INDENT + add } else { width + 1 + add };
            too_long |= !row.own_line && width > WIDTH;
        }
        if !too_long {
            return;
        }
        let place_fits =
            matches!(rows[1].pieces[1], Piece::Selector(_)) && indent + widths[0] + 1 + widths[1] <= WIDTH;
        for row in &mut rows[if place_fits { 2 } else { 1 }..] {
            row.own_line = true;
        }
    }

    /// Comments between two rows, on the upper row's line or on their own.
    fn comments_between(&mut self, end: usize, start: usize, indent: usize) {
        while let Some(comment) = self.comments.take_in(end, start) {
            if self.text[end..comment.span.start].contains('\n') {
                self.comment_line(&comment.text, indent);
            } else {
                self.out.push_str("  ");
                self.out.push_str(&comment.text);
            }
        }
    }

    fn row(&mut self, row: &Row) {
        let flat = row.flat(self.text);
        let too_long = self.column() + flat.chars().count() > WIDTH;
        if !too_long && !self.comments.any_in(row.span) {
            return self.out.push_str(&flat);
        }
        let indent = self.line_indent();
        for (i, piece) in row.pieces.iter().enumerate() {
            let next = row.pieces.get(i + 1).map(|piece| piece.flat(self.text)).unwrap_or_default();
            let tail =
                if matches!(row.pieces.get(i + 1), Some(Piece::Word(_))) { next.chars().count() } else { 1 };
            match piece {
                Piece::Word(_) | Piece::Text(_) => self.out.push_str(&piece.flat(self.text)),
                Piece::Comma if too_long => self.comma(&next, indent),
                Piece::Comma => self.out.push_str(", "),
                Piece::Expr(expr) => self.expr(expr, indent, tail),
                Piece::Record(record) => self.record(record, indent, tail),
                Piece::Selector(selector) => self.selector(selector, indent, tail),
            }
        }
    }

    /// A comma and a new line, if the next word can begin one.
    fn comma(&mut self, next: &str, indent: usize) {
        let word = next.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next();
        if word.is_some_and(is_statement_word) {
            return self.out.push_str(", ");
        }
        self.out.push(',');
        self.begin_line(indent + 2 * INDENT);
    }

    fn selector(&mut self, selector: &Selector, indent: usize, tail: usize) {
        let flat = Piece::Selector(selector).flat(self.text);
        if self.column() + flat.chars().count() + tail <= WIDTH {
            return self.out.push_str(&flat);
        }
        for (side, paths) in [&selector.include, &selector.except].into_iter().enumerate() {
            if side == 1 && !paths.is_empty() {
                self.begin_line(indent + 2 * INDENT);
                self.out.push_str("except ");
            }
            for (i, path) in paths.iter().enumerate() {
                let mut line = Line::of_source(self.text);
                line.path(path);
                if i > 0 {
                    self.comma(&line.out, indent);
                }
                self.out.push_str(&line.out);
            }
        }
    }
}
