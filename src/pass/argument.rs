//! Types that passes and criteria take their arguments in: each knows its name, its choices and its range.

use super::amount::CostMeasure;
use super::evaluate::shown;
use super::registry::Registry;
use super::value::{Value, ValueKind};
use crate::diagnostic::{Code, Diagnostic, codes};
use crate::tensor::DType;

/// How a type is described to people and to the editor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Type {
    /// `ratio`, `pattern`, `scope`
    pub name: &'static str,
    /// What can stand there: `a share such as 30%`. Its first sentence stands alone; after it, what each choice means.
    pub doc: &'static str,
    /// All words, where there are finitely many.
    pub choices: &'static [&'static str],
}

/// A value could not be read as the type that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Wrong(pub Diagnostic);

impl Wrong {
    /// Another kind of value was expected.
    pub fn kind(value: &Value, expected: &str) -> Self {
        let message = format!("expected {expected}, found {}", value.kind.what());
        Self::at(&codes::WRONG_TYPE, value, message)
    }

    /// The kind is right, the value is not possible.
    pub fn range(value: &Value, message: impl Into<String>) -> Self {
        Self::at(&codes::OUT_OF_RANGE, value, message.into())
    }

    pub fn at(code: &'static Code, value: &Value, message: String) -> Self {
        Self(Diagnostic::at(code, value.span, message))
    }

    pub fn help(self, help: impl Into<String>) -> Self {
        Self(self.0.help(help))
    }

    /// What was meant by the value: as help, and as an edit.
    pub fn meant(self, value: &Value, meant: &str) -> Self {
        Self(self.0.help(format!("write `{meant}`")).fix(value.span, meant))
    }

    /// A unit that is none of those that fit.
    pub fn unit(value: &Value, unit: &str, message: String, units: &[&str]) -> Self {
        let span = value.unit_span().unwrap_or(value.span);
        let wrong = Diagnostic::at(&codes::WRONG_UNIT, span, message);
        let wrong = wrong.suggest(unit, span, units.iter().copied());
        // A value behind a name has its unit elsewhere: there is nothing to edit here.
        Self(Diagnostic { fix: wrong.fix.filter(|_| value.unit_span().is_some()), ..wrong })
    }
}

/// A type of arguments.
pub trait Argument: Sized {
    const TYPE: Type;

    /// Whether it may be left out where there is no default.
    const OPTIONAL: bool = false;

    /// Reads it from a value. Criteria are looked up in the registry.
    fn read(value: &Value, registry: &Registry) -> Result<Self, Wrong>;

    /// The argument where nothing was written and there is no default. `None` makes it required.
    fn absent() -> Option<Self> {
        None
    }
}

/// An argument as records tell it: what was written, or the default.
pub trait Told {
    fn told(&self) -> serde_json::Value;
}

impl Told for bool {
    fn told(&self) -> serde_json::Value {
        (*self).into()
    }
}

impl Told for Count {
    fn told(&self) -> serde_json::Value {
        self.0.into()
    }
}

impl Told for Ratio {
    fn told(&self) -> serde_json::Value {
        self.0.into()
    }
}

impl<T: Argument> Argument for Option<T> {
    const TYPE: Type = T::TYPE;
    const OPTIONAL: bool = true;

