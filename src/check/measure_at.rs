//! `measure at { tokens: 128, batch: 8, times: "times.json" }`: what costs are stated for.

use super::{Checker, MeasuredAt};
use crate::diagnostic::{Diagnostic, codes};
use crate::graph::{Graph, Times};
use crate::pass::{Count, Value};
use crate::source::{SourceId, Span};
use crate::syntax::ast;

/// Tokens of a text that costs are stated for where the recipe does not say.
pub const DEFAULT_TOKENS: usize = 128;

/// What can be said.
const FIELDS: [&str; 3] = ["tokens", "batch", "times"];

impl Checker<'_> {
    /// Holds for the whole recipe, wherever it stands.
    pub(super) fn find_measure_at(&mut self, recipe: &ast::Recipe, source: SourceId) {
        self.at = Some(MeasuredAt { tokens: DEFAULT_TOKENS, batch: 1 });
        let mut first: Option<Span> = None;
        for statement in &recipe.statements {
            let ast::StatementKind::MeasureAt { at: record } = &statement.kind else { continue };
            if let Some(first) = first {
                let message = "a second `measure at`: it holds for the whole recipe";
                let diagnostic = Diagnostic::at(&codes::MISPLACED_STATEMENT, statement.span, message);
                self.report(diagnostic.label(first, "the first"));
                continue;
            }
            first = Some(statement.span);
            for field in &record.fields {
                let Some(value) = self.evaluate(&field.value) else { continue };
                self.measure_at(&field.name, &value, source);
            }
        }
    }

    fn measure_at(&mut self, name: &ast::Name, value: &Value, source: SourceId) -> Option<()> {
        match name.text.as_str() {
            "tokens" => {
                self.at.as_mut()?.tokens = self.read::<Count>(value)?.0;
                self.tokens = Some(value.span);
            }
            "batch" => self.at.as_mut()?.batch = self.read::<Count>(value)?.0 as u64,
            "times" => {
                let path = self.read::<String>(value)?;
                self.times = Some((self.read_times(&path, value.span, source), value.span));
            }
            other => {
                let message = format!("costs are not stated for `{other}`");
                let diagnostic = Diagnostic::at(&codes::UNKNOWN_OPTION, name.span, message);
                self.report(diagnostic.suggest(other, name.span, FIELDS));
            }
        }
        Some(())
    }

    /// The table lies beside the recipe, as a file that it uses does.
    fn read_times(&mut self, path: &str, span: Span, source: SourceId) -> Option<Times> {
        let from = self.sources.get(source).name().to_string();
        let read = self.world.text(path, &from).and_then(|(_, text)| Times::read(&text));
        let times = read.map_err(|why| {
            let message = format!("`{path}` cannot be read as a table of times: {why}");
            let help = "make one: `tamis time MODEL --out times.json`";
            self.report(Diagnostic::at(&codes::TIMES_UNREADABLE, span, message).help(help));
        });
        times.ok()
    }

    /// The input that costs are stated for, no longer than the model can read; `None` after a diagnostic.
    pub(super) fn at_most(&mut self, graph: &Graph) -> Option<MeasuredAt> {
        let mut at = self.at?;
        let most = graph.most_tokens().unwrap_or(usize::MAX);
        if at.tokens > most {
            if let Some(span) = self.tokens {
                let message =
                    format!("{} tokens are more than the {most} positions of this model", at.tokens);
                self.report(Diagnostic::at(&codes::OUT_OF_RANGE, span, message));
                return None;
            }
            at.tokens = most;
        }
        self.at = Some(at);
        Some(at)
    }

    /// Gives the model its times, where the recipe names a table. A table that is wrong is told of here and nowhere else.
    pub(super) fn time(&mut self, graph: &mut Graph, at: MeasuredAt) {
        let Some((times, span)) = self.times.take() else { return };
        let tokens = graph.text_tokens().map(|_| at.tokens);
        let Some(times) = times else { return graph.set_times(Times::new(tokens, at.batch, 1)) };
        let input = (times.tokens, times.batch);
        graph.set_times(times);
        if input != (tokens, at.batch) {
            let shown = |(tokens, batch): (Option<usize>, u64)| match tokens {
                Some(tokens) => format!("{tokens} tokens, batch {batch}"),
                None => format!("pictures, batch {batch}"),
            };
            let (of_table, here) = (shown(input), shown((tokens, at.batch)));
            let message = format!("the table is of {of_table}, and costs are stated for {here}");
            let help = "measure again for this input, or state costs for the table's";
            self.report(Diagnostic::at(&codes::TIMES_MISFIT, span, message).help(help));
        } else if let Some(place) = graph.untimed() {
            let message = format!("the table has no time of `{place}`: it was measured on another model");
            self.report(Diagnostic::at(&codes::TIMES_MISFIT, span, message));
        }
    }
}
