//! What a criterion is: scores of single weights, of units, or of both.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use super::argument::{Argument, Type, Wrong};
use super::context::Context;
use super::grouping::Grouping;
use super::lowering::{Statistics, Work};
use super::reader::Data;
use super::recovery::Recovery;
use super::registry::Registry;
use super::spec::{CriterionSpec, bind_call};
use super::tokens::{Layer, Reducing};
use super::value::{Value, ValueKind};
use crate::diagnostic::{Diagnostic, codes};
use crate::graph::Graph;
use crate::tensor::obs::Zeroing;
use crate::weights::{MaskRule, Reach};

/// Scores importance. Higher is kept.
pub trait Criterion: Debug + Send + Sync {
    /// As written, with arguments: `random(seed: 7)`. Equal texts are equal criteria.
    fn describe(&self) -> String;

    /// The data sets that it looks at the model with.
    fn data(&self) -> Vec<Data> {
        Vec::new()
    }

    /// Scores of single weights, if it has such; of a criterion that observes, their reach, until it has observed.
    fn elements(&self) -> Option<&dyn ElementScores> {
        None
    }

    /// Work that has to see the model at work before single weights can be scored, if there is any.
    fn observe(&self, _: &Asked<'_>) -> Option<Arc<dyn Work>> {
        None
    }

    /// The scores of single weights after that.
    fn observed(&self, _: &Statistics) -> Option<Arc<dyn ElementScores>> {
        None
    }

    /// Work that zeroes weights and changes the others to make up for it, if that is what the criterion does.
    fn reconstruct(&self, _: &Reconstructing<'_>) -> Option<Arc<dyn Work>> {
        None
    }

    /// Work that, once elements are chosen by their scores, exchanges some for others of their axis, if that is to be done.
    fn choose_anew(&self, _: &Graph, _axes: &[String]) -> Option<Arc<dyn Work>> {
        None
    }

    /// Work that says which elements of axes stay, where sets are compared rather than single elements scored.
    ///
    /// # Errors
    /// Why it cannot be done for so many, and what can.
    fn choose(&self, _: &Choosing<'_>) -> Result<Option<Arc<dyn Work>>, [String; 2]> {
        Ok(None)
    }

    /// How experts are put into groups that become one each, if that is what it says.
    fn grouping(&self) -> Option<Arc<dyn Grouping>> {
        None
    }

    /// Work that makes experts mixtures of all, as many as asked, and says how they are chosen, if that is what it does.
    fn mixing(&self, _: &Choosing<'_>) -> Option<Arc<dyn Work>> {
        None
    }

    /// Work that finds where the second of two chosen experts is left out, if that is what it says.
    fn skipping(&self, _: &Graph, _axes: &[String]) -> Option<Arc<dyn Work>> {
        None
    }

    /// Which tokens go on their way through layers, if that is what it says.
    fn reducing(&self) -> Option<Arc<dyn Reducing>> {
        None
    }

    /// Whether it takes matrices apart, as `factorize` asks for.
    fn decomposes(&self) -> bool {
        false
    }

    /// Work that takes weights apart by what comes through them; without, the weights alone decide.
    fn factorize(&self, _: &Factorizing<'_>) -> Option<Arc<dyn Work>> {
        None
    }

    /// How output projections make up for what was taken out, if that is what it says.
    fn recovery(&self) -> Option<Arc<dyn Recovery>> {
        None
    }

    /// Scores of heads, neurons, experts and other elements of axes, if it has such.
    fn units(&self) -> Option<&dyn UnitScores> {
        None
    }
}

/// Scores of the weights of a matrix, at least 0 and finite where the weights are.
pub trait ElementScores: Send + Sync {
    /// What a score depends on: the weight alone (`Inputs(1)`), or more of the matrix.
    fn reach(&self) -> Reach;

    /// Whether a score is the weight's absolute value, so that stored bits can be compared instead.
    fn is_magnitude(&self) -> bool {
        false
    }

    /// Whether scores compare within an output rather than within a matrix, so that `row` is their scope.
    fn compares_rows(&self) -> bool {
        false
    }

    /// Scores of consecutive weights, counted by rows of `[out, in]`, the first of number `first`, of the matrix at
    /// tree path `place`. Covers what `reach` asks for.
    fn score(&self, place: &str, first: usize, weights: &[f32], scores: &mut [f32]);
}

/// What is asked of a criterion that has to observe.
pub struct Asked<'a> {
    pub graph: &'a Graph,
    /// Paths of the weights to be scored.
    pub sites: &'a [String],
    /// How they will be masked, where each weight by itself says it: later layers then see the masked ones before them.
    pub mask: Option<Arc<dyn Masking>>,
}

/// What is asked of a criterion that makes up for what it zeroes.
pub struct Reconstructing<'a> {
    pub graph: &'a Graph,
    /// Paths of the weights.
    pub sites: &'a [String],
    pub zeroing: Zeroing,
}

/// What is asked of a criterion that takes weights apart.
pub struct Factorizing<'a> {
    pub graph: &'a Graph,
    /// The rank of each weight, by path.
    pub ranks: &'a BTreeMap<String, usize>,
}

/// What is asked of a criterion that chooses sets.
pub struct Choosing<'a> {
    pub graph: &'a Graph,
    /// How many elements of each axis stay, by path.
    pub keep: &'a BTreeMap<String, usize>,
}

/// A mask that follows from what was observed of one weight.
pub trait Masking: Debug + Send + Sync {
    fn rule(&self, seen: &Statistics) -> Arc<dyn MaskRule>;

    /// All that it depends on beside that.
    fn arguments(&self) -> serde_json::Value;
}

