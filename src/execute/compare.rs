//! Numbers against what a recipe expects of them.

use crate::check::ExpectBound;
use crate::diagnostic::{Diagnostic, codes};
use crate::pass::Unit;
use crate::plan::Expecting;
use crate::provenance::Expectation;
use crate::syntax::ast::Comparison;

/// Whether a value is as it should be. `input` is what the input model measures, where the bound is a share of it.
pub fn compare(expecting: &Expecting, unit: Unit, value: f64, input: Option<f64>) -> Expectation {
    let bound = match expecting.bound {
        ExpectBound::Absolute(bound) => bound,
        ExpectBound::OfInput(share) => share * input.unwrap_or(f64::NAN),
    };
    let (op, held) = match expecting.op {
        Comparison::LessOrEqual => ("<=", value <= bound),
        Comparison::GreaterOrEqual => (">=", value >= bound),
        Comparison::Less => ("<", value < bound),
        Comparison::Greater => (">", value > bound),
        Comparison::Equal => ("==", value == bound),
    };
    Expectation { text: expecting.text.clone(), after_step: 0, unit, value, op: op.into(), bound, held }
}

/// What to say of an expectation that did not hold.
pub fn unmet(expecting: &Expecting, expectation: &Expectation) -> Diagnostic {
    let Expectation { unit, value, op, bound, .. } = expectation;
    let message = format!("`{}` does not hold: it is {}", expecting.text, unit.show(*value));
    Diagnostic::at(&codes::EXPECTATION_FAILED, expecting.span, message).says(format!(
        "{} {op} {} is asked for",
        unit.show(*value),
        unit.show(*bound)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::toys::span;

    #[test]
    fn a_bound_of_the_input_is_a_share_of_what_it_measures() {
        let expecting = |op, bound| Expecting { text: "x".into(), span: span(), op, bound };
        let held = |op, bound, value, input| compare(&expecting(op, bound), Unit::Count, value, input).held;
        assert!(held(Comparison::LessOrEqual, ExpectBound::OfInput(0.6), 60.0, Some(100.0)));
        assert!(!held(Comparison::Less, ExpectBound::OfInput(0.6), 60.0, Some(100.0)));
        assert!(held(Comparison::Equal, ExpectBound::Absolute(0.5), 0.5, None));
        assert!(!held(Comparison::GreaterOrEqual, ExpectBound::Absolute(0.5), f64::NAN, None));
    }
}
