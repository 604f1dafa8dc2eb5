//! Targets on the result: `to 60% flops`, `to 2.5G macs`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::argument::{Argument, Ratio, Type, Wrong};
use super::registry::Registry;
use super::value::{Value, ValueKind};
use crate::diagnostic::codes;
use crate::diagnostic::numbers::{self, Scale};
use crate::graph::{Between, Cost};

/// A cost that shapes alone decide, and times that were measured before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CostMeasure {
    Flops,
    Macs,
    Params,
    Bytes,
    /// Seconds of a forward pass, by a table of measured times; counted in nanoseconds.
    Latency,
}

impl CostMeasure {
    pub const ALL: [Self; 5] = [Self::Flops, Self::Macs, Self::Params, Self::Bytes, Self::Latency];

    pub fn name(self) -> &'static str {
        match self {
            Self::Flops => "flops",
            Self::Macs => "macs",
            Self::Params => "params",
            Self::Bytes => "bytes",
            Self::Latency => "latency",
        }
    }

    pub fn of(self, cost: &Cost) -> Between {
        match self {
            Self::Flops => cost.flops(),
            Self::Macs => cost.macs,
            Self::Params => cost.params,
            Self::Bytes => cost.bytes,
            Self::Latency => cost.nanoseconds,
        }
    }

    /// What tables have a column of: FLOPs are twice the MACs, and times are known where a recipe names a table of them.
    pub fn columns(times: bool) -> impl Iterator<Item = Self> + Clone {
        [Self::Params, Self::Macs, Self::Bytes].into_iter().chain(times.then_some(Self::Latency))
    }

    /// How a column is headed.
    pub fn title(self) -> &'static str {
        match self {
            Self::Macs => "MACs",
            Self::Flops => "FLOPs",
            _ => self.name(),
        }
    }

    /// A range as people read it, in the scale of another cost, so that rows compare at sight.
    pub fn show_range(self, range: Between, beside: u64) -> String {
        let Between { min, max } = range;
        match self {
            Self::Bytes => numbers::bytes_range(min, max, Scale::of(beside)),
            Self::Latency => numbers::milliseconds_range(min, max),
            _ => numbers::count_range(min, max, Scale::of(beside)),
        }
    }

    /// A cost as people read it.
    pub fn show(self, cost: u64) -> String {
        match self {
            Self::Bytes => numbers::bytes(cost),
            Self::Latency => numbers::milliseconds(cost),
            _ => numbers::count(cost),
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
            // Times are written in seconds.
            BudgetAmount::Absolute(amount) if self.measure == CostMeasure::Latency => {
                (amount * 1e9).floor() as u64
            }
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