/// Scores of elements of axes. A score is what is lost when the element goes; scores of a set add up.
pub trait UnitScores: Send + Sync {
    /// Whether it has scores of elements of this noun.
    fn takes(&self, _noun: &str) -> bool {
        true
    }

    /// For each axis (by path) the score of each element, in order; the same whichever other axes are asked for.
    ///
    /// # Errors
    /// Where weights or samples cannot be read, or are not finite.
    fn score(&self, at: &Context<'_>, axes: &[String]) -> Result<BTreeMap<String, Vec<f64>>, Diagnostic>;
}

/// A criterion as an argument: `magnitude`, `random(seed: 7)`.
#[derive(Debug, Clone)]
pub struct Scorer {
    pub criterion: Arc<dyn Criterion>,
    pub spec: &'static CriterionSpec,
    pub value: Value,
}

impl Argument for Scorer {
    const TYPE: Type = Type { name: "criterion", doc: "a criterion such as `magnitude`", choices: &[] };

    fn read(value: &Value, registry: &Registry) -> Result<Self, Wrong> {
        let (name, name_span, args) = match &value.kind {
            ValueKind::Word(name) => (name, value.span, &[][..]),
            ValueKind::Call { name, name_span, args } => (name, *name_span, args.as_slice()),
            _ => return Err(Wrong::kind(value, "a criterion")),
        };
        let Some(spec) = registry.criterion(name) else {
            let message = format!("there is no criterion `{name}`");
            let names = registry.criteria.iter().map(|spec| spec.name);
            let unknown = Diagnostic::at(&codes::UNKNOWN_CRITERION, name_span, message);
            return Err(Wrong(unknown.suggest(name, name_span, names)));
        };
        match bind_call((spec.name, name_span), args, spec.arguments, registry, spec.bind) {
            Ok(criterion) => Ok(Self { criterion: criterion.into(), spec, value: value.clone() }),
            Err(found) => Err(Wrong(found.into_iter().next().expect("a failed binding says why"))),
        }
    }
}

impl Scorer {
    /// The scores of single weights, or why there are none.
    pub fn elements(&self) -> Result<&dyn ElementScores, Diagnostic> {
        self.criterion.elements().ok_or_else(|| self.cannot("weights"))
    }

    /// The scores of elements of axes, or why there are none.
    pub fn units(&self, noun: &str) -> Result<&dyn UnitScores, Diagnostic> {
        let units = self.criterion.units().ok_or_else(|| self.cannot(noun))?;
        if units.takes(noun) {
            return Ok(units);
        }
        let message = format!("`{}` cannot score {noun}", self.spec.name);
        Err(Diagnostic::at(&codes::CANNOT_SCORE, self.value.span, message)
            .help(format!("`tamis doc {}` says what it is for", self.spec.name)))
    }

    /// The criterion, if it takes matrices apart.
    pub fn decomposition(&self) -> Result<&dyn Criterion, Diagnostic> {
        match self.criterion.decomposes() {
            true => Ok(&*self.criterion),
            false => Err(self.unfit(format!("`{}` takes no matrices apart", self.spec.name))),
        }
    }

    /// How output projections make up for what was taken out, if the criterion says that.
    pub fn recovery(&self) -> Result<Arc<dyn Recovery>, Diagnostic> {
        let found = self.criterion.recovery();
        found.ok_or_else(|| self.unfit(format!("`{}` recovers nothing", self.spec.name)))
    }

    /// How experts are put into groups, if the criterion says that.
    pub fn grouping(&self) -> Result<Arc<dyn Grouping>, Diagnostic> {
        let found = self.criterion.grouping();
        found.ok_or_else(|| self.unfit(format!("`{}` puts no experts into groups", self.spec.name)))
    }

    /// Where the second of two chosen experts is left out, if the criterion says that.
    pub fn skipping(&self, graph: &Graph, axes: &[String]) -> Result<Arc<dyn Work>, Diagnostic> {
        let found = self.criterion.skipping(graph, axes);
        found.ok_or_else(|| self.unfit(format!("`{}` says nothing of gates", self.spec.name)))
    }

    /// Which tokens go, if the criterion says that: into others, or away.
    pub fn reducing(&self, merges: bool) -> Result<Arc<dyn Reducing>, Diagnostic> {
        let found = self.criterion.reducing();
        let found =
            found.ok_or_else(|| self.unfit(format!("`{}` says nothing of tokens", self.spec.name)))?;
        let probe = Layer { number: 0, of: 1, path: "" };
        match (merges, found.rule(&probe).merges()) {
            (true, false) => Err(self
                .unfit(format!("`{}` merges no tokens", self.spec.name))
                .help("it is for `drop tokens`")),
            (false, true) => Err(self
                .unfit(format!("`{}` drops no tokens", self.spec.name))
                .help("it is for `merge tokens`")),
            _ => Ok(found),
        }
    }

    fn cannot(&self, noun: &str) -> Diagnostic {
        self.unfit(format!("`{}` cannot score {noun}", self.spec.name))
    }

    fn unfit(&self, message: String) -> Diagnostic {
        let scores = match (self.criterion.elements(), self.criterion.units()) {
            (Some(_), _) => "it scores single weights",
            (_, Some(_)) => "it scores heads, neurons and other units",
            (None, None) if self.criterion.decomposes() => "it takes matrices apart, for `factorize`",
            (None, None) if self.criterion.grouping().is_some() => "it puts experts into groups, for `merge`",
            (None, None) if self.criterion.reducing().is_some() => "it says which tokens go",
            (None, None) if self.criterion.recovery().is_some() => "it fits outputs anew, for `recover`",
            (None, None) => "it scores nothing by itself",
        };
        Diagnostic::at(&codes::CANNOT_SCORE, self.value.span, message).help(scores)
    }
}
