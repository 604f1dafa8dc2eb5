//! Tasks and what they need of each other.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::TaskId;
use super::effect::{Effect, Places};
use crate::check::ExpectBound;
use crate::checkpoint::Digest;
use crate::graph::{CannotSay, Graph};
use crate::pass::{Measure, MeasureSpec, Rewrite, Work, WorkKind};
use crate::source::Span;
use crate::syntax::ast::Comparison;
use crate::tensor::DType;

/// One thing to do.
#[derive(Debug, Clone)]
pub struct Task {
    pub does: Does,
    /// Of what it does and of the keys of what it needs. The source counts as one unknown model.
    pub key: Digest,
    /// The steps that want it, by number; several where branches of a sweep share it. Ascending.
    pub steps: Vec<usize>,
}

#[derive(Debug, Clone)]
pub enum Does {
    /// Opens the model: the first version.
    Source,
    /// Finds something out about a version.
    Work(Arc<dyn Work>),
    /// Makes a version of another.
    Rewrite(Rewriting),
    /// Takes a number of a version.
    Measure(Measuring),
    /// Compares a number with what it should be.
    Expect(Expecting),
    /// Writes a version.
    Save(Saving),
}

/// What a task needs of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// The version that it reads.
    Version,
    /// What was found before.
    Finding,
    /// The number that it compares.
    Value,
    /// What the input model measures.
    InputValue,
    /// The same version as files, which are cheaper to read than to compute again.
    Written,
}

#[derive(Debug, Clone)]
pub struct Rewriting {
    pub rewrite: Arc<dyn Rewrite>,
    /// What it stands for, as the recipe has it. One, unless a rule joined several.
    pub parts: Vec<Part>,
    /// The version's graph, as far as shapes alone tell.
    pub graph: Arc<Graph>,
    pub storage: Storage,
}

/// A rewrite of the recipe, for the records of its step.
#[derive(Debug, Clone)]
pub struct Part {
    pub rewrite: Arc<dyn Rewrite>,
    /// Numbers of the steps that want it.
    pub steps: Vec<usize>,
}

/// What becomes of the tensors that a rewrite changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// They are computed once, written to scratch files, and read from there.
    Scratch,
    /// They are computed for each that reads them.
    Lazy,
}

#[derive(Debug, Clone)]
pub struct Measuring {
    pub text: String,
    pub span: Span,
    pub spec: &'static MeasureSpec,
    pub measure: Arc<dyn Measure>,
    /// Paths of the sites that it is taken of; the whole model without.
    pub sites: Option<Vec<String>>,
}

#[derive(Debug, Clone)]
pub struct Expecting {
    pub text: String,
    pub span: Span,
    pub op: Comparison,
    pub bound: ExpectBound,
}

#[derive(Debug, Clone)]
pub struct Saving {
    pub path: PathBuf,
    pub span: Span,
    /// Bytes of a shard at most.
    pub shard_size: Option<u64>,
    /// All float tensors cast to this type.
    pub dtype: Option<DType>,
    /// The config fields that say the result as far as shapes tell, or why they cannot.
    pub loads: Result<BTreeMap<String, usize>, Vec<CannotSay>>,
    /// The steps from the source to it, by number.
    pub steps: Vec<usize>,
    pub branch: Vec<String>,
    /// The measures and expectations that speak of it or of what it was made from, in the order of the recipe.
    pub entries: Vec<Entry>,
}

/// A measure or an expectation in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub task: TaskId,
    /// The last step before it.
    pub after_step: usize,
}

impl Task {
    /// The word of its kind.
    pub fn kind(&self) -> &'static str {
        match &self.does {
            Does::Source => "source",
            Does::Work(work) => match work.kind() {
                WorkKind::Observe => "observe",
                WorkKind::Score => "score",
                WorkKind::Select => "select",
                WorkKind::Train => "train",
            },
            Does::Rewrite(_) => "rewrite",
            Does::Measure(_) => "measure",
            Does::Expect(_) => "expect",
            Does::Save(_) => "save",
        }
    }

    /// What it does, for people.
    pub fn describe(&self) -> String {
        match &self.does {
            Does::Source => String::new(),
            Does::Work(work) => work.describe(),
            Does::Rewrite(rewriting) => rewriting.rewrite.describe(),
            Does::Measure(measuring) => measuring.text.clone(),
            Does::Expect(expecting) => expecting.text.clone(),
            Does::Save(saving) => saving.path.display().to_string(),
        }
    }

    /// What it reads and writes, by tree path. Rules go by nothing else.
    pub fn effect(&self) -> Effect {
        match &self.does {
            Does::Source => Effect::writes(Places::All),
            Does::Work(work) => Effect::reads(Places::of(work.reads())),
            Does::Rewrite(Rewriting { rewrite, .. }) => {
                let places = Places::of(rewrite.touches());
                Effect { reads: places.clone(), writes: places }
            }
            Does::Measure(Measuring { sites: Some(sites), .. }) => Effect::reads(Places::of(sites.clone())),
            Does::Measure(_) | Does::Save(_) => Effect::reads(Places::All),
            Does::Expect(_) => Effect::reads(Places::none()),
        }
    }

    /// Whether it makes a version.
    pub fn is_version(&self) -> bool {
        matches!(self.does, Does::Source | Does::Rewrite(_))
    }

    pub fn work(&self) -> Option<&Arc<dyn Work>> {
        match &self.does {
            Does::Work(work) => Some(work),
            _ => None,
        }
    }

    pub fn rewriting(&self) -> Option<&Rewriting> {
        match &self.does {
            Does::Rewrite(rewriting) => Some(rewriting),
            _ => None,
        }
    }

    pub fn rewriting_mut(&mut self) -> Option<&mut Rewriting> {
        match &mut self.does {
            Does::Rewrite(rewriting) => Some(rewriting),
            _ => None,
        }
    }

    pub(super) fn entries_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        let entries = match &mut self.does {
            Does::Save(saving) => Some(&mut saving.entries),
            _ => None,
        };
        entries.into_iter().flatten()
    }
}
