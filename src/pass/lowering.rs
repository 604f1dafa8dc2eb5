//! What a pass lowers to: work that finds something out, and a rewrite of the model that uses what was found.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::amount::CostMeasure;
use super::context::{Context, Findings};
use super::reader::Data;
use crate::diagnostic::Diagnostic;
use crate::graph::Graph;
use crate::tensor::Cut;
use crate::weights::Version;

/// The tasks of one step.
#[derive(Debug, Default)]
pub struct Lowering {
    /// In order; each stage's rewrite makes the version that the next one sees.
    pub stages: Vec<Stage>,
    /// What the result is bounded by, although which elements stay is not known yet.
    pub bound: Option<Bound>,
    /// Things that the user should know, errors among them.
    pub notes: Vec<Diagnostic>,
}

/// Zero or more pieces of work, each reading what the one before found, then a rewrite.
#[derive(Debug)]
pub struct Stage {
    pub work: Vec<Arc<dyn Work>>,
    pub rewrite: Arc<dyn Rewrite>,
}

/// A cost that a step promises not to exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    pub measure: CostMeasure,
    pub at_most: u64,
}

/// The kind of a piece of work; the words of `tamis plan`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkKind {
    Observe,
    Score,
    Select,
    Train,
}

/// Work that reads a model version, or what was found before, and finds something out.
///
/// Plain data: equal kinds, arguments and inputs are one task, whose finding is kept in the cache.
pub trait Work: Debug + Send + Sync {
    fn kind(&self) -> WorkKind;

    /// For people: `magnitude of 12 axes`.
    fn describe(&self) -> String;

    /// All that the finding depends on beside the version and earlier findings.
    fn arguments(&self) -> serde_json::Value;

    /// Tree paths of the sites or axes whose tensors it reads; empty where it reads findings alone.
    fn reads(&self) -> Vec<String>;

    /// The data sets that it reads. What they hold counts as an argument.
    fn data(&self) -> Vec<Data> {
        Vec::new()
    }

    /// The same work without some places, where leaving them out changes nothing for the others.
    fn without(&self, _gone: &BTreeSet<String>) -> Option<Arc<dyn Work>> {
        None
    }

    /// One work over the places of both, where each place's finding is what either alone would find.
    fn merged(&self, _other: &dyn Work) -> Option<Arc<dyn Work>> {
        None
    }

    /// Bytes that it holds at most while it runs, beside blocks of tensors; 0 where that is little.
    fn memory(&self, _graph: &Graph) -> u64 {
        0
    }

    /// Of what was found before it uses the places that it names itself: there may be more.
    ///
    /// # Errors
    /// Where weights or samples cannot be read or are not finite, or a target cannot be met after all.
    fn run(&self, at: &Context<'_>) -> Result<Finding, Diagnostic>;

    /// What the user should know of what was found: warnings and notes.
    fn remarks(&self, _version: &Version, _found: &Finding) -> Vec<Diagnostic> {
        Vec::new()
    }
}

/// A change of the model.
pub trait Rewrite: Debug + Send + Sync {
    /// For people: `keep 8 heads in 6 layers`.
    fn describe(&self) -> String;

    /// All that the result depends on beside the version and the finding.
    fn arguments(&self) -> serde_json::Value;

    /// Tree paths of the sites or axes that it changes.
    fn touches(&self) -> Vec<String>;

    /// The data sets that it reads, beside those of its stage's work.
    fn data(&self) -> Vec<Data> {
        Vec::new()
    }

    /// The same rewrite without some places; `None` where nothing is left or it cannot be divided.
    fn without(&self, _gone: &BTreeSet<String>) -> Option<Arc<dyn Rewrite>> {
        None
    }

    /// Elements of axes that it certainly takes out, by axis path: what was done to them before was in vain.
    fn removes(&self) -> BTreeMap<String, Vec<usize>> {
        BTreeMap::new()
    }

    /// One rewrite that does this and then the next, where neither needs a finding and that saves work: two slices of an axis.
    fn followed_by(&self, _next: &dyn Rewrite) -> Option<Arc<dyn Rewrite>> {
        None
    }