    fn read(value: &Value, registry: &Registry) -> Result<Self, Wrong> {
        T::read(value, registry).map(Some)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl Argument for bool {
    const TYPE: Type = Type { name: "bool", doc: "`true` or `false`", choices: &["true", "false"] };

    fn read(value: &Value, _: &Registry) -> Result<Self, Wrong> {
        match value.kind {
            ValueKind::Bool(it) => Ok(it),
            _ => Err(Wrong::kind(value, "`true` or `false`")),
        }
    }
}

impl Argument for String {
    const TYPE: Type = Type { name: "text", doc: "a text in quotes", choices: &[] };

    fn read(value: &Value, _: &Registry) -> Result<Self, Wrong> {
        match &value.kind {
            ValueKind::Text(text) => Ok(text.clone()),
            _ => Err(Wrong::kind(value, "a text in quotes")),
        }
    }
}

impl Argument for f64 {
    const TYPE: Type = Type { name: "float", doc: "a number", choices: &[] };

    fn read(value: &Value, _: &Registry) -> Result<Self, Wrong> {
        match value.kind {
            ValueKind::Number { value, .. } => Ok(value),
            _ => Err(Wrong::kind(value, "a number")),
        }
    }
}

impl Argument for u64 {
    const TYPE: Type = Type { name: "int", doc: "a whole number from 0", choices: &[] };

    fn read(value: &Value, _: &Registry) -> Result<Self, Wrong> {
        match value.kind {
            // 2^53: the largest whole numbers that a float holds exactly.
            ValueKind::Number { value: number, integer: true } if (0.0..9e15).contains(&number) => {
                Ok(number as u64)
            }
            ValueKind::Number { integer: true, .. } => {
                Err(Wrong::range(value, "a whole number from 0 is needed here"))
            }
            _ => Err(Wrong::kind(value, "a whole number")),
        }
    }
}

/// A number of things, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count(pub usize);

impl Argument for Count {
    const TYPE: Type = Type { name: "count", doc: "a whole number from 1", choices: &[] };

    fn read(value: &Value, registry: &Registry) -> Result<Self, Wrong> {
        match u64::read(value, registry)? {
            0 => Err(Wrong::range(value, "a whole number from 1 is needed here")),
            number => Ok(Self(number as usize)),
        }
    }
}

/// A share between 0 and 1, written in percent.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Ratio(pub f64);

impl Argument for Ratio {
    const TYPE: Type = Type { name: "ratio", doc: "a share such as `30%`", choices: &[] };

    fn read(value: &Value, _: &Registry) -> Result<Self, Wrong> {
        match value.kind {
            ValueKind::Ratio(ratio) if (0.0..=1.0).contains(&ratio) => Ok(Self(ratio)),
            ValueKind::Ratio(_) => Err(Wrong::range(value, "a share lies between 0 % and 100 %")),
            ValueKind::Number { value: number, .. } => {
                let percent = if number <= 1.0 { number * 100.0 } else { number };
                Err(Wrong::kind(value, "a share in percent").meant(value, &format!("{percent}%")))
            }
            _ => Err(Wrong::kind(value, "a share in percent")),
        }
    }
}

/// A number of elements, or a share of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Quantity {
    Count(usize),
    Share(f64),
}

impl Quantity {
    /// How many of `all` it is; a share is rounded to the nearest, halves to even.
    pub fn of(self, all: usize) -> usize {
        match self {
            Self::Count(count) => count,
            Self::Share(share) => (all as f64 * share).round_ties_even() as usize,
        }
    }
}

/// A list of counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts(pub Vec<usize>);

impl Argument for Counts {
    const TYPE: Type = Type { name: "counts", doc: "a list of counts, `[12, 8, 4]`", choices: &[] };

    fn read(value: &Value, registry: &Registry) -> Result<Self, Wrong> {
        let ValueKind::List(items) = &value.kind else { return Err(Wrong::kind(value, "a list of counts")) };
        let counts: Result<Vec<usize>, Wrong> =
            items.iter().map(|item| u64::read(item, registry).map(|count| count as usize)).collect();
        counts.map(Self)
    }
}

/// What a quantity is, in messages.
const EXPECTED: &str = "a number of elements or a share of them";

impl Argument for Quantity {
    const TYPE: Type =
        Type { name: "quantity", doc: "a number of elements, `4`, or a share of them, `70%`", choices: &[] };

    fn read(value: &Value, registry: &Registry) -> Result<Self, Wrong> {
        match &value.kind {
            ValueKind::Ratio(_) => Ratio::read(value, registry).map(|Ratio(share)| Self::Share(share)),
            ValueKind::Amount { unit, .. } if CostMeasure::ALL.iter().any(|cost| cost.name() == unit) => {
                let message = format!("elements are counted here; `{unit}` belongs after `to`");
                Err(Wrong::at(&codes::WRONG_UNIT, value, message)
                    .help(format!("write `to … {unit}` for a target on the result")))
            }
            ValueKind::Amount { value: amount, unit } => {
                let Some(amount) = shown(&amount.kind) else { return Err(Wrong::kind(value, EXPECTED)) };
                let is_share = ["percent", "pct"].contains(&unit.as_str());
                let meant = if is_share { format!("{amount}%") } else { amount };
                let message =
                    format!("`{unit}` is no unit: elements are counted, or a share of them is said");
                Err(Wrong::at(&codes::WRONG_UNIT, value, message).meant(value, &meant))
            }
            ValueKind::Number { integer: true, .. } => {
                u64::read(value, registry).map(|count| Self::Count(count as usize))
            }
            ValueKind::Number { value: share, .. } if (0.0..1.0).contains(share) => {
                let percent = (share * 1e10).round() / 1e8;
                Err(Wrong::kind(value, EXPECTED).meant(value, &format!("{percent}%")))
            }
            _ => Err(Wrong::kind(value, EXPECTED)),
        }
    }
}

impl Argument for DType {
    const TYPE: Type = Type { name: "dtype", doc: "an element type", choices: &["f32", "f16", "bf16"] };

