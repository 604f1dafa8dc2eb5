//! What a measure is: a number that a model has.

use std::fmt::Debug;

use serde::{Deserialize, Serialize};

use super::context::Context;
use super::reader::Data;
use super::spec::{Bound, FieldSpec};
use crate::diagnostic::{Diagnostic, numbers};
use crate::graph::{Between, Cost, SiteId};

/// How a measure's numbers read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A number of things, counted: `1.43 G`.
    Count,
    /// Bytes: `90.9 MB`.
    Bytes,
    /// A share: `50 %`.
    Share,
    /// A number without a unit: a loss, a cosine.
    Number,
    /// Seconds: `12.5 ms`.
    Seconds,
}

impl Unit {
    /// The number as people read it.
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Share => numbers::share(value),
            Self::Count if value >= 0.0 && value.fract() == 0.0 => numbers::count(value as u64),
            Self::Bytes if value >= 0.0 => numbers::bytes(value.round() as u64),
            Self::Number => numbers::digits(value),
            Self::Seconds => format!("{} ms", numbers::digits(value * 1000.0)),
            Self::Count | Self::Bytes => format!("{value}"),
        }
    }
}

/// A measure's definition.
#[derive(Debug)]
pub struct MeasureSpec {
    pub name: &'static str,
    pub doc: &'static str,
    pub unit: Unit,
    pub arguments: &'static [FieldSpec],
    pub bind: fn(&mut Bound<'_>) -> Option<Box<dyn Measure>>,
}

/// A number that a model, or a part of it, has.
pub trait Measure: Debug + Send + Sync {
    /// The number from shapes alone, where they say it.
    fn of_cost(&self, _cost: &Cost) -> Option<Between> {
        None
    }

    /// Whether it can be taken of a part of the model, with `of`.
    fn takes_sites(&self) -> bool {
        false
    }

    /// The data sets that it is taken on.
    fn data(&self) -> Vec<Data> {
        Vec::new()
    }

    /// The number of a model with weights; of the weights of some sites, where these are given.
    ///
    /// # Errors
    /// Where weights or samples cannot be read.
    fn measure(&self, at: &Context<'_>, cost: &Cost, sites: Option<&[SiteId]>) -> Result<f64, Diagnostic>;
}

/// Defines a measure: its arguments as a struct, and its [`MeasureSpec`].
#[macro_export]
macro_rules! measure {
    (
        $(#[doc = $doc:literal])+
        $name:ident = $word:literal in $unit:ident
        { $($(#[doc = $field_doc:literal])* $field:ident: $field_ty:ty $(= $default:literal)?,)* }
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone)]
        pub struct $name { $($(#[doc = $field_doc])* pub $field: $field_ty,)* }

        pub static SPEC: $crate::pass::MeasureSpec = $crate::pass::MeasureSpec {
            name: $word,
            doc: concat!($($doc, "\n"),+),
            unit: $crate::pass::Unit::$unit,
            arguments: &[$($crate::field_spec!($field, $field_ty, [$($field_doc),*], $($default)?)),*],
            bind: |bound| {
                let mut _fields = SPEC.arguments.iter();
                $(let $field = bound.field::<$field_ty>(_fields.next().expect("one spec an argument"));)*
                bound.refuse_unknown(SPEC.arguments);
                Some(Box::new($name { $($field: $field?,)* }))
            },
        };
    };
}
