//! How much of a matrix stays: a rank, a share of its energy, or what a budget leaves.

use crate::diagnostic::codes;
use crate::pass::{Argument, Budget, Count, Ratio, Registry, Type, Value, ValueKind, Wrong};

/// What `to` takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Amount {
    /// `rank(64)`
    Rank(usize),
    /// `90% energy`: a share of the sum of squared singular values.
    Energy(f64),
    /// `60% params`
    Budget(Budget),
}

impl Argument for Amount {
    const TYPE: Type = Type {
        name: "rank",
        doc: "a rank, `rank(64)`, a share of the energy, `90% energy`, or a bound on the cost, `60% params`",
        choices: &[],
    };

    fn read(value: &Value, registry: &Registry) -> Result<Self, Wrong> {
        match &value.kind {
            ValueKind::Call { name, args, .. } if name == "rank" => match args.as_slice() {
                [rank] if rank.name.is_none() => {
                    Count::read(&rank.value, registry).map(|Count(rank)| Self::Rank(rank))
                }
                _ => Err(Wrong::kind(value, "one rank").help("write `rank(64)`")),
            },
            ValueKind::Amount { value: share, unit } if unit == "energy" => {
                let Ratio(share) = Ratio::read(share, registry)?;
                if share == 0.0 {
                    return Err(Wrong::range(value, "no energy is left by no rank"));
                }
                Ok(Self::Energy(share))
            }
            ValueKind::Amount { .. } => Budget::read(value, registry).map(Self::Budget),
            ValueKind::Ratio(_) => {
                let wrong = Wrong::at(&codes::WRONG_UNIT, value, "a share of what?".into());
                Err(wrong.help("write `90% energy` or `60% params`"))
            }
            ValueKind::Number { value: number, .. } => {
                let wrong = Wrong::kind(value, "a rank, a share of the energy or a budget");
                Err(wrong.meant(value, &format!("rank({number})")))
            }
            _ => Err(Wrong::kind(value, "a rank, a share of the energy or a budget")),
        }
    }
}
