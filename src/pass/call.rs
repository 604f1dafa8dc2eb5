//! Arguments that have arguments: `adamw(1e-4, decay: 0)`. One definition each, as of passes.

use super::argument::Wrong;
use super::value::{CallArgument, Value, ValueKind};
use crate::diagnostic::{Diagnostic, Diagnostics, codes};
use crate::source::Span;

/// The name and the arguments of a word or a call.
///
/// # Errors
/// Where it is neither, or of a name that is not among those known.
pub fn called<'v>(
    value: &'v Value,
    what: &str,
    names: &[&'static str],
) -> Result<(&'v str, Span, &'v [CallArgument]), Wrong> {
    let (name, span, args) = match &value.kind {
        ValueKind::Word(name) => (name, value.span, &[][..]),
        ValueKind::Call { name, name_span, args } => (name, *name_span, args.as_slice()),
        _ => return Err(Wrong::kind(value, what)),
    };
    if names.contains(&name.as_str()) {
        return Ok((name, span, args));
    }
    let unknown = Diagnostic::at(&codes::UNKNOWN_WORD, span, format!("`{name}` is not {what}"));
    Err(Wrong(unknown.suggest(name, span, names.iter().copied())))
}

/// The first of what is wrong with a call.
pub fn first(found: Diagnostics) -> Wrong {
    Wrong(found.into_iter().next().expect("a failed binding says why"))
}

/// Declares an enum of calls as an argument type: names, each with arguments of its own.
#[macro_export]
macro_rules! calls {
    (
        $(#[doc = $doc:literal])+
        pub enum $name:ident($what:literal) {
            $(
                $(#[doc = $each:literal])+
                $variant:ident = $word:literal {
                    $($(#[doc = $field_doc:literal])* $field:ident: $ty:ty $(= $default:literal)?),* $(,)?
                }
            ),+ $(,)?
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, PartialEq)]
        pub enum $name {
            $($(#[doc = $each])+ $variant { $($(#[doc = $field_doc])* $field: $ty),* }),+
        }

        impl $crate::pass::Argument for $name {
            const TYPE: $crate::pass::Type = $crate::pass::Type {
                name: stringify!($name),
                doc: concat!($($doc,)+ $(
                    "\n* `", $word, "(", $(stringify!($field), $(": ", $default,)? ", ",)* ")`:", $($each,)+
                    $(" `", stringify!($field), "`:", $($field_doc,)*)*
                )+),
                choices: &[$($word),+],
            };

            fn read(
                value: &$crate::pass::Value,
                registry: &$crate::pass::Registry,
            ) -> Result<Self, $crate::pass::Wrong> {
                let names = <Self as $crate::pass::Argument>::TYPE.choices;
                let (name, span, args) = $crate::pass::call::called(value, $what, names)?;
                $(if name == $word {
                    static FIELDS: &[$crate::pass::FieldSpec] =
                        &[$($crate::field_spec!($field, $ty, [$($field_doc),*], $($default)?)),*];
                    let bind = |bound: &mut $crate::pass::Bound<'_>| {
                        let mut _fields = FIELDS.iter();
                        $(let $field = bound.field::<$ty>(_fields.next().expect("one spec an argument"));)*
                        bound.refuse_unknown(FIELDS);
                        Some(Self::$variant { $($field: $field?),* })
                    };
                    return $crate::pass::bind_call(($word, span), args, FIELDS, registry, bind)
                        .map_err($crate::pass::call::first);
                })+
                unreachable!("`called` answers one of the names")
            }
        }

        impl $crate::pass::Told for $name {
            fn told(&self) -> serde_json::Value {
                match self {
                    $(Self::$variant { $($field),* } => {
                        let mut told = serde_json::Map::new();
                        told.insert("name".into(), $word.into());
                        $(told.insert(stringify!($field).into(), $crate::pass::Told::told($field));)*
                        told.into()
                    }),+
                }
            }
        }
    };
}

/// Declares a call as an argument type: a struct of its arguments.
#[macro_export]
macro_rules! arguments {
    (
        $(#[doc = $doc:literal])+
        $name:ident = $word:literal ($what:literal)
        with { $($(#[doc = $field_doc:literal])* $field:ident: $ty:ty $(= $default:literal)?,)* }
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone)]
        pub struct $name { $($(#[doc = $field_doc])* pub $field: $ty,)* }

        impl $name {
            /// Its arguments, in their order.
            pub const FIELDS: &[$crate::pass::FieldSpec] =
                &[$($crate::field_spec!($field, $ty, [$($field_doc),*], $($default)?)),*];
        }

        impl $crate::pass::Argument for $name {
            const TYPE: $crate::pass::Type = $crate::pass::Type {
                name: $word,
                doc: concat!($what, ".", $("\n* `", stringify!($field), "`:", $($field_doc,)*)*),
                choices: &[$word],
            };

            fn read(
                value: &$crate::pass::Value,
                registry: &$crate::pass::Registry,
            ) -> Result<Self, $crate::pass::Wrong> {
                let (_, span, args) = $crate::pass::call::called(value, $what, &[$word])?;
                let bind = |bound: &mut $crate::pass::Bound<'_>| {
                    let mut _fields = Self::FIELDS.iter();
                    $(let $field = bound.field::<$ty>(_fields.next().expect("one spec an argument"));)*
                    bound.refuse_unknown(Self::FIELDS);
                    Some(Self { $($field: $field?,)* })
                };
                $crate::pass::bind_call(($word, span), args, Self::FIELDS, registry, bind)
                    .map_err($crate::pass::call::first)
            }
        }
    };
}
