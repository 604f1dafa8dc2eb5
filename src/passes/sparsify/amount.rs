//! How much of a weight becomes zero: a pattern, or a share.

use crate::diagnostic::{Diagnostic, codes};
use crate::pass::{Argument, Ratio, Registry, Type, Value, ValueKind, Wrong};
use crate::tensor::pattern::Pattern;

/// What `to` takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Amount {
    /// `2:4`: of four consecutive inputs two stay.
    Pattern(Pattern),
    /// `80% zeros`
    Zeros(f64),
}

impl Argument for Amount {
    const TYPE: Type = Type {
        name: "sparsity",
        doc: "a pattern such as `2:4`, two of four consecutive inputs stay, or a share such as `80% zeros`",
        choices: &[],
    };

    fn read(value: &Value, registry: &Registry) -> Result<Self, Wrong> {
        match &value.kind {
            ValueKind::Pattern { n, m } => pattern(value, *n, *m),
            ValueKind::Amount { value: share, unit } if unit == "zeros" => {
                Ratio::read(share, registry).map(|Ratio(share)| Self::Zeros(share))
            }
            ValueKind::Amount { unit, .. } => {
                let message = format!("weights are sparsified to zeros, not to {unit}");
                Err(Wrong::at(&codes::WRONG_UNIT, value, message).help(HELP))
            }
            ValueKind::Ratio(share) => {
                let percent = share * 100.0;
                let message = format!("{percent}% of what?");
                let wrong = Diagnostic::at(&codes::WRONG_UNIT, value.span, message);
                Err(Wrong(wrong.help(format!("write `{percent}% zeros`"))))
            }
            _ => Err(Wrong::kind(value, "a pattern or a share of zeros").help(HELP)),
        }
    }
}

const HELP: &str = "write `2:4`, or `80% zeros`";

fn pattern(value: &Value, n: u64, m: u64) -> Result<Amount, Wrong> {
    let found = usize::try_from(n).ok().zip(usize::try_from(m).ok());
    let pattern = found.and_then(|(keep, of)| Pattern::new(keep, of).ok());
    pattern.map(Amount::Pattern).ok_or_else(|| {
        let wrong = match () {
            () if n == 0 => format!("`{n}:{m}` keeps nothing"),
            () if n >= m => format!("`{n}:{m}` keeps everything"),
            () => format!("`{n}:{m}` has groups of more than 256"),
        };
        Wrong::range(value, wrong).help("`2:4` keeps 2 of 4 consecutive inputs")
    })
}

/// The smallest number of `all` things that is at least this share of them.
///
/// `expect zeros >= 30%` has to hold after `to 30% zeros`, so it is decided as that is measured: by dividing.
pub fn at_least(all: usize, share: f64) -> usize {
    let enough = |count: usize| count as f64 / all.max(1) as f64 >= share;
    let mut count = ((all as f64 * share) as usize).min(all);
    while count > 0 && enough(count - 1) {
        count -= 1;
    }
    while count < all && !enough(count) {
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_met_and_not_exceeded() {
        // In floats 0.29 * 100 is 28.999999999999996, and 0.07 * 100 is 7.000000000000001.
        assert_eq!(at_least(100, 0.29), 29);
        assert_eq!(at_least(100, 0.07), 7);
        assert_eq!(at_least(10, 0.25), 3);
        assert_eq!(at_least(1110, 0.9), 999);
        assert_eq!([at_least(7, 0.0), at_least(7, 1.0), at_least(0, 0.5)], [0, 7, 0]);
    }
}
