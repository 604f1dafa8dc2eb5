//! Numbers and texts.

use pest::iterators::Pair;

use super::{Builder, Rule};
use crate::diagnostic::{Diagnostic, codes};
use crate::source::Span;
use crate::syntax::ast::{ExprKind, Text, TextPart};

impl Builder<'_> {
    pub(super) fn number(&mut self, pair: &Pair<Rule>) -> ExprKind {
        let span = self.span(pair);
        let text = pair.as_str();
        let Some(share) = text.strip_suffix('%') else { return self.finite(span, plain_number(text)) };
        let digits = share.trim_ascii_end();
        if digits.len() < share.len() {
            let mended = format!("{digits}%");
            self.mistakes += 1;
            self.diagnostics.push(
                Diagnostic::at(&codes::BAD_NUMBER, span, "a percent sign stands right behind its number")
                    .help(format!("write `{mended}`"))
                    .fix(span, mended),
            );
        }
        if digits.ends_with(['K', 'M', 'G', 'T']) {
            self.report(&codes::BAD_NUMBER, span, format!("`{text}` has a suffix and a percent sign"));
            return ExprKind::Broken;
        }
        self.finite(span, scaled(digits, -2).map(ExprKind::Percent))
    }

    fn finite(&mut self, span: Span, number: Option<ExprKind>) -> ExprKind {
        number.unwrap_or_else(|| {
            self.report(&codes::BAD_NUMBER, span, "this number is too large".to_owned());
            ExprKind::Broken
        })
    }

    /// Reports what begins like a number and goes on like none.
    pub(super) fn bad_number(&mut self, pair: &Pair<Rule>) -> ExprKind {
        let span = self.span(pair);
        let text = pair.as_str();
        self.mistakes += 1;
        if text.starts_with('.') && self.laid[..span.start].ends_with("..") {
            let third = Span::new(span.source, span.start, span.start + 1);
            let diagnostic =
                Diagnostic::at(&codes::BAD_RANGE, third, "a range has two points, and leaves its end out");
            self.diagnostics.push(diagnostic.help("`0..6` is the first six").fix(third, ""));
            return ExprKind::Broken;
        }
        let diagnostic = Diagnostic::at(&codes::BAD_NUMBER, span, format!("`{text}` is no number"));
        self.diagnostics.push(match mended_number(text) {
            Some(mended) => diagnostic.help(format!("write `{mended}`")).fix(span, mended),
            None => diagnostic,
        });
        ExprKind::Broken
    }

    pub(super) fn text(&mut self, pair: Pair<Rule>) -> Text {
        let span = self.span(&pair);
        let mut parts = Vec::new();
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::literal => push_literal(&mut parts, part.as_str()),
                Rule::escape => push_literal(&mut parts, self.escape(&part)),
                Rule::interpolation => {
                    parts.extend(part.into_inner().map(|name| TextPart::Interpolated(self.name(&name))));
                }
                _ => push_literal(&mut parts, self.open_brace(&part)),
            }
        }
        Text { parts, span }
    }

    fn escape<'p>(&mut self, pair: &Pair<'p, Rule>) -> &'p str {
        let written = pair.as_str();
        match &written[1..] {
            "n" => "\n",
            escaped @ ("\"" | "\\" | "{") => escaped,
            _ => {
                let span = self.span(pair);
                self.mistakes += 1;
                self.diagnostics.push(
                    Diagnostic::at(&codes::BAD_TEXT, span, format!("`{written}` stands for nothing"))
                        .help("there is `\\\"`, `\\\\`, `\\n` and `\\{`; a backslash of its own is `\\\\`"),
                );
                written
            }
        }
    }

    fn open_brace(&mut self, pair: &Pair<Rule>) -> &'static str {
        let span = self.span(pair);
        self.mistakes += 1;
        self.diagnostics.push(
            Diagnostic::at(&codes::BAD_TEXT, span, "this brace inserts no name")
                .help("`{name}` inserts a value, a name that `let` or `param` gave it; a brace of its own is written `\\{`"),
        );
        "{"
    }
}

fn push_literal(parts: &mut Vec<TextPart>, text: &str) {
    match parts.last_mut() {
        Some(TextPart::Literal(last)) => last.push_str(text),
        _ => parts.push(TextPart::Literal(text.to_owned())),
    }
}

