//! What takes arguments or options: a pass, a criterion, a measure, a reader, `save`.

use crate::check::SAVE_OPTIONS;
use crate::pass::{ClauseSpec, CriterionSpec, FieldSpec, MeasureSpec, PassSpec, ReaderSpec, Registry, Type};
use crate::reference::{self, Entry, Kind};
use crate::syntax::ast::{self, ClauseKind};

/// Whose argument or option a field is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Callee {
    Pass(&'static PassSpec),
    Criterion(&'static CriterionSpec),
    Measure(&'static MeasureSpec),
    Reader(&'static ReaderSpec),
    Save,
}

/// What is wanted where a value stands.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted {
    Type(Type),
    Measure,
    Reader,
    Anything,
}

impl Callee {
    /// Its arguments; of a pass and of `save` the options of `with`.
    pub fn fields(self) -> &'static [FieldSpec] {
        match self {
            Self::Pass(spec) => spec.options,
            Self::Criterion(spec) => spec.arguments,
            Self::Measure(spec) => spec.arguments,
            Self::Reader(spec) => spec.arguments,
            Self::Save => SAVE_OPTIONS,
        }
    }

    pub fn field(self, name: &str) -> Option<&'static FieldSpec> {
        self.fields().iter().find(|field| field.name == name)
    }

    /// What an argument takes: by its name, else by its number.
    pub fn wants(self, name: Option<&str>, number: usize) -> Wanted {
        let field = match name {
            Some(name) => self.field(name),
            None => self.fields().get(number),
        };
        field.map_or(Wanted::Anything, |field| Wanted::Type(field.ty))
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Pass(spec) => spec.verb,
            Self::Criterion(spec) => spec.name,
            Self::Measure(spec) => spec.name,
            Self::Reader(spec) => spec.name,
            Self::Save => "save",
        }
    }

    pub fn signature(self) -> String {
        match self {
            Self::Pass(spec) => reference::pass_signature(spec),
            Self::Criterion(spec) => reference::criterion_signature(spec),
            Self::Measure(spec) => reference::measure_signature(spec),
            Self::Reader(spec) => reference::reader_signature(spec),
            Self::Save => {
                let options: Vec<String> = SAVE_OPTIONS.iter().map(reference::field_signature).collect();
                format!("save \"DIR\" [with {{ {} }}]", options.join(", "))
            }
        }
    }

    pub fn doc(self) -> &'static str {
        match self {
            Self::Pass(spec) => spec.doc,
            Self::Criterion(spec) => spec.doc,
            Self::Measure(spec) => spec.doc,
            Self::Reader(spec) => spec.doc,
            Self::Save => "Writes the model as the steps above left it.",
        }
    }

    /// Its page of the reference, in markdown.
    pub fn page(self, registry: &Registry) -> String {
        let kind = match self {
            Self::Pass(_) => Kind::Verb,
            Self::Criterion(_) => Kind::Criterion,
            Self::Measure(_) => Kind::Measure,
            Self::Reader(_) => Kind::Reader,
            Self::Save => Kind::Statement,
        };
        let fits = |entry: &Entry| match self {
            // A verb has a page for each of its meanings.
            Self::Pass(spec) => entry.text.contains(&reference::pass_signature(spec)),
            _ => true,
        };
        page(registry, kind, self.name(), fits).unwrap_or_default()
    }
}

/// The page of a word, in markdown.
pub(super) fn page(
    registry: &Registry,
    kind: Kind,
    name: &str,
    fits: impl Fn(&Entry) -> bool,
) -> Option<String> {
    let entries = reference::entries(registry);
    entries
        .into_iter()
        .find(|entry| entry.kind == kind && entry.name == name && fits(entry))
        .map(|it| it.text)
}

/// The pass that a verb means for its first noun.
pub(super) fn pass_of(
    registry: &'static Registry,
    verb: &str,
    noun: Option<&str>,
) -> Option<&'static PassSpec> {
    let mut passes = registry.passes_of(verb);
    let takes = |spec: &&'static PassSpec| noun.is_some_and(|noun| spec.nouns.contains(&noun));
    let first = registry.passes_of(verb).next();
    passes.find(takes).or(first)
}

/// The pass of a step.
pub(super) fn pass_of_step(registry: &'static Registry, step: &ast::Step) -> Option<&'static PassSpec> {
    pass_of(registry, &step.verb.text, step.nouns.first().map(|noun| noun.name.text.as_str()))
}

pub(super) fn clause_of(spec: &'static PassSpec, kind: ClauseKind) -> Option<&'static ClauseSpec> {
    spec.clauses.iter().find(|clause| clause.kind == kind)
}

impl Wanted {
    /// What a call of this name calls, where such a value is wanted.
    pub fn called(self, name: &str, registry: &'static Registry) -> Option<Callee> {
        match self {
            Self::Measure => registry.measure(name).map(Callee::Measure),
            Self::Reader => registry.reader(name).map(Callee::Reader),
            Self::Type(_) | Self::Anything => registry.criterion(name).map(Callee::Criterion),
        }
    }
}

/// Texts that a type's doc gives as examples: `2:4` and `80% zeros` of "a pattern such as `2:4`, or …".
pub(super) fn examples(ty: &Type) -> Vec<&'static str> {
    let first = crate::pass::summary(ty.doc);
    first.split('`').skip(1).step_by(2).collect()
}

/// Units of a type, as its examples use them: `zeros` of `80% zeros`.
pub(super) fn units(ty: &Type) -> Vec<&'static str> {
    let unit = |example: &'static str| {
        let (amount, unit) = example.split_once(' ')?;
        amount.starts_with(|first: char| first.is_ascii_digit()).then_some(unit)
    };
    examples(ty).into_iter().filter_map(unit).collect()
}
