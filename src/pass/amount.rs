//! Targets on the result: `to 60% flops`, `to 2.5G macs`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::argument::{Argument, Ratio, Type, Wrong};
use super::registry::Registry;
use super::value::{Value, ValueKind};
use crate::diagnostic::codes;
use crate::graph::{Between, Cost};

/// A cost that shapes alone decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CostMeasure {
    Flops,
    Macs,
    Params,
    Bytes,
}

impl CostMeasure {
    pub const ALL: [Self; 4] = [Self::Flops, Self::Macs, Self::Params, Self::Bytes];

    pub fn name(self) -> &'static str {
        match self {
            Self::Flops => "flops",
            Self::Macs => "macs",
            Self::Params => "params",
            Self::Bytes => "bytes",
        }
    }

    pub fn of(self, cost: &Cost) -> Between {
        match self {
            Self::Flops => cost.flops(),
            Self::Macs => cost.macs,
            Self::Params => cost.params,
            Self::Bytes => cost.bytes,
        }
    }
}

impl fmt::Display for CostMeasure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A bound on a cost of the result.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    pub measure: CostMeasure,
    pub amount: BudgetAmount,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum BudgetAmount {
    /// Of the recipe's input model.
    Share(f64),
    Absolute(f64),
}

impl Budget {
    /// The largest cost allowed; shares are of the input model's cost.
    pub fn at_most(self, input: &Cost) -> u64 {
        match self.amount {
            BudgetAmount::Share(share) => (self.measure.of(input).max as f64 * share).floor() as u64,
            BudgetAmount::Absolute(amount) => amount.floor() as u64,
        }
    }
}

impl Argument for Budget {
    const TYPE: Type = Type {
        name: "budget",
        doc: "a bound on a cost of the result, such as `60% flops`, `2.5G macs`, `11M params` or `50% bytes`",
        choices: &[],
    };

    fn read(value: &Value, registry: &Registry) -> Result<Self, Wrong> {
        let ValueKind::Amount { value: amount, unit } = &value.kind else {
            let wrong = Wrong::at(&codes::WRONG_UNIT, value, "a target needs its unit".into());
            return Err(wrong.help("write what it is a share or number of: `60% flops`, `11M params`"));
        };
        let Some(measure) = CostMeasure::ALL.into_iter().find(|measure| measure.name() == unit) else {
            let names = CostMeasure::ALL.map(CostMeasure::name);
            let message = format!("`{unit}` is no cost that a step can be given");
            return Err(Wrong::unit(value, unit, message, &names));
        };
        let amount = match amount.kind {
            ValueKind::Ratio(_) => BudgetAmount::Share(Ratio::read(amount, registry)?.0),
            ValueKind::Number { value, .. } if value >= 0.0 => BudgetAmount::Absolute(value),
            _ => return Err(Wrong::kind(amount, "a share or a number")),
        };
        Ok(Self { measure, amount })
    }
}
