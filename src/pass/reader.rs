//! What a data set is: a reader's definition, its samples, and a `data` statement as an argument.

use std::fmt::{self, Debug};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::argument::{Argument, Type, Wrong};
use super::registry::Registry;
use super::spec::{Bound, FieldSpec};
use super::value::{Value, ValueKind};
use crate::diagnostic::Diagnostic;
use crate::source::Span;

/// What a data set's samples are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataKind {
    Text,
    Tokens,
    Image,
}

/// A way to read samples from files: `text("train.jsonl", field: "text")`.
#[derive(Debug)]
pub struct ReaderSpec {
    pub name: &'static str,
    pub doc: &'static str,
    pub kind: DataKind,
    /// The path comes first and is mostly written without its name.
    pub arguments: &'static [FieldSpec],
    pub bind: fn(&mut Bound<'_>) -> Option<Box<dyn Reader>>,
}

/// One sample of a data set, as a model takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub input: Input,
    /// The number of its class.
    pub label: Option<usize>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// Token ids, special ones among them where the model is no language model. Never padded.
    Tokens(Vec<u32>),
    Pixels(Pixels),
}

/// A picture, prepared for the model.
#[derive(Debug, Clone, PartialEq)]
pub struct Pixels {
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    /// `[channels, height, width]`
    pub values: Vec<f32>,
}

/// Samples one after the other, read as they are asked for. After an error there are no more.
pub type Samples = Box<dyn Iterator<Item = Result<Sample, Diagnostic>> + Send>;

/// What a reader is told of the model that the samples are for.
#[derive(Debug, Clone, Copy)]
pub struct For<'a> {
    /// The model's directory, with its tokenizer or preprocessor config.
    pub dir: &'a Path,
    /// A language model: a text is packed into windows.
    pub causal: bool,
    /// The most tokens that it takes.
    pub positions: Option<usize>,
    /// The pictures that it takes.
    pub picture: Option<Takes>,
}

/// What pictures a model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Takes {
    pub channels: usize,
    pub sides: Sides,
}

/// Height and width of pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sides {
    Exactly([usize; 2]),
    /// Positions follow the picture's size; a patch is the least.
    AtLeast([usize; 2]),
}

/// A data set: a reader with its arguments. Nothing is read before it is asked for.
pub trait Reader: Debug + Send + Sync {
    /// Canonical text with every argument that matters: equal texts are equal samples of equal files.
    fn describe(&self) -> String;

    fn kind(&self) -> DataKind;

    /// The files that samples come from, for their digests.
    fn files(&self) -> Vec<PathBuf>;

    /// Whether the files are there and the first record is as the arguments say. Reads no more than that takes.
    ///
    /// # Errors
    /// What a recipe's author wants to know before any weight is read.
    fn look(&self) -> Result<(), Diagnostic>;

    /// Names of the fields of its first record, where records have fields; nothing where they cannot be read.
    fn fields(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether each sample has a label.
    fn has_labels(&self) -> bool;

    /// The samples, in the same order each time.
    ///
    /// # Errors
    /// Where files are missing or not as they must be, or do not fit the model.
    fn samples(&self, model: &For<'_>) -> Result<Samples, Diagnostic>;
}

/// A `data` statement as an argument: `wanda(calib)`.
#[derive(Clone)]
pub struct Data {
    pub name: String,
    /// The statement's reader call.
    pub span: Span,
    pub reader: Arc<dyn Reader>,
}

impl Data {
    /// Stands for a statement that was refused, so that what uses its name is not refused too.
    pub fn refused(name: &str, span: Span) -> Self {
        Self { name: name.into(), span, reader: Arc::new(Refused) }
    }

    /// The samples; whatever is wrong with them is shown at the statement.
    ///
    /// # Errors
    /// As [`Reader::samples`].
    pub fn samples(&self, model: &For<'_>) -> Result<Samples, Diagnostic> {
        let span = self.span;
        let samples = self.reader.samples(model).map_err(|error| error.or_at(span))?;
        Ok(Box::new(samples.map(move |sample| sample.map_err(|error| error.or_at(span)))))
    }
}

/// Shows what it reads, not what it is called or where that is written: arguments that show the same are the same.
impl Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reader.describe())
    }
}

impl PartialEq for Data {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.reader.describe() == other.reader.describe()
    }
}

impl Argument for Data {
    const TYPE: Type = Type { name: "data", doc: "the name of a `data` statement", choices: &[] };

    fn read(value: &Value, registry: &Registry) -> Result<Self, Wrong> {
        let inline = "data has a name: write `data calib = text(\"FILE\")` above, and `calib` here";
        match &value.kind {
            ValueKind::Data(data) => Ok(data.clone()),
            ValueKind::Call { name, .. } if registry.reader(name).is_some() => {
                Err(Wrong::kind(value, Self::TYPE.doc).help(inline))
            }
            ValueKind::Text(_) => Err(Wrong::kind(value, Self::TYPE.doc).help(inline)),
            _ => Err(Wrong::kind(value, Self::TYPE.doc)),
        }
    }
}

/// The reader of a statement that was refused.
#[derive(Debug)]
struct Refused;

impl Reader for Refused {
    fn describe(&self) -> String {
        "nothing".into()
    }

    fn kind(&self) -> DataKind {
        DataKind::Text
    }

    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    fn look(&self) -> Result<(), Diagnostic> {
        Ok(())
    }

    fn has_labels(&self) -> bool {
        true
    }

    fn samples(&self, _: &For<'_>) -> Result<Samples, Diagnostic> {
        unreachable!("a recipe with a refused statement is not run")
    }
}

/// Defines a data reader: its arguments as a struct, and its [`ReaderSpec`].
#[macro_export]
macro_rules! reader {
    (
        $(#[doc = $doc:literal])+
        $name:ident = $word:literal of $kind:ident
        { $($(#[doc = $field_doc:literal])* $field:ident: $field_ty:ty $(= $default:literal)?,)* }
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone)]
        pub struct $name { $($(#[doc = $field_doc])* pub $field: $field_ty,)* }

        pub static SPEC: $crate::pass::ReaderSpec = $crate::pass::ReaderSpec {
            name: $word,
            doc: concat!($($doc, "\n"),+),
            kind: $crate::pass::DataKind::$kind,
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
