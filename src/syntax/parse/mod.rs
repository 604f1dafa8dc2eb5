//! Laid-out text to tree. The grammar takes every text; what it took by a way to be wrong is reported here.

mod expr;
mod literal;
mod report;
mod selector;
mod statement;
mod step;

use pest::Parser;
use pest::iterators::{Pair, Pairs};

use super::ast::{Comment, Expr, Name, Recipe, Statement};
use super::layout::{self, Layout, POISON};
use crate::diagnostic::Diagnostics;
use crate::source::{SourceId, Span};

/// The parser and its rules, made from the grammar.
mod grammar {
    #[derive(pest_derive::Parser)]
    #[grammar = "../grammar/tamis.pest"]
    pub(super) struct Grammar;
}

use grammar::{Grammar, Rule};

/// How deep a tree may be. Chains of operators count: `1 + 1 + 1` is a tree of depth 3.
const MAX_TREE_DEPTH: usize = 256;

/// The tree of any text. What is wrong with it is told in `diagnostics`, in the order of the text.
pub fn parse(source: SourceId, text: &str, diagnostics: &mut Diagnostics) -> Recipe {
    let mut found = Diagnostics::new();
    let Layout { text: laid, cuts, comments } = layout::lay_out(source, text, &mut found);
    let mut builder = Builder::new(source, text, &laid, &mut found);
    let ends = cuts.iter().copied().skip(1).chain([laid.len()]);
    let pieces = cuts.iter().copied().zip(ends);
    let statements: Vec<Statement> = pieces.flat_map(|(start, end)| builder.statements(start, end)).collect();
    found.sort();
    diagnostics.extend(found);
    let top = statements.first().map_or(text.len(), |statement| statement.span.start);
    let doc = doc_comment(text, comments.iter().take_while(|comment| comment.span.start < top));
    Recipe { doc, statements, comments, span: Span::new(source, 0, text.len()) }
}

/// The tree of one value, as in `--set name=value`. None where it has an error.
pub fn parse_expr(source: SourceId, text: &str, diagnostics: &mut Diagnostics) -> Option<Expr> {
    let mut found = Diagnostics::new();
    let Layout { text: laid, .. } = layout::lay_out(source, text, &mut found);
    let expr = Builder::new(source, text, &laid, &mut found).single_expr();
    let fine = !found.has_errors();
    found.sort();
    diagnostics.extend(found);
    expr.filter(|_| fine)
}

/// The first block of `##` lines.
fn doc_comment<'a>(text: &str, comments: impl Iterator<Item = &'a Comment>) -> Option<String> {
    let mut lines: Vec<&str> = Vec::new();
    let mut end = 0;
    for comment in comments.skip_while(|comment| !comment.text.starts_with("##")) {
        let between = text[end..comment.span.start].matches('\n').count();
        let Some(line) = comment.text.strip_prefix("##").filter(|_| lines.is_empty() || between == 1) else {
            break;
        };
        lines.push(line.strip_prefix(' ').unwrap_or(line));
        end = comment.span.end;
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// Makes the tree from the grammar's pairs.
struct Builder<'a> {
    source: SourceId,
    /// As it was written.
    text: &'a str,
    /// As the grammar saw it: the same length, so that offsets hold in both.
    laid: &'a str,
    /// Where the piece begins that pest is given: its offsets count from there.
    base: usize,
    diagnostics: &'a mut Diagnostics,
    /// Mistakes so far, with those that the layout has reported.
    mistakes: usize,
    /// Where the last missing thing was reported: what is missing behind it there follows from it.
    missing_at: Option<usize>,
    /// The statement above, where it is a step.
    step_above: Option<Span>,
    depth: usize,
}

impl<'a> Builder<'a> {
    fn new(source: SourceId, text: &'a str, laid: &'a str, diagnostics: &'a mut Diagnostics) -> Self {
        Self {
            source,
            text,
            laid,
            base: 0,
            diagnostics,
            mistakes: 0,
            missing_at: None,
            step_above: None,
            depth: 0,
        }
    }

    /// The statements of a part of the text that begins and ends between two of them.
    fn statements(&mut self, start: usize, end: usize) -> Vec<Statement> {
        self.base = start;
        let pairs = self.pairs(Rule::recipe, &self.laid[start..end]);
        pairs.filter_map(|pair| self.statement_or_stray(pair)).collect()
    }

    fn single_expr(&mut self) -> Option<Expr> {
        let mut value = None;
        for pair in self.pairs(Rule::single_expr, self.laid) {
            match pair.as_rule() {
                Rule::expr | Rule::no_value => value = Some(self.value(pair)),
                Rule::EOI => {}
                _ if self.mistakes > 0 => {}
                _ => self.superfluous(&pair, "the end of the value"),
            }
        }
        value
    }

    fn pairs(&self, rule: Rule, laid: &'a str) -> Pairs<'a, Rule> {
        let mut pairs = Grammar::parse(rule, laid).expect("every text fits the grammar");
        pairs.next().expect("a rule makes a pair").into_inner()
    }

    fn start(&self, pair: &Pair<Rule>) -> usize {
        self.base + pair.as_span().start()
    }

    /// The span of what a pair took, less the blanks that pest takes behind optional parts.
    fn span(&self, pair: &Pair<Rule>) -> Span {
        let start = self.start(pair);
        self.whole_characters(start, start + pair.as_str().trim_ascii_end().len())
    }

    /// A span that begins at a character. `≤` is laid out as `<= `, and ends with its blank.
    fn whole_characters(&self, start: usize, end: usize) -> Span {
        let end =
            (end..self.text.len()).find(|&end| self.text.is_char_boundary(end)).unwrap_or(self.text.len());
        Span::new(self.source, start, end)
    }

    fn name(&self, pair: &Pair<Rule>) -> Name {
        Name { text: pair.as_str().to_owned(), span: self.span(pair) }
    }

    /// A name, or what stands where one is missing.
    fn name_or_missing(&mut self, pair: Option<Pair<Rule>>) -> Option<Name> {
        let pair = pair?;
        if pair.as_rule() == Rule::name {
            return Some(self.name(&pair));
        }
        self.missing(&pair, "a name");
        None
    }
}

fn poisoned(pair: &Pair<Rule>) -> bool {
    pair.as_str().as_bytes().contains(&POISON)
}

#[cfg(test)]
mod tests;
