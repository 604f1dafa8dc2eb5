//! How much of a weight becomes zero: a pattern, or a share.

use crate::diagnostic::codes;
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
                let wrong = Wrong::at(&codes::WRONG_UNIT, value, message);
                Err(wrong.meant(value, &format!("{percent}% zeros")))
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
