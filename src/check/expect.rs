//! `measure` and `expect`: numbers of the model, and bounds on them.

use super::step::not_shown;
use super::{Checker, ExpectBound, State, TypedExpect, TypedMeasure};
use crate::diagnostic::{Diagnostic, codes};
use crate::pass::{MeasureSpec, Unit, Value, ValueKind, bind_call};
use crate::source::Span;
use crate::syntax::ast::{self, Comparison};

impl Checker<'_> {
    pub(super) fn measured(&mut self, measured: &ast::Measured, state: &State) -> Option<TypedMeasure> {
        let value = self.evaluate(&measured.measure)?;
        let (name, name_span, args) = match &value.kind {
            ValueKind::Word(name) => (name, value.span, &[][..]),
            ValueKind::Call { name, name_span, args } => (name, *name_span, args.as_slice()),
            other => {
                let message = format!("expected a measure, found {}", other.what());
                self.report(Diagnostic::at(&codes::WRONG_TYPE, value.span, message));
                return None;
            }
        };
        let Some(spec) = self.registry.measure(name) else {
            let message = format!("there is no measure `{name}`");
            let names = self.registry.measures.iter().map(|spec| spec.name);
            let diagnostic = Diagnostic::at(&codes::UNKNOWN_MEASURE, name_span, message);
            self.report(diagnostic.suggest(name, name_span, names));
            return None;
        };
        let bound = bind_call((spec.name, name_span), args, spec.arguments, self.registry, spec.bind);
        let measure = self.adopted(bound)?;
        if let (Some(selector), false) = (&measured.of, measure.takes_sites()) {
            let message = format!("`{}` is of the whole model", spec.name);
            self.report(
                Diagnostic::at(&codes::UNEXPECTED_CLAUSE, selector.span, message).help("leave `of` out"),
            );
            return None;
        }
        if let (Some(data), Some(model)) = (measure.data().first(), not_shown(&state.graph)) {
            let message = format!("`{}` is not taken of {model}", spec.name);
            let error = Diagnostic::at(&codes::CANNOT_RUN, name_span, message);
            self.report(error.help(format!("`{}` is shown to no such model", data.name)));
            return None;
        }
        let sites = match &measured.of {
            Some(selector) => Some(self.measured_sites(selector, state)?),
            None => None,
        };
        let text = self.sources.text(measured.span).split_whitespace().collect::<Vec<_>>().join(" ");
        let measure = measure.into();
        Some(TypedMeasure { text, span: measured.span, spec, measure, sites })
    }

    fn measured_sites(&mut self, selector: &ast::Selector, state: &State) -> Option<Vec<String>> {
        let graph = &state.graph;
        let sites = self.select(graph, selector)?.matrices(graph);
        if sites.is_empty() {
            let message = "no weights to measure here";
            self.report(Diagnostic::at(&codes::SELECTS_NOTHING, selector.span, message));
            return None;
        }
        Some(sites.into_iter().map(|site| graph.tree.path(graph.sites[site].node)).collect())
    }

    pub(super) fn expect(
        &mut self,
        measured: &ast::Measured,
        op: Comparison,
        bound: &ast::Expr,
        of: Option<&ast::Name>,
        span: Span,
        state: &State,
    ) -> Option<TypedExpect> {
        let measured = self.measured(measured, state);
        let value = self.evaluate(bound);
        let of_input = self.of_input(of)?;
        let (measured, value) = (measured?, value?);
        let bound = self.bound(measured.spec, &value, of_input)?;
        self.refuse_contradiction(&measured, op, bound, span, state);
        let text = self.sources.text(span).split_whitespace().collect::<Vec<_>>().join(" ");
        let text = text.strip_prefix("expect ").unwrap_or(&text).to_string();
        Some(TypedExpect { text, measured, op, bound, span })
    }

    /// Whether the bound is relative to the input model; `None` after a diagnostic.
    fn of_input(&mut self, of: Option<&ast::Name>) -> Option<bool> {
        let Some(name) = of else { return Some(false) };
        let model = self.model.as_ref()?.name.clone();
        if name.text == model {
            return Some(true);
        }
        let message = format!("`{}` is no model of this recipe", name.text);
        let diagnostic = Diagnostic::at(&codes::UNKNOWN_NAME, name.span, message);
        self.report(diagnostic.suggest(&name.text, name.span, [model.as_str()]));
        None
    }

    fn bound(&mut self, spec: &MeasureSpec, value: &Value, of_input: bool) -> Option<ExpectBound> {
        let wrong = match (&value.kind, of_input) {
            (ValueKind::Ratio(share), true) => return Some(ExpectBound::OfInput(*share)),
            (ValueKind::Ratio(share), false) if spec.unit == Unit::Share => {
                return Some(ExpectBound::Absolute(*share));
            }
            (ValueKind::Number { value, .. }, false) if spec.unit != Unit::Share => {
                return Some(ExpectBound::Absolute(*value));
            }
            (ValueKind::Word(name), _) => {
                let unknown =
                    Diagnostic::at(&codes::UNKNOWN_NAME, value.span, format!("`{name}` is not defined"));
                self.scope.suggest(unknown, name)
            }
            (ValueKind::Ratio(_), false) => {
                let message = format!("`{}` is no share: a percentage needs `of input`", spec.name);
                let model = self.model.as_ref().map_or("input", |model| model.name.as_str());
                let diagnostic = Diagnostic::at(&codes::WRONG_UNIT, value.span, message);
                diagnostic
                    .help(format!("write `of {model}` behind it"))
                    .fix(value.span.after(), format!(" of {model}"))
            }
            (other, true) => {
                let message = format!("a bound `of input` is a share, found {}", other.what());
                Diagnostic::at(&codes::WRONG_UNIT, value.span, message)
            }
            (other, false) => {
                let takes = if spec.unit == Unit::Share { "a share in percent" } else { "a number" };
                let message = format!("`{}` is compared with {takes}, found {}", spec.name, other.what());
                let diagnostic = Diagnostic::at(&codes::WRONG_UNIT, value.span, message);
                match other {
                    ValueKind::Number { value: number, .. } => {
                        let percent = if *number <= 1.0 { number * 100.0 } else { *number };
                        diagnostic.help(format!("write `{percent}%`")).fix(value.span, format!("{percent}%"))
                    }
                    _ => diagnostic,
                }
            }
        };
        self.report(wrong);
        None
    }

    /// An expectation that shapes alone decide is decided here, not after the work.
    fn refuse_contradiction(
        &mut self,
        measured: &TypedMeasure,
        op: Comparison,
        bound: ExpectBound,
        span: Span,
        state: &State,
    ) {
        if measured.sites.is_some() {
            return;
        }
        let Some(input) = self.model.as_ref().map(|model| model.cost) else { return };
        let Some(now) = measured.measure.of_cost(&state.cost) else { return };
        let bound = match bound {
            ExpectBound::Absolute(bound) => bound,
            ExpectBound::OfInput(share) => {
                let Some(whole) = measured.measure.of_cost(&input) else { return };
                whole.max as f64 * share
            }
        };
        let (best_low, best_high) = (now.min as f64, now.max as f64);
        let possible = match op {
            Comparison::LessOrEqual => best_low <= bound,
            Comparison::Less => best_low < bound,
            Comparison::GreaterOrEqual => best_high >= bound,
            Comparison::Greater => best_high > bound,
            Comparison::Equal => best_low <= bound && bound <= best_high,
        };
        if !possible {
            let shown = match now.known() {
                Some(value) => format!("{value}"),
                None => format!("{} to {}", now.min, now.max),
            };
            let message = format!("this cannot hold: {} is {shown} here", measured.text);
            let diagnostic = Diagnostic::at(&codes::CANNOT_HOLD, span, message);
            self.report(diagnostic.says(format!("asks for {}", bound.floor())));
        }
    }
}
