//! Statements in order: definitions into the scope, steps onto the state.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::names::Defined;
use super::{Branch, Checker, Item, OpenedModel, Seen, State, Typed, TypedModel};
use crate::diagnostic::{Diagnostic, Fix, codes};
use crate::pass::{Argument, Data, NamedModel, OtherModel, Value, ValueKind, bind_call, shown};
use crate::source::{SourceId, Span};
use crate::syntax::{self, ast};

impl Checker<'_> {
    pub(super) fn recipe(&mut self, source: SourceId) -> (ast::Recipe, Option<Typed>) {
        let text = self.sources.get(source).text().to_string();
        let recipe = syntax::parse(source, &text, &mut self.diagnostics);
        let places = self.diagnostics.iter().filter_map(|found| found.place.as_ref());
        self.misread = places.map(|place| place.span).collect();
        self.read_settings();
        let mut state = None;
        let mut body = Vec::new();
        let (title, header) = self.header(&recipe);
        self.find_measure_at(&recipe, source);
        for statement in &recipe.statements {
            if self.world.is_stale() {
                break;
            }
            self.statement(statement, source, &mut state, &mut body);
        }
        self.close(&recipe, &mut body);
        let params = std::mem::take(&mut self.params);
        let typed = |(model, at)| Typed { title, header, model, at, params, body };
        let typed = self.model.clone().zip(self.at).map(typed);
        (recipe, typed)
    }

    /// What can be said only once the whole recipe was read.
    fn close(&mut self, recipe: &ast::Recipe, body: &mut [Item]) {
        let is_param = |statement: &ast::Statement| match &statement.kind {
            ast::StatementKind::Param { name, .. } => Some(name.text.clone()),
            _ => None,
        };
        let params: Vec<String> = recipe.statements.iter().filter_map(is_param).collect();
        self.refuse_untaken_settings(&params);
        self.move_saves(body);
        // Without a model no step was read, and nothing in them used a name.
        if self.model.is_none() {
            self.scope.use_all();
        }
        self.scope.leave(0, &mut self.diagnostics);
        self.offer_removal(recipe);
        let end = Span::new(recipe.span.source, recipe.span.end, recipe.span.end);
        let has_model =
            |statement: &ast::Statement| matches!(statement.kind, ast::StatementKind::Model { .. });
        if !recipe.statements.iter().any(has_model) {
            let message = "the recipe names no model";
            let help = "begin with `model input = \"DIR\"`, or with `model input` and `--model DIR`";
            self.report(Diagnostic::at(&codes::MODEL_STATEMENT, end, message).help(help));
        } else if self.model.is_some() && !saves(&recipe.statements) && !body.is_empty() {
            let message = "nothing is saved";
            let out = match self.sources.text(recipe.span).ends_with('\n') {
                true => "save \"out\"\n",
                false => "\nsave \"out\"\n",
            };
            let diagnostic = Diagnostic::at(&codes::MISSING_SAVE, end, message);
            self.report(diagnostic.help("end with `save \"DIR\"`").fix(end, out));
        }
    }

    /// A statement whose name nobody uses can go, with its line.
    fn offer_removal(&mut self, recipe: &ast::Recipe) {
        let unused = self.diagnostics.iter_mut().filter(|told| std::ptr::eq(told.code, &codes::UNUSED));
        for told in unused.filter(|told| told.fix.is_none()) {
            let Some(name) = told.place.as_ref().map(|place| place.span) else { continue };
            let defines = |it: &&ast::Statement| it.span.start <= name.start && name.end <= it.span.end;
            let Some(statement) = recipe.statements.iter().find(defines) else { continue };
            let mut span = statement.span;
            let behind = &self.sources.get(span.source).text()[span.end..];
            span.end += behind.len() - behind.trim_start_matches([' ', '\t']).len();
            span.end += usize::from(behind.trim_start_matches([' ', '\t']).starts_with('\n'));
            told.fix = Some(Fix { span, replacement: String::new() });
        }
    }

    fn header(&mut self, recipe: &ast::Recipe) -> (Option<String>, Vec<(String, String)>) {
        let mut headers = recipe.statements.iter().filter_map(|statement| match &statement.kind {
            ast::StatementKind::Header { name, fields } => Some((statement.span, name, fields)),
            _ => None,
        });
        let Some((first, name, fields)) = headers.next() else { return (None, Vec::new()) };
        for (span, ..) in headers {
            let diagnostic = Diagnostic::at(&codes::MISPLACED_STATEMENT, span, "a second header");
            self.report(diagnostic.label(first, "the first"));
        }
        let title = name.literal().unwrap_or_default().to_string();
        let fields = fields.iter().flat_map(|record| &record.fields).filter_map(|field| {
            let value = self.evaluate(&field.value)?;
            Some((field.name.text.clone(), shown(&value.kind)?))
        });
        (Some(title), fields.collect())
    }

    /// A value as a type; `None` after a diagnostic.
    pub(super) fn read<T: Argument>(&mut self, value: &Value) -> Option<T> {
        T::read(value, self.registry).map_err(|wrong| self.report(wrong.0)).ok()
    }

    fn statement(
        &mut self,
        statement: &ast::Statement,
        source: SourceId,
        state: &mut Option<State>,
        body: &mut Vec<Item>,
    ) {
        let Span { start, end, .. } = statement.span;
        let rest = &self.sources.get(source).text()[end..];
        self.statement = start..end + rest.find('\n').unwrap_or(rest.len());
        match &statement.kind {
            ast::StatementKind::Header { .. }
            | ast::StatementKind::MeasureAt { .. }
            | ast::StatementKind::Broken => {}
            ast::StatementKind::Use { path } => {
                let name = self.sources.get(source).name().to_string();
                self.use_file(path, source, &mut vec![name]);
            }
            ast::StatementKind::Param { name, ty, default } => self.param(name, ty, default.as_ref()),
            ast::StatementKind::Let { name, value } => self.let_(name, value),
            ast::StatementKind::Data { name, reader } => self.data(name, reader),
            ast::StatementKind::Model { name, path } => {
                if let Some(opened) = self.model(statement.span, name, path.as_ref()) {
                    *state = Some(opened);
                }
            }
            ast::StatementKind::Sweep { name, values, body: inner } => {
                let branches = self.sweep(name, values, inner, source, state);
                body.extend(branches.map(Item::Sweep));
            }
            acting => {
                // Without a model there is a diagnostic already, or one at the end.
                if let Some(state) = state {
                    self.act(acting, statement.span, state, body);
                }
            }
        }
    }

    fn act(&mut self, kind: &ast::StatementKind, span: Span, state: &mut State, body: &mut Vec<Item>) {
        let before = Arc::clone(&state.graph);
        let cost_before = state.cost;
        let mut after = None;
        match kind {
            ast::StatementKind::Step(step) => {
                let typed = self.step(step, state);
                after = typed.as_ref().map(|_| (Arc::clone(&state.graph), state.cost));
                body.extend(typed.map(Item::Step));
            }
            ast::StatementKind::Measure { measures } => {
                for measured in measures {
                    body.extend(self.measured(measured, state).map(Item::Measure));
                }
            }
            ast::StatementKind::Expect { measure, op, bound, of } => {
                let expect = self.expect(measure, *op, bound, of.as_ref(), span, state);
                body.extend(expect.map(Item::Expect));
            }
            ast::StatementKind::Save { path, options } => {
                body.extend(self.save(path, options.as_ref(), span, state).map(Item::Save));
            }
            _ => unreachable!("definitions were dealt with"),
        }
        self.seen.push(Seen { span, before, cost_before, after });
    }

    pub(super) fn let_(&mut self, name: &ast::Name, value: &ast::Expr) {
        match self.evaluate(value) {
            Some(value) => {
                self.scope.define(name, value.kind, Defined::Let, &mut self.diagnostics);
            }
            None => self.scope.refuse(&name.text),
        }
    }

    pub(super) fn data(&mut self, name: &ast::Name, reader: &ast::Expr) {
        let data = self.reader(name, reader).unwrap_or_else(|| Data::refused(&name.text, reader.span));
        self.scope.define(name, ValueKind::Data(data), Defined::Data, &mut self.diagnostics);
    }

    /// The data set that a statement means, if its files are as it says.
    fn reader(&mut self, name: &ast::Name, reader: &ast::Expr) -> Option<Data> {
        let value = self.evaluate(reader)?;
        let ValueKind::Call { name: reader, name_span, args } = &value.kind else {
            let message = format!("expected a reader such as `text(\"FILE\")`, found {}", value.kind.what());
            self.report(Diagnostic::at(&codes::WRONG_TYPE, value.span, message));
            return None;
        };
        let Some(spec) = self.registry.reader(reader) else {
            let message = format!("there is no data reader `{reader}`");
            let names = self.registry.readers.iter().map(|spec| spec.name);
            let diagnostic = Diagnostic::at(&codes::UNKNOWN_READER, *name_span, message);
            self.report(diagnostic.suggest(reader, *name_span, names));
            return None;
        };
        let bound = bind_call((spec.name, *name_span), args, spec.arguments, self.registry, spec.bind);
        let data = Data { name: name.text.clone(), span: value.span, reader: self.adopted(bound)?.into() };
        if let Err(error) = self.world.data(&*data.reader) {
            self.report(error.or_at(data.span));
        }
        Some(data)
    }

    pub(super) fn model(&mut self, span: Span, name: &ast::Name, path: Option<&ast::Expr>) -> Option<State> {
        if self.model.is_some() {
            self.other_model(span, name, path);
            return None;
        }
        let named = NamedModel { name: name.text.clone(), other: None };
        self.scope.define(name, ValueKind::Model(named), Defined::Model, &mut self.diagnostics);
        let written = match path {
            Some(path) => {
                let value = self.evaluate(path)?;
                Some(self.read::<String>(&value)?)
            }
            None => None,
        };
        let Some(path) = self.settings.model.clone().or(written.map(Into::into)) else {
            let message = format!("model `{}` has no path", name.text);
            let help = "name a directory here, or give one with `--model DIR`";
            self.report(Diagnostic::at(&codes::MODEL_UNSET, name.span, message).help(help));
            return None;
        };
        // A model that the command line names is not the recipe's mistake.
        let place = self.settings.model.is_none().then_some(span);
        match self.open(&path, place) {
            None => None,
            Some(opened) => {
                self.key_spans = opened.key_spans;
                let at = self.at_most(&opened.graph)?;
                let mut graph = (*opened.graph).clone();
                graph.set_tokens(at.tokens);
                self.time(&mut graph, at);
                let graph = Arc::new(graph);
                let cost = graph.cost(at.batch);
                let name = name.text.clone();
                self.model = Some(TypedModel { name, path, graph: Arc::clone(&graph), cost });
                Some(State { graph, of_shapes: cost, cost, bounds: Vec::new() })
            }
        }
    }

    /// A further model, which steps can learn from.
    fn other_model(&mut self, span: Span, name: &ast::Name, path: Option<&ast::Expr>) -> Option<()> {
        let Some(path) = path else {
            let message = "a recipe compresses one model: a further one, to learn from, has a path";
            let error = Diagnostic::at(&codes::MODEL_STATEMENT, span, message);
            self.report(error.help(format!("write `model {} = \"DIR\"`", name.text)));
            return None;
        };
        let value = self.evaluate(path)?;
        let path: PathBuf = self.read::<String>(&value)?.into();
        let opened = self.open(&path, Some(span));
        let other = opened.map(|opened| {
            let mut graph = (*opened.graph).clone();
            graph.set_tokens(self.at.map_or(0, |at| at.tokens));
            Arc::new(OtherModel { path, graph, span })
        });
        match other {
            Some(other) => {
                let named = NamedModel { name: name.text.clone(), other: Some(other) };
                self.scope.define(name, ValueKind::Model(named), Defined::Model, &mut self.diagnostics);
            }
            None => self.scope.refuse(&name.text),
        }
        Some(())
    }

    /// Opens a model; what is wrong with one that the recipe names is shown there.
    fn open(&mut self, path: &Path, place: Option<Span>) -> Option<OpenedModel> {
        match self.world.model(path, self.sources) {
            Ok(opened) => Some(opened),
            Err(found) => {
                for diagnostic in found {
                    let pointed = match (&diagnostic.place, place) {
                        (None, Some(span)) => Diagnostic {
                            place: Some(crate::diagnostic::Label { span, text: String::new() }),
                            ..diagnostic
                        },
                        _ => diagnostic,
                    };
                    self.report(pointed);
                }
                None
            }
        }
    }

    fn sweep(
        &mut self,
        name: &ast::Name,
        values: &ast::Expr,
        inner: &[ast::Statement],
        source: SourceId,
        state: &Option<State>,
    ) -> Option<Vec<Branch>> {
        let values = self.evaluate(values)?;
        let ValueKind::List(values) = values.kind else {
            let message = format!("a sweep runs over a list, found {}", values.kind.what());
            self.report(Diagnostic::at(&codes::WRONG_TYPE, values.span, message).help("write `[30%, 50%]`"));
            return None;
        };
        if values.is_empty() {
            let message = "this sweep has no values, and does nothing";
            self.report(Diagnostic::at(&codes::NO_EFFECT, name.span, message));
        }
        let mut branches = Vec::new();
        for (number, value) in values.into_iter().enumerate() {
            let text = self.sources.text(value.span).to_string();
            let mark = self.scope.mark();
            let changes = self.changes.len();
            let reported = self.diagnostics.len();
            if !self.scope.define(name, value.kind, Defined::Sweep, &mut self.diagnostics) {
                return None;
            }
            let mut branch = Branch { label: format!("{} = {text}", name.text), body: Vec::new() };
            let mut state = state.clone();
            for statement in inner {
                self.swept_statement(statement, source, &mut state, &mut branch.body);
            }
            self.scope.leave(mark, &mut self.diagnostics);
            self.changes.truncate(changes);
            if number > 0 {
                self.drop_repeated(reported);
            }
            branches.push(branch);
        }
        Some(branches)
    }

    fn swept_statement(
        &mut self,
        statement: &ast::Statement,
        source: SourceId,
        state: &mut Option<State>,
        body: &mut Vec<Item>,
    ) {
        use ast::StatementKind::{Header, MeasureAt, Model, Param, Use};
        if matches!(
            &statement.kind,
            Header { .. } | MeasureAt { .. } | Model { .. } | Param { .. } | Use { .. }
        ) {
            let message = "this cannot stand in a sweep";
            self.report(Diagnostic::at(&codes::MISPLACED_STATEMENT, statement.span, message));
            return;
        }
        self.statement(statement, source, state, body);
    }

    /// A mistake in a sweep's body is the same mistake for every value: it is said once.
    fn drop_repeated(&mut self, from: usize) {
        let all: Vec<Diagnostic> = std::mem::take(&mut self.diagnostics).into_iter().collect();
        let (before, after) = all.split_at(from);
        let new = after.iter().filter(|diagnostic| {
            !before.iter().any(|other| other.code == diagnostic.code && other.place == diagnostic.place)
        });
        self.diagnostics.extend(before.iter().chain(new).cloned());
    }
}

fn saves(statements: &[ast::Statement]) -> bool {
    statements.iter().any(|statement| match &statement.kind {
        ast::StatementKind::Save { .. } => true,
        ast::StatementKind::Sweep { body, .. } => saves(body),
        _ => false,
    })
}