/// The value of digits and an optional suffix.
fn plain_number(text: &str) -> Option<ExprKind> {
    let power = match text.as_bytes().last() {
        Some(b'K') => 3,
        Some(b'M') => 6,
        Some(b'G') => 9,
        Some(b'T') => 12,
        _ => 0,
    };
    let digits = text.trim_end_matches(['K', 'M', 'G', 'T']);
    let value = scaled(digits, power)?;
    let whole = !digits.contains(['.', 'e', 'E']) || (power > 0 && value.fract() == 0.0);
    Some(ExprKind::Number { value, integer: whole })
}

/// Digits times a power of ten, rounded once: `0.1M` is 100000 and `55%` the number nearest to 0.55.
fn scaled(digits: &str, power: i32) -> Option<f64> {
    let (mantissa, exponent) = digits.split_once(['e', 'E']).unwrap_or((digits, "0"));
    // An exponent beyond i32 is 0 or too large, and stays so when clamped.
    let exponent: i32 =
        exponent.parse().unwrap_or(if exponent.starts_with('-') { i32::MIN / 2 } else { i32::MAX / 2 });
    let value: f64 = format!("{mantissa}e{}", exponent.saturating_add(power)).parse().ok()?;
    value.is_finite().then_some(value)
}

/// What was meant: `0.5` by `.5`, `1000` by `1_000`, `2 GiB` by `2GiB`, `11M` by `11m`, `1G` by `1B`.
fn mended_number(text: &str) -> Option<String> {
    if text.starts_with('.') {
        return Some(format!("0{text}"));
    }
    if text.contains('_') && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_') {
        return Some(text.replace('_', ""));
    }
    let (digits, unit) = text.split_at(text.find(|c: char| c != '.' && !c.is_ascii_digit())?);
    let plain = digits.matches('.').count() <= 1 && unit.bytes().all(|byte| byte.is_ascii_alphabetic());
    match unit {
        _ if !plain => None,
        "k" | "m" | "g" | "t" => Some(format!("{digits}{}", unit.to_ascii_uppercase())),
        // A billion.
        "b" | "B" => Some(format!("{digits}G")),
        // Times are in seconds; of hexadecimal digits nobody knows what was meant.
        "ms" => Some(scaled(digits, -3)?.to_string()),
        _ if unit.len() < 3 || unit.starts_with(['x', 'X']) => None,
        _ => Some(format!("{digits} {unit}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> f64 {
        match plain_number(text) {
            Some(ExprKind::Number { value, .. }) => value,
            other => panic!("{text} is {other:?}"),
        }
    }

    #[test]
    fn suffixes_are_powers_of_a_thousand_and_round_once() {
        assert_eq!(value("11M"), 11_000_000.0);
        assert_eq!(value("2.5G"), 2_500_000_000.0);
        assert_eq!(value("0.1M"), 100_000.0);
        assert_eq!(value("3e-4"), 0.0003);
        assert_eq!(value("1e3K"), 1_000_000.0);
        assert_eq!(scaled("55", -2), Some(0.55));
    }

    #[test]
    fn whole_numbers_are_those_without_a_point_or_whole_by_their_suffix() {
        let whole = |text| matches!(plain_number(text), Some(ExprKind::Number { integer: true, .. }));
        assert!(whole("12") && whole("11M") && whole("2.5G"));
        assert!(!whole("2.0") && !whole("1e3") && !whole("2.0005K"));
    }

    #[test]
    fn a_number_too_large_is_none_and_one_too_small_is_zero() {
        assert_eq!(scaled("1e400", 0), None);
        assert_eq!(scaled("1e99999999999", 0), None);
        assert_eq!(scaled("1e-99999999999", -2), Some(0.0));
    }

    #[test]
    fn says_what_number_was_meant() {
        let meant = |text| mended_number(text).unwrap_or_default();
        assert_eq!(meant(".5"), "0.5");
        assert_eq!(meant("1_000"), "1000");
        assert_eq!(meant("2GiB"), "2 GiB");
        assert_eq!(meant("11m"), "11M");
        assert_eq!(meant("1.2.3"), "");
    }
}
