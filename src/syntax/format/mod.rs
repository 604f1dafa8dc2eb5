//! Canonical text of a recipe: the same tree, the same comments, one layout.
//!
//! Its author decides on which clauses begin a line, and where blank lines stand (one at most); all else is decided
//! here: spaces, brackets that break once they do not fit [`WIDTH`], columns of `model` and `data` lines that follow
//! each other. Formatted text formats to itself.

mod comments;
mod groups;
mod rows;

use super::ast::{Recipe, Statement, StatementKind};
use crate::diagnostic::Diagnostics;
use crate::source::{Source, Sources};
use comments::Comments;
use rows::{Columns, Row};

/// Columns of a line, as far as breaking brackets can keep it.
const WIDTH: usize = 100;
const INDENT: usize = 2;

/// Canonical text, or what is wrong with the text. The diagnostics point into the first source of their [`Sources`].
pub fn format(text: &str) -> Result<String, Diagnostics> {
    let id = Sources::new().add(Source::new("recipe", text));
    let mut diagnostics = Diagnostics::new();
    let recipe = super::parse(id, text, &mut diagnostics);
    diagnostics.stop_on_error()?;
    Ok(format_parsed(text, &recipe))
}

/// Canonical text of a recipe that was parsed from `text` without errors.
pub fn format_parsed(text: &str, recipe: &Recipe) -> String {
    let mut writer = Writer::new(text, recipe);
    writer.body(&recipe.statements, 0, text.len());
    if !writer.out.is_empty() {
        writer.out.push('\n');
    }
    writer.out
}

struct Writer<'a> {
    text: &'a str,
    comments: Comments<'a>,
    out: String,
    /// Where in `out` the current line begins.
    line: usize,
    /// The place in `text` behind what was written last. None at the begin of a body, where no blank line stands.
    end: Option<usize>,
}

impl<'a> Writer<'a> {
    fn new(text: &'a str, recipe: &'a Recipe) -> Self {
        Self { text, comments: Comments::new(&recipe.comments), out: String::new(), line: 0, end: None }
    }

    /// Statements and the comments around them, up to `end` of the text.
    fn body(&mut self, statements: &[Statement], indent: usize, end: usize) {
        self.end = None;
        let mut above: Option<&Statement> = None;
        let columns = Columns::of(statements, |above, statement| self.stands_below(above, statement));
        for (statement, columns) in statements.iter().zip(columns) {
            self.comments_before(statement.span.start, indent, above);
            self.statement(statement, columns, indent, end);
            above = Some(statement);
        }
        self.comments_before(end, indent, above);
    }

    /// Whether a statement begins on the line below the one above it, and will so when formatted.
    fn stands_below(&self, above: &Statement, statement: &Statement) -> bool {
        let between = &self.text[above.span.end..statement.span.start];
        let row = &Row::of(statement, Columns::default(), self.text)[0];
        between.matches('\n').count() == 1 && !self.comments.any_outside(&row.groups(), row.span)
    }

    /// One statement of a body that ends at `end`.
    fn statement(&mut self, statement: &Statement, columns: Columns, indent: usize, end: usize) {
        let mut rows = Row::of(statement, columns, self.text);
        let head = head_end(statement, self.text, &self.comments);
        rows[0].span.end = rows[0].span.end.min(head);
        self.blank_line(statement.span.start);
        for comment in self.comments.take_outside(&rows[0].groups(), rows[0].span) {
            self.comment_line(comment, indent);
        }
        self.rows(rows, indent);
        if let StatementKind::Sweep { body, .. } = &statement.kind {
            let body_end = statement.span.end - 1;
            self.trailing_comment(head, body.first().map_or(body_end, |first| first.span.start));
            self.body(body, indent + INDENT, body_end);
            self.begin_line(indent);
            self.out.push('}');
        }
        self.end = Some(statement.span.end);
        self.trailing_comment(statement.span.end, end);
    }

    /// Comments on lines of their own, before `end`. Below a step they may be clauses put out of use, and stay indented.
    fn comments_before(&mut self, end: usize, indent: usize, above: Option<&Statement>) {
        let step = above.filter(|statement| matches!(statement.kind, StatementKind::Step(_)));
        let mut step_column = step.map(|step| column(self.text, step.span.start));
        while let Some(comment) = self.comments.take_before(end) {
            let start = comment.span.start;
            if self.blank_line(start) || step_column.is_some_and(|step| column(self.text, start) <= step) {
                step_column = None;
            }
            self.comment_line(&comment.text, if step_column.is_some() { indent + INDENT } else { indent });
            self.end = Some(comment.span.end);
        }
    }

    /// Writes a blank line where one or more stand between what was written last and `start`.
    fn blank_line(&mut self, start: usize) -> bool {
        let Some(end) = self.end.filter(|&end| end <= start) else { return false };
        let blank = self.text[end..start].matches('\n').count() > 1;
        if blank {
            self.out.push('\n');
        }
        blank
    }

    /// A comment that stands on the same line of the text behind `end` and before `limit`.
    fn trailing_comment(&mut self, end: usize, limit: usize) {
        if let Some(comment) = self.comments.take_on_line(self.text, end, limit) {
            self.out.push_str("  ");
            self.out.push_str(&comment.text);
            self.end = Some(comment.span.end);
        }
    }

    fn comment_line(&mut self, comment: &str, indent: usize) {
        self.begin_line(indent);
        self.out.push_str(comment);
    }

    fn begin_line(&mut self, indent: usize) {
        if !self.out.is_empty() {
            self.out.push('\n');
        }
        self.line = self.out.len();
        self.out.extend(std::iter::repeat_n(' ', indent));
    }

    /// Spaces at the begin of the current line.
    fn line_indent(&self) -> usize {
        self.out[self.line..].bytes().take_while(|&byte| byte == b' ').count()
    }

    fn column(&self) -> usize {
        self.out[self.line..].chars().count()
    }
}

/// Where the part of a statement ends that rows print: all of it, or the `{` of a sweep.
fn head_end(statement: &Statement, text: &str, comments: &Comments) -> usize {
    match &statement.kind {
        StatementKind::Sweep { values, .. } => {
            let behind = text[values.span.end..].match_indices('{').map(|(at, _)| values.span.end + at);
            let brace = behind.into_iter().find(|&at| !comments.cover(at));
            brace.map_or(statement.span.end, |at| at + 1)
        }
        _ => statement.span.end,
    }
}

fn column(text: &str, at: usize) -> usize {
    at - text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

#[cfg(test)]
mod tests;
