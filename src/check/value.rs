//! Values: expressions evaluated in scope, params and their types, texts of `--set`.

use super::Checker;
use super::names::Defined;
use crate::diagnostic::{Diagnostic, Diagnostics, codes};
use crate::pass::{Value, ValueKind, evaluate, shown};
use crate::source::{Source, Span};
use crate::syntax::{self, ast};

/// The types that a `param` can declare, each with what it takes.
pub const PARAM_TYPES: &[(&str, &str)] = &[
    ("ratio", "a share such as `60%`"),
    ("count", "a whole number from 1"),
    ("int", "a whole number"),
    ("float", "a number"),
    ("text", "a text in quotes"),
    ("bool", "`true` or `false`"),
    ("pattern", "kept of so many, such as `2:4`"),
    ("amount", "a number or share with its unit, such as `2.5G macs`"),
];

/// One `--set name=value`.
#[derive(Debug, Clone)]
pub struct Setting {
    name: String,
    name_span: Span,
    value: ast::Expr,
}

impl Checker<'_> {
    pub(super) fn evaluate(&mut self, expr: &ast::Expr) -> Option<Value> {
        let mut found = Diagnostics::new();
        let value = evaluate(expr, &self.scope, &mut found);
        self.adopt(found);
        value
    }

    /// Takes over diagnostics about values, and names what unknown names are near to.
    pub(super) fn adopt(&mut self, found: Diagnostics) {
        for diagnostic in found {
            let written = diagnostic.place.as_ref().map(|place| self.sources.text(place.span).to_string());
            let diagnostic = self.scope.suggest(diagnostic, &written.unwrap_or_default());
            self.report(diagnostic);
        }
    }

    /// What was bound, if it was; diagnostics are taken over.
    pub(super) fn adopted<T>(&mut self, bound: Result<T, Diagnostics>) -> Option<T> {
        bound.map_err(|found| self.adopt(found)).ok()
    }

    /// A text with its names filled in.
    pub(super) fn text(&mut self, text: &ast::Text) -> Option<String> {
        let expr = ast::Expr { kind: ast::ExprKind::Text(text.clone()), span: text.span };
        match self.evaluate(&expr)?.kind {
            ValueKind::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A whole number where the syntax asks for one, as in an index.
    pub(super) fn whole_number(&mut self, expr: &ast::Expr) -> Result<i64, Diagnostic> {
        let mut found = Diagnostics::new();
        let value = evaluate(expr, &self.scope, &mut found);
        if let Some(first) = found.into_iter().next() {
            return Err(first);
        }
        match value.map(|value| value.kind) {
            Some(ValueKind::Number { value, integer: true }) => Ok(value as i64),
            Some(ValueKind::Word(name)) => {
                let unknown =
                    Diagnostic::at(&codes::UNKNOWN_NAME, expr.span, format!("`{name}` is not defined"));
                Err(self.scope.suggest(unknown, &name))
            }
            Some(other) => {
                let message = format!("expected a whole number, found {}", other.what());
                Err(Diagnostic::at(&codes::WRONG_TYPE, expr.span, message))
            }
            None => Err(Diagnostic::at(&codes::WRONG_TYPE, expr.span, "expected a whole number")),
        }
    }

    /// `param NAME: TYPE = DEFAULT`, or what `--set` says.
    pub(super) fn param(&mut self, name: &ast::Name, ty: &ast::Name, default: Option<&ast::Expr>) {
        match self.param_value(name, ty, default) {
            Some(kind) => {
                self.params.push((name.text.clone(), literal(&kind)));
                self.scope.define(name, kind, Defined::Param, &mut self.diagnostics);
            }
            None => self.scope.refuse(&name.text),
        }
    }

    /// The value of a param; `None` after a diagnostic.
    fn param_value(
        &mut self,
        name: &ast::Name,
        ty: &ast::Name,
        default: Option<&ast::Expr>,
    ) -> Option<ValueKind> {
        if !PARAM_TYPES.iter().any(|(known, _)| *known == ty.text) {
            let message = format!("there is no type `{}`", ty.text);
            let types = PARAM_TYPES.iter().map(|(name, _)| *name);
            let diagnostic = Diagnostic::at(&codes::UNKNOWN_TYPE, ty.span, message);
            self.report(diagnostic.suggest(&ty.text, ty.span, types));
            return None;
        }
        let set = self.set.iter_mut().find(|(setting, _)| setting.name == name.text);
        let written = match set {
            Some((setting, taken)) => {
                *taken = true;
                Some(setting.value.clone())
            }
            None => default.cloned(),
        };
        let Some(expr) = written else {
            let message = format!("param `{}` has no value", name.text);
            let help = format!("give it a default, or `--set {}=…`", name.text);
            self.report(Diagnostic::at(&codes::PARAM_UNSET, name.span, message).help(help));
            return None;
        };
        let value = self.evaluate(&expr)?;
        self.of_type(value, ty)
    }

    /// The value, if it is of the declared type.
    fn of_type(&mut self, value: Value, ty: &ast::Name) -> Option<ValueKind> {
        let number = |from: f64| match value.kind {
            ValueKind::Number { value, integer: true } => value >= from,
            _ => false,
        };
        let fits = match ty.text.as_str() {
            "ratio" => matches!(value.kind, ValueKind::Ratio(_)),
            "count" => number(1.0),
            "int" => number(f64::NEG_INFINITY),
            "float" => matches!(value.kind, ValueKind::Number { .. }),
            "text" => matches!(value.kind, ValueKind::Text(_)),
            "bool" => matches!(value.kind, ValueKind::Bool(_)),
            "pattern" => matches!(value.kind, ValueKind::Pattern { .. }),
            _ => matches!(value.kind, ValueKind::Amount { .. }),
        };
        if fits {
            return Some(value.kind);
        }
        if let ValueKind::Word(name) = &value.kind {
            let unknown =
                Diagnostic::at(&codes::UNKNOWN_NAME, value.span, format!("`{name}` is not defined"));
            let unknown = self.scope.suggest(unknown, name);
            self.report(unknown);
            return None;
        }
        let takes = PARAM_TYPES.iter().find(|(name, _)| *name == ty.text).map_or("", |(_, takes)| takes);
        let message = format!("expected {takes}, found {}", value.kind.what());
        let diagnostic = Diagnostic::at(&codes::WRONG_TYPE, value.span, message);
        let diagnostic = diagnostic.label(ty.span, format!("declared as `{}`", ty.text));
        let diagnostic = match (&value.kind, ty.text.as_str()) {
            (ValueKind::Number { value: number, .. }, "ratio") => {
                let percent = if *number <= 1.0 { number * 100.0 } else { *number };
                let meant = format!("{percent}%");
                diagnostic.help(format!("did you mean `{meant}`?")).fix(value.span, meant)
            }
            _ => diagnostic,
        };
        self.report(diagnostic);
        None
    }

    /// Reads the texts of `--set`; carets point into them.
    pub(super) fn read_settings(&mut self) {
        for text in &self.settings.set {
            let source = self.sources.add(Source::new("--set", text.as_str()));
            let Some((name, value)) = text.split_once('=') else {
                let span = Span::new(source, 0, text.len());
                let help = "write `--set name=value`, such as `--set budget=50%`";
                let message = format!("`{text}` is not of the form `name=value`");
                self.diagnostics.push(Diagnostic::at(&codes::BAD_SETTING, span, message).help(help));
                continue;
            };
            // Blanks in place of the name keep the places of the value right.
            let padded = format!("{}{value}", " ".repeat(name.len() + 1));
            let parsed = syntax::parse_expr(source, &padded, &mut self.diagnostics);
            if let Some(value) = parsed {
                let name_span = Span::new(source, 0, name.len());
                let setting = Setting { name: name.trim().into(), name_span, value };
                self.set.push((setting, false));
            }
        }
    }

    /// Reports texts of `--set` that no param took.
    pub(super) fn refuse_untaken_settings(&mut self, params: &[String]) {
        for (setting, taken) in std::mem::take(&mut self.set) {
            if !taken {
                let message = format!("the recipe has no param `{}`", setting.name);
                let diagnostic = Diagnostic::at(&codes::BAD_SETTING, setting.name_span, message);
                let names = params.iter().map(String::as_str);
                self.report(diagnostic.suggest(&setting.name, setting.name_span, names));
            }
        }
    }
}

/// A param's value as a recipe or `--set` would write it.
fn literal(value: &ValueKind) -> String {
    match value {
        ValueKind::Ratio(_) => format!("{}%", shown(value).unwrap_or_default()),
        ValueKind::Pattern { n, m } => format!("{n}:{m}"),
        ValueKind::Amount { value, unit } => format!("{} {unit}", literal(&value.kind)),
        ValueKind::Text(text) => {
            let escape = |letter| match letter {
                '\n' => "\\n".to_string(),
                '\\' | '"' | '{' => format!("\\{letter}"),
                letter => letter.to_string(),
            };
            format!("\"{}\"", text.chars().map(escape).collect::<String>())
        }
        other => shown(other).unwrap_or_default(),
    }
}
