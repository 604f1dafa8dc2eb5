//! Measures of a model as it stands, without a recipe around them.

use std::path::Path;

use super::{Checker, MeasuredAt, Settings, TypedMeasure, TypedModel, World};
use crate::diagnostic::{Diagnostic, Diagnostics, codes};
use crate::pass::Registry;
use crate::source::{SourceId, Sources};
use crate::syntax::{self, ast};

/// A model, and what to measure of it.
#[derive(Debug)]
pub struct Measuring {
    pub model: TypedModel,
    pub measures: Vec<TypedMeasure>,
}

/// Checks a text of `data` and `measure` statements against a model. Without errors there is a [`Measuring`].
pub fn measures(
    text: SourceId,
    model: &Path,
    at: MeasuredAt,
    world: &dyn World,
    registry: &Registry,
    sources: &mut Sources,
) -> (Option<Measuring>, Diagnostics) {
    let settings = Settings { model: Some(model.to_owned()), ..Settings::default() };
    let mut checker = Checker::new(&settings, world, registry, sources);
    checker.at = Some(at);
    let measuring = checker.measuring(text);
    let mut diagnostics = checker.diagnostics;
    diagnostics.sort();
    (measuring.filter(|_| !diagnostics.has_errors()), diagnostics)
}

impl Checker<'_> {
    fn measuring(&mut self, source: SourceId) -> Option<Measuring> {
        let text = self.sources.get(source).text().to_string();
        let recipe = syntax::parse(source, &text, &mut self.diagnostics);
        let name = ast::Name { text: "input".into(), span: recipe.span };
        let state = self.model(recipe.span, &name, None)?;
        let mut measures = Vec::new();
        for statement in &recipe.statements {
            match &statement.kind {
                ast::StatementKind::Measure { measures: asked } => {
                    measures.extend(asked.iter().filter_map(|measured| self.measured(measured, &state)));
                }
                ast::StatementKind::Data { name, reader } => self.data(name, reader),
                ast::StatementKind::Broken => {}
                _ => {
                    let message = "only data and measures can stand here";
                    self.report(Diagnostic::at(&codes::MISPLACED_STATEMENT, statement.span, message));
                }
            }
        }
        Some(Measuring { model: self.model.take()?, measures })
    }
}