    /// Whether to compute a changed tensor takes much longer than to read it again, as a decomposition does.
    fn is_costly(&self) -> bool {
        false
    }

    /// Whether it means to end what earlier steps established, as `densify` does.
    fn releases(&self) -> bool {
        false
    }

    /// What it does to shapes and types. Reads no weight: extents become bounds where a choice depends on weights.
    fn effect(&self, graph: &mut Graph);

    /// What it does to a version, given what its stage's work found; there may be findings for more places than it has.
    ///
    /// # Errors
    /// Where the finding does not fit.
    fn apply(&self, version: &mut Version, found: Findings<'_>) -> Result<(), Diagnostic>;
}

/// What a piece of work found. Small, and kept in the cache.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// For each axis (by path) a score an element.
    UnitScores(BTreeMap<String, Vec<f64>>),
    /// The elements that stay.
    Kept(Kept),
    /// For each site (by path) where its scores are cut.
    Cuts(BTreeMap<String, Cut>),
    /// For each site (by path) the rank of its factors; sites that stay dense are not listed.
    Ranks(BTreeMap<String, usize>),
    /// For each axis of experts (by path) which of them become one.
    Groups(BTreeMap<String, Grouped>),
    /// Numbers about places, seen in the model at work.
    Statistics(Statistics),
    /// Tensors that were computed anew, in a directory of their own, by the numbers of their params; and how much of the
    /// output each layer lost, by path.
    Tensors { dir: PathBuf, lost: BTreeMap<String, f64> },
    /// Tensors that were trained, in a directory of their own, by the numbers of their params.
    Trained { dir: PathBuf, training: Box<Training> },
    /// Numbers about places, found by a training that leaves the weights as they are.
    Learned { numbers: Statistics, training: Box<Training> },
}

/// What there is to tell of a training. The same for any number of threads, and of a run that was stopped in between.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// The data set's name in the recipe, and its samples.
    pub on: String,
    pub samples: usize,
    /// Weights that were trained; those of adapters, where there are such. None where numbers of tokens were learned.
    pub weights: usize,
    /// All that it was done with, defaults among it.
    pub arguments: serde_json::Value,
    /// Steps that were taken, and how many it might have been: samples held out can end it.
    pub steps: usize,
    pub planned: usize,
    /// Mean losses, each over the steps since the one before.
    pub curve: Vec<Point>,
    /// Losses on samples that were held out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held_out: Vec<Point>,
    /// The step whose weights were kept, where samples were held out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<usize>,
    /// Where only some tensors had gradients: the share of the backward work of all that those chosen last took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backward: Option<f64>,
    /// Tensors that the loss does not depend on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub untouched: Vec<String>,
}

/// A loss after a step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    pub step: usize,
    pub loss: f64,
}

/// Which elements stay.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Kept {
    /// For each axis (by path) the elements that stay, ascending.
    pub stay: BTreeMap<String, Vec<usize>>,
    /// Under a budget what other budgets would have kept, the smallest first.
    pub curve: Vec<Traded>,
}

/// How much of all scores a cost buys.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Traded {
    /// What the whole model costs.
    pub cost: u64,
    /// The share of the sum of scores that stays.
    pub score: f64,
}

/// Experts of one layer in groups.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Grouped {
    /// For each expert the number of its group; groups are numbered by their first members.
    pub group_of: Vec<usize>,
    /// For each group the member that the others are aligned to: the one that was chosen most often.
    pub leaders: Vec<usize>,
    /// For each expert its weight in the mean of its group; these add up to 1 in each.
    pub shares: Vec<f64>,
}

impl Grouped {
    /// The members of each group.
    pub fn members(&self) -> Vec<Vec<usize>> {
        let of = |group| (0..self.group_of.len()).filter(move |&expert| self.group_of[expert] == group);
        (0..self.leaders.len()).map(|group| of(group).collect()).collect()
    }
}

/// For each place (by path) numbers that were seen there: of a site one for each input, of an axis one for each element.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Statistics(pub BTreeMap<String, Vec<f64>>);
