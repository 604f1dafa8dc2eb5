//! Another model as an argument: what is learned from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::argument::{Argument, Type, Wrong};
use super::reader::{Data, DataKind, For, Reader, Samples};
use super::registry::Registry;
use super::value::{Value, ValueKind};
use crate::checkpoint::Checkpoint;
use crate::diagnostic::Diagnostic;
use crate::graph::Graph;
use crate::source::Span;

/// What a `model` statement names: the recipe's input model, or another one, which is only read.
#[derive(Debug, Clone)]
pub struct NamedModel {
    pub name: String,
    /// Of another model than the recipe's input.
    pub other: Option<Arc<OtherModel>>,
}

impl PartialEq for NamedModel {
    /// Names are defined once.
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// A model that a recipe reads and does not change.
#[derive(Debug)]
pub struct OtherModel {
    pub path: PathBuf,
    pub graph: Graph,
    /// The statement.
    pub span: Span,
}

/// Models that are learned from, each as much as the others.
#[derive(Debug, Clone)]
pub struct Teachers(pub Vec<NamedModel>);

impl Argument for Teachers {
    const TYPE: Type =
        Type { name: "models", doc: "the name of a `model` statement, or a list of names", choices: &[] };

    fn read(value: &Value, _: &Registry) -> Result<Self, Wrong> {
        let one = |value: &Value| match &value.kind {
            ValueKind::Model(model) => Ok(model.clone()),
            ValueKind::Text(_) => Err(Wrong::kind(value, "the name of a `model` statement")
                .help("a model has a name: write `model teacher = \"DIR\"` above, and `teacher` here")),
            _ => Err(Wrong::kind(value, "the name of a `model` statement")),
        };
        let models: Vec<NamedModel> = match &value.kind {
            ValueKind::List(items) if !items.is_empty() => items.iter().map(one).collect::<Result<_, _>>()?,
            _ => vec![one(value)?],
        };
        for (at, model) in models.iter().enumerate() {
            if models[..at].contains(model) {
                return Err(Wrong::range(value, format!("`{}` is named twice", model.name)));
            }
        }
        Ok(Self(models))
    }
}

impl NamedModel {
    /// Its files, so that they are digested, locked and looked at as those of data sets are.
    pub fn files(&self) -> Option<Data> {
        let other = self.other.as_ref()?;
        let reader = Arc::new(ModelFiles(other.path.clone()));
        Some(Data { name: self.name.clone(), span: other.span, reader })
    }
}

/// A model's files, which hold no samples.
#[derive(Debug)]
struct ModelFiles(PathBuf);

impl Reader for ModelFiles {
    fn describe(&self) -> String {
        format!("model({:?})", self.0.display().to_string())
    }

    fn kind(&self) -> DataKind {
        DataKind::Tokens
    }

    fn files(&self) -> Vec<PathBuf> {
        let config = self.0.join("config.json");
        let weights = Checkpoint::open(&self.0);
        let weights = weights.iter().flat_map(|model| model.files().iter().map(|file| file.path.clone()));
        std::iter::once(config).chain(weights).collect()
    }

    fn look(&self) -> Result<(), Diagnostic> {
        Checkpoint::open(&self.0).map(drop)
    }

    fn has_labels(&self) -> bool {
        false
    }

    fn samples(&self, _: &For<'_>) -> Result<Samples, Diagnostic> {
        unreachable!("{} holds no samples", Path::new(&self.0).display())
    }
}