    fn read(value: &Value, _: &Registry) -> Result<Self, Wrong> {
        match word(value, Self::TYPE.choices, "an element type")? {
            "f32" => Ok(DType::F32),
            "f16" => Ok(DType::F16),
            _ => Ok(DType::Bf16),
        }
    }
}

/// A number of bytes with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub u64);

/// Units of bytes.
const BYTE_UNITS: [(&str, f64); 6] = [
    ("KB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("KiB", 1024.0),
    ("MiB", 1024.0 * 1024.0),
    ("GiB", 1024.0 * 1024.0 * 1024.0),
];

impl Argument for Bytes {
    const TYPE: Type =
        Type { name: "bytes", doc: "a number of bytes such as `2 GiB` or `500 MB`", choices: &[] };

    fn read(value: &Value, registry: &Registry) -> Result<Self, Wrong> {
        let ValueKind::Amount { value: number, unit } = &value.kind else {
            return Err(Wrong::kind(value, "a number of bytes such as `2 GiB`"));
        };
        let Some((_, factor)) = BYTE_UNITS.iter().find(|(name, _)| name == unit) else {
            let names = BYTE_UNITS.map(|(name, _)| name);
            return Err(Wrong::unit(value, unit, format!("`{unit}` is no unit of bytes"), &names));
        };
        let bytes = f64::read(number, registry)? * factor;
        if bytes < 1.0 {
            Err(Wrong::range(value, "at least one byte is needed"))
        } else {
            Ok(Self(bytes as u64))
        }
    }
}

impl std::str::FromStr for Bytes {
    type Err = String;

    /// As on a command line: `2GiB`, `500 MB`.
    fn from_str(text: &str) -> Result<Self, String> {
        let split = text.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(text.len());
        let (number, unit) = (text[..split].trim(), text[split..].trim());
        let number: f64 = number.parse().map_err(|_| format!("`{number}` is no number"))?;
        let (_, factor) = BYTE_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(|| {
            format!("a unit of bytes is needed: {}", BYTE_UNITS.map(|(name, _)| name).join(", "))
        })?;
        let bytes = number * factor;
        if (1.0..9e18).contains(&bytes) {
            Ok(Self(bytes as u64))
        } else {
            Err("at least one byte is needed".into())
        }
    }
}

/// Reads one of a fixed list of words.
pub fn word<'w>(value: &Value, choices: &'w [&'static str], expected: &str) -> Result<&'w str, Wrong> {
    let ValueKind::Word(written) = &value.kind else {
        return Err(Wrong::kind(value, expected));
    };
    choices.iter().copied().find(|choice| choice == written).ok_or_else(|| {
        let diagnostic =
            Diagnostic::at(&codes::UNKNOWN_WORD, value.span, format!("`{written}` is not {expected}"));
        Wrong(diagnostic.suggest(written, value.span, choices.iter().copied()))
    })
}

/// Declares an enum of words as an argument type.
///
/// ```text
/// choice! {
///     /// Where weights compete with each other.
///     pub enum Scope("a scope") { Tensor = "tensor", Global = "global" }
/// }
/// ```
#[macro_export]
macro_rules! choice {
    ($(#[doc = $doc:literal])+ pub enum $name:ident($what:literal) { $($(#[doc = $each:literal])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[doc = $each])* $variant),+ }

        impl $crate::pass::Argument for $name {
            const TYPE: $crate::pass::Type = $crate::pass::Type {
                name: stringify!($name),
                doc: concat!($($doc,)+ $("\n* `", $word, "`:", $($each,)*)+),
                choices: &[$($word),+],
            };

            fn read(
                value: &$crate::pass::Value,
                _: &$crate::pass::Registry,
            ) -> Result<Self, $crate::pass::Wrong> {
                match $crate::pass::word(value, Self::TYPE.choices, $what)? {
                    $($word => Ok(Self::$variant),)+
                    _ => unreachable!("`word` answers one of the choices"),
                }
            }
        }

        impl $crate::pass::Told for $name {
            fn told(&self) -> serde_json::Value {
                match self {
                    $(Self::$variant => $word.into()),+
                }
            }
        }
    };
}
