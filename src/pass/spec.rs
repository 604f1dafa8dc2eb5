//! What a pass or a criterion declares of itself, and how arguments are bound to it.

use super::Pass;
use super::argument::{Argument, Type, Wrong};
use super::criterion::Criterion;
use super::evaluate::constant;
use super::registry::Registry;
use super::value::{CallArgument, Value, ValueKind};
use crate::diagnostic::{Diagnostic, Diagnostics, codes};
use crate::source::Span;
use crate::syntax::ast::ClauseKind;

/// One verb for some nouns: the only definition of its signature.
#[derive(Debug)]
pub struct PassSpec {
    pub verb: &'static str,
    /// What it acts on: names of [`Noun`](super::Noun)s.
    pub nouns: &'static [&'static str],
    /// Markdown; its first sentence is the summary, its `tamis` fences are checked by a test.
    pub doc: &'static str,
    pub clauses: &'static [ClauseSpec],
    /// Fields of `with { … }`.
    pub options: &'static [FieldSpec],
    pub bind: fn(&mut Bound<'_>) -> Option<Box<dyn Pass>>,
}

#[derive(Debug)]
pub struct ClauseSpec {
    pub kind: ClauseKind,
    pub field: FieldSpec,
}

/// An option or an argument: its name, type, default and meaning.
#[derive(Debug)]
pub struct FieldSpec {
    pub name: &'static str,
    pub ty: Type,
    /// In the recipe language.
    pub default: Option<&'static str>,
    pub required: bool,
    pub doc: &'static str,
}

/// A way to score importance.
#[derive(Debug)]
pub struct CriterionSpec {
    pub name: &'static str,
    pub doc: &'static str,
    pub arguments: &'static [FieldSpec],
    pub bind: fn(&mut Bound<'_>) -> Option<Box<dyn Criterion>>,
}

/// The first sentence of a doc text.
pub fn summary(doc: &str) -> &str {
    let end =
        [". ", ".\n"].into_iter().filter_map(|stop| doc.find(stop)).min().map_or(doc.len(), |at| at + 1);
    doc[..end].trim()
}

/// A call's arguments as fields: unnamed ones take the names in order, then named ones follow.
fn call_fields(args: &[CallArgument], specs: &[FieldSpec]) -> Result<Vec<(String, Span, Value)>, Wrong> {
    let mut fields: Vec<(String, Span, Value)> = Vec::new();
    for (at, arg) in args.iter().enumerate() {
        let (name, span) = match (&arg.name, specs.get(at)) {
            (Some((name, span)), _) => (name.clone(), *span),
            (None, Some(spec)) => (spec.name.to_string(), arg.value.span),
            (None, None) => {
                let message = format!("at most {} arguments are taken here", specs.len());
                return Err(Wrong::at(&codes::UNKNOWN_OPTION, &arg.value, message));
            }
        };
        if fields.iter().any(|(other, ..)| *other == name) {
            let message = format!("`{name}` is given twice");
            return Err(Wrong::at(&codes::DUPLICATE_FIELD, &arg.value, message));
        }
        fields.push((name, span, arg.value.clone()));
    }
    Ok(fields)
}

/// Binds a call, `wanda(calib, samples: 64)`, to what it names.
///
/// # Errors
/// Every mistake in the arguments.
pub fn bind_call<T>(
    (owner, span): (&str, Span),
    args: &[CallArgument],
    specs: &[FieldSpec],
    registry: &Registry,
    bind: impl FnOnce(&mut Bound<'_>) -> Option<T>,
) -> Result<T, Diagnostics> {
    let fields = call_fields(args, specs).map_err(|wrong| wrong.0)?;
    let mut diagnostics = Diagnostics::new();
    let mut bound =
        Bound { owner, span, clauses: Vec::new(), fields, registry, diagnostics: &mut diagnostics };
    match bind(&mut bound) {
        Some(it) if !diagnostics.has_errors() => Ok(it),
        _ => Err(diagnostics),
    }
}

/// Written arguments on their way into a pass or a criterion. Each mistake is reported, not only the first.
pub struct Bound<'a> {
    /// What is bound, for messages: `sparsify`.
    pub owner: &'a str,
    /// Where to point when something is missing.
    pub span: Span,
    pub clauses: Vec<(ClauseKind, Value)>,
    pub fields: Vec<(String, Span, Value)>,
    pub registry: &'a Registry,
    pub diagnostics: &'a mut Diagnostics,
}

impl Bound<'_> {
    /// The argument of a clause, its default, or a diagnostic.
    pub fn clause<T: Argument>(&mut self, spec: &ClauseSpec) -> Option<T> {
        let written =
            self.clauses.iter().find(|(kind, _)| *kind == spec.kind).map(|(_, value)| value.clone());
        self.read(written, &spec.field, |bound| {
            let keyword = spec.kind.keyword();
            let message = format!("`{}` needs a `{keyword}` clause", bound.owner);
            Diagnostic::at(&codes::MISSING_CLAUSE, bound.span, message)
                .help(format!("`{keyword}` takes {}", summary(spec.field.ty.doc)))
        })
    }

    /// The value of an option, its default, or a diagnostic.
    pub fn field<T: Argument>(&mut self, spec: &FieldSpec) -> Option<T> {
        let written =
            self.fields.iter().find(|(name, ..)| name == spec.name).map(|(.., value)| value.clone());
        self.read(written, spec, |bound| {
            let message = format!("`{}` needs `{}`", bound.owner, spec.name);
            Diagnostic::at(&codes::MISSING_ARGUMENT, bound.span, message).help(format!(
                "`{}` is {}",
                spec.name,
                summary(spec.ty.doc)
            ))
        })
    }

