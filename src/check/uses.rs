//! `use "common.tamis"`: params, lets and data of another file.

use super::Checker;
use crate::diagnostic::{Diagnostic, codes};
use crate::source::{Source, SourceId};
use crate::syntax::{self, ast};

impl Checker<'_> {
    /// Defines what a used file defines. `path_of_uses` holds the files that led here, to see circles.
    pub(super) fn use_file(&mut self, path: &ast::Text, from: SourceId, path_of_uses: &mut Vec<String>) {
        let Some(wanted) = self.text(path) else { return };
        let from_name = self.sources.get(from).name().to_string();
        let (name, text) = match self.world.text(&wanted, &from_name) {
            Ok(found) => found,
            Err(why) => {
                let message = format!("`{wanted}` cannot be read: {why}");
                self.report(Diagnostic::at(&codes::USE_MISSING, path.span, message));
                return;
            }
        };
        if path_of_uses.contains(&name) {
            let circle =
                path_of_uses.iter().chain([&name]).map(|name| format!("`{name}`")).collect::<Vec<_>>();
            let message = format!("files use each other in a circle: {}", circle.join(" uses "));
            self.report(Diagnostic::at(&codes::USE_CYCLE, path.span, message));
            return;
        }
        let source = self.sources.add(Source::new(name.as_str(), text.as_str()));
        let recipe = syntax::parse(source, &text, &mut self.diagnostics);
        path_of_uses.push(name);
        for statement in &recipe.statements {
            self.used_statement(statement, source, path_of_uses);
        }
        path_of_uses.pop();
        self.scope.use_all();
    }

    fn used_statement(
        &mut self,
        statement: &ast::Statement,
        source: SourceId,
        path_of_uses: &mut Vec<String>,
    ) {
        match &statement.kind {
            ast::StatementKind::Use { path } => self.use_file(path, source, path_of_uses),
            ast::StatementKind::Param { name, ty, default } => self.param(name, ty, default.as_ref()),
            ast::StatementKind::Let { name, value } => self.let_(name, value),
            ast::StatementKind::Data { name, reader } => self.data(name, reader),
            ast::StatementKind::Header { .. } | ast::StatementKind::Broken => {}
            _ => {
                let message = "a used file gives params, lets and data only";
                self.report(Diagnostic::at(&codes::USE_CONTENT, statement.span, message));
            }
        }
    }
}
