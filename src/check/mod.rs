//! Names, types and abstract execution: a recipe against a model's graph, without reading a weight.
//!
//! Each step is bound to its pass, lowered, and its effect is run on the graph, so that the next step sees the model as this
//! one leaves it. A recipe is judged from names, shapes and types alone; what needs a weight or a sample is left to the run.

mod examined;
mod expect;
mod measure_at;
mod measuring;
mod names;
mod save;
mod select;
mod statement;
mod step;
mod target;
mod typed;
mod uses;
mod value;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use examined::{Examined, Seen, examine};
pub use measure_at::DEFAULT_TOKENS;
pub use measuring::{Measuring, measures};
pub use names::{Defined, Definition};
pub use save::OPTIONS as SAVE_OPTIONS;
pub use typed::{
    Branch, ExpectBound, Item, MeasuredAt, Typed, TypedExpect, TypedMeasure, TypedModel, TypedSave, TypedStep,
};
pub use value::PARAM_TYPES;

use crate::diagnostic::{Code, Diagnostic, Diagnostics, codes};
use crate::graph::{Cost, Graph, Times};
use crate::pass::{CostBound, Reader, Registry};
use crate::source::{SourceId, Sources, Span};
use names::Scope;

/// Where texts and models come from: files for the command line, open documents for the editor.
pub trait World {
    /// The text of a file that a recipe `use`s, and the name to show for it; `from` is the name of the recipe.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn text(&self, path: &str, from: &str) -> Result<(String, String), String>;

    /// The graph of the model at a path, from config and headers.
    ///
    /// # Errors
    /// What is wrong with the model.
    fn model(&self, path: &Path, sources: &mut Sources) -> Result<OpenedModel, Diagnostics>;

    /// Whether a data set's files are as the recipe says, as far as a look tells.
    ///
    /// # Errors
    /// What is wrong with them.
    fn data(&self, reader: &dyn Reader) -> Result<(), Diagnostic>;

    /// Whether nobody waits for the result any more, as when the text was changed: what is left is not checked then.
    fn is_stale(&self) -> bool {
        false
    }
}

/// A model's graph, and where its config says each extent.
#[derive(Debug, Clone)]
pub struct OpenedModel {
    pub graph: Arc<Graph>,
    /// Spans of the values in `config.json`, by key.
    pub key_spans: BTreeMap<String, Span>,
}

/// What is asked for on the command line.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Texts of `--set`: `budget=50%`.
    pub set: Vec<String>,
    /// Stands in for the path of the `model` statement.
    pub model: Option<PathBuf>,
    /// Where a single `save` goes instead; several go below it, by their last name.
    pub out: Option<PathBuf>,
    /// Bytes of a weight file at most, where a `save` says nothing else.
    pub shard_size: Option<u64>,
}

/// Checks a recipe. Without errors there is a [`Typed`]; diagnostics may come with it.
pub fn check(
    recipe: SourceId,
    settings: &Settings,
    world: &dyn World,
    registry: &Registry,
    sources: &mut Sources,
) -> (Option<Typed>, Diagnostics) {
    let Examined { typed, diagnostics, .. } = examine(recipe, settings, world, registry, sources);
    (typed, diagnostics)
}

/// What checking carries along.
struct Checker<'a> {
    settings: &'a Settings,
    world: &'a dyn World,
    registry: &'a Registry,
    sources: &'a mut Sources,
    diagnostics: Diagnostics,
    scope: Scope,
    key_spans: BTreeMap<String, Span>,
    /// Extents that steps changed, in order.
    changes: Vec<Change>,
    /// Sites with an N:M pattern, and the step that made it.
    patterns: BTreeMap<String, Span>,
    at: Option<MeasuredAt>,
    /// Where the recipe states the number of tokens.
    tokens: Option<Span>,
    /// The table of times that it names, until the model has it, and where; none where it cannot be read.
    times: Option<(Option<Times>, Span)>,
    /// Params as used, for the record.
    params: Vec<(String, String)>,
    /// Texts of `--set`, and whether a `param` took them.
    set: Vec<(value::Setting, bool)>,
    model: Option<TypedModel>,
    saves: Vec<(PathBuf, Span)>,
    /// The model at each statement that acts.
    seen: Vec<Seen>,
    /// Where the syntax has mistakes.
    misread: Vec<Span>,
    /// The bytes of the statement that is checked, up to the end of its last line.
    statement: Range<usize>,
}

/// A step changed an axis.
#[derive(Debug, Clone)]
struct Change {
    axis: String,
    before: crate::graph::Extent,
    after: crate::graph::Extent,
    span: Span,
}

/// The model between two steps.
#[derive(Debug, Clone)]
struct State {
    graph: Arc<Graph>,
    /// What shapes alone say.
    of_shapes: Cost,
    /// The same within what steps promise.
    cost: Cost,
    bounds: Vec<CostBound>,
}

impl<'a> Checker<'a> {
    fn new(
        settings: &'a Settings,
        world: &'a dyn World,
        registry: &'a Registry,
        sources: &'a mut Sources,
    ) -> Self {
        Self {
            settings,
            world,
            registry,
            sources,
            diagnostics: Diagnostics::new(),
            scope: Scope::default(),
            key_spans: BTreeMap::new(),
            changes: Vec::new(),
            patterns: BTreeMap::new(),
            at: None,
            tokens: None,
            times: None,
            params: Vec::new(),
            set: Vec::new(),
            model: None,
            saves: Vec::new(),
            seen: Vec::new(),
            misread: Vec::new(),
            statement: 0..0,
        }
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        if !self.follows(&diagnostic) {
            self.diagnostics.push(diagnostic);
        }
    }

    /// Whether a diagnostic only follows from one that was reported: a name whose definition was refused, a clause that is
    /// missing in a step which has a mistake in its syntax.
    fn follows(&self, diagnostic: &Diagnostic) -> bool {
        let is = |code: &'static Code| std::ptr::eq(diagnostic.code, code);
        let Some(place) = &diagnostic.place else { return false };
        if is(&codes::UNKNOWN_NAME) {
            return self.scope.is_refused(self.sources.text(place.span));
        }
        // A value that could not be read is of no type.
        let is_unread = |at: &Span| {
            at.source == place.span.source && place.span.start <= at.start && at.start < place.span.end
        };
        if is(&codes::WRONG_TYPE) {
            return self.misread.iter().any(is_unread);
        }
        is(&codes::MISSING_CLAUSE) && self.misread.iter().any(|at| self.statement.contains(&at.start))
    }
}