    fn read<T: Argument>(
        &mut self,
        written: Option<Value>,
        spec: &FieldSpec,
        missing: impl FnOnce(&Self) -> Diagnostic,
    ) -> Option<T> {
        let value = written.or_else(|| spec.default.map(|text| constant(text, self.span)));
        let Some(value) = value else {
            return T::absent().or_else(|| {
                let diagnostic = missing(self);
                self.diagnostics.push(diagnostic);
                None
            });
        };
        match T::read(&value, self.registry) {
            Ok(argument) => Some(argument),
            Err(wrong) => {
                self.diagnostics.push(named_if_unknown(&value, wrong));
                None
            }
        }
    }

    /// Reports fields that no spec knows.
    pub fn refuse_unknown(&mut self, known: &[FieldSpec]) {
        for (name, span, _) in &self.fields {
            if !known.iter().any(|spec| spec.name == name) {
                let message = format!("`{}` has no option `{name}`", self.owner);
                let diagnostic = Diagnostic::at(&codes::UNKNOWN_OPTION, *span, message);
                let names = known.iter().map(|spec| spec.name);
                self.diagnostics.push(diagnostic.suggest(name, *span, names));
            }
        }
    }
}

/// A bare word where a value was expected is most likely a misspelt name.
fn named_if_unknown(value: &Value, Wrong(diagnostic): Wrong) -> Diagnostic {
    match &value.kind {
        ValueKind::Word(word)
            if std::ptr::eq(diagnostic.code, &codes::WRONG_TYPE)
                && diagnostic.place.as_ref().is_some_and(|place| place.span == value.span) =>
        {
            Diagnostic {
                help: diagnostic.help.clone().or(Some(diagnostic.message.clone())),
                ..Diagnostic::at(&codes::UNKNOWN_NAME, value.span, format!("`{word}` is not defined"))
            }
        }
        ValueKind::Amount { value, .. } => named_if_unknown(value, Wrong(diagnostic)),
        _ => diagnostic,
    }
}

/// Defines a pass: its arguments as a struct for the author, its [`PassSpec`] for everyone else.
///
/// Fields are `CLAUSE name: Type` and, under `with`, `name: Type`, each with an optional default in the recipe
/// language. A type of `Option<_>` makes a field optional.
#[macro_export]
macro_rules! pass {
    (
        $(#[doc = $doc:literal])+
        $name:ident = $verb:literal [$($noun:literal),+]
        { $($(#[doc = $clause_doc:literal])* $clause:ident $arg:ident: $arg_ty:ty $(= $arg_default:literal)?,)* }
        with { $($(#[doc = $option_doc:literal])* $option:ident: $option_ty:ty $(= $option_default:literal)?,)* }
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone)]
        pub struct $name {
            $($(#[doc = $clause_doc])* pub $arg: $arg_ty,)*
            $($(#[doc = $option_doc])* pub $option: $option_ty,)*
        }

        pub static SPEC: $crate::pass::PassSpec = $crate::pass::PassSpec {
            verb: $verb,
            nouns: &[$($noun),+],
            doc: concat!($($doc, "\n"),+),
            clauses: &[$($crate::pass::ClauseSpec {
                kind: $crate::syntax::ast::ClauseKind::$clause,
                field: $crate::field_spec!($arg, $arg_ty, [$($clause_doc),*], $($arg_default)?),
            }),*],
            options: &[$($crate::field_spec!($option, $option_ty, [$($option_doc),*], $($option_default)?)),*],
            bind: |bound| {
                // Specs are asked for in the order of their declaration.
                let mut _clauses = SPEC.clauses.iter();
                $(let $arg = bound.clause::<$arg_ty>(_clauses.next().expect("one spec a clause"));)*
                let mut _options = SPEC.options.iter();
                $(let $option = bound.field::<$option_ty>(_options.next().expect("one spec an option"));)*
                bound.refuse_unknown(SPEC.options);
                Some(Box::new($name { $($arg: $arg?,)* $($option: $option?,)* }))
            },
        };
    };
}

/// Defines a criterion: its arguments as a struct, and its [`CriterionSpec`].
#[macro_export]
macro_rules! criterion {
    (
        $(#[doc = $doc:literal])+
        $name:ident = $word:literal
        { $($(#[doc = $field_doc:literal])* $field:ident: $field_ty:ty $(= $default:literal)?,)* }
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone)]
        pub struct $name { $($(#[doc = $field_doc])* pub $field: $field_ty,)* }

        pub static SPEC: $crate::pass::CriterionSpec = $crate::pass::CriterionSpec {
            name: $word,
            doc: concat!($($doc, "\n"),+),
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

/// One [`FieldSpec`] of the definition macros.
#[doc(hidden)]
#[macro_export]
macro_rules! field_spec {
    ($name:ident, $ty:ty, [$($doc:literal),*], $($default:literal)?) => {
        $crate::pass::FieldSpec {
            name: stringify!($name),
            ty: <$ty as $crate::pass::Argument>::TYPE,
            default: $crate::field_spec!(@default $($default)?),
            required: $crate::field_spec!(@required $ty; $($default)?),
            doc: concat!($($doc),*),
        }
    };
    (@default) => { None };
    (@default $default:literal) => { Some($default) };
    (@required $ty:ty; $default:literal) => { false };
    (@required $ty:ty;) => { !<$ty as $crate::pass::Argument>::OPTIONAL };
}
