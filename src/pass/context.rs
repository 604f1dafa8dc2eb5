//! What work sees while it runs, and what was found before it.

use std::path::Path;
use std::sync::Arc;

use super::lowering::{Finding, Statistics};
use super::progress::{Progress, Silent};
use super::reader::{Data, For, Samples, Sides, Takes};
use crate::diagnostic::Diagnostic;
use crate::graph::{Graph, Op};
use crate::weights::Version;

/// Where a piece of work stands.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The model as the steps before left it.
    pub version: &'a Version,
    /// The model that the recipe starts from.
    pub input: &'a Version,
    /// The directory of that model, with its tokenizer or preprocessor config.
    pub dir: &'a Path,
    /// What the stage's work found so far.
    pub found: Findings<'a>,
    pub progress: &'a dyn Progress,
    /// A directory that is not there yet, for a finding that is too large to be held.
    pub room: &'a Path,
    /// Whether the room and what lies beside it is there for the next run too.
    pub lasting: bool,
}

impl<'a> Context<'a> {
    /// A model by itself, which is its own input.
    pub fn of(version: &'a Version, dir: &'a Path) -> Self {
        Self {
            version,
            input: version,
            dir,
            found: Findings::default(),
            progress: &Silent,
            room: Path::new(""),
            lasting: false,
        }
    }

    /// The samples of a data set, as the model takes them.
    ///
    /// # Errors
    /// Where files are missing or not as they must be, or do not fit the model.
    pub fn samples(&self, data: &Data) -> Result<Samples, Diagnostic> {
        let graph = &self.input.graph;
        data.samples(&For {
            dir: self.dir,
            causal: is_causal(graph),
            positions: graph.most_tokens(),
            picture: picture(graph),
        })
    }
}

/// Whether a token sees only those before it: a language model.
pub fn is_causal(graph: &Graph) -> bool {
    let causal = |op: &Op| matches!(op, Op::Attention(attention) if attention.causal);
    graph.ops.node_weights().any(|node| causal(&node.op))
}

/// The pictures that a model takes.
fn picture(graph: &Graph) -> Option<Takes> {
    let pixels = graph.ops.node_weights().find(|node| node.op == Op::Pixels)?;
    let extents: Vec<usize> = pixels.value.iter().map(|dim| graph.dim_extent(dim)).collect();
    let &[channels, height, width] = extents.as_slice() else { return None };
    let least = graph.ops.node_weights().find_map(|node| match node.op {
        Op::GridPositions { patch, .. } => Some(patch),
        _ => None,
    });
    Some(Takes { channels, sides: least.map_or(Sides::Exactly([height, width]), Sides::AtLeast) })
}

/// What the works of a stage found, in their order; the last one counts where several say the same kind of thing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Findings<'a>(&'a [Arc<Finding>]);

impl<'a> Findings<'a> {
    pub fn new(found: &'a [Arc<Finding>]) -> Self {
        Self(found)
    }

    /// The last finding of a kind.
    pub fn find<T>(self, of: impl Fn(&'a Finding) -> Option<T>) -> Option<T> {
        self.0.iter().rev().find_map(|finding| of(finding))
    }

    /// The last finding, whatever it is.
    pub fn last(self) -> Option<&'a Finding> {
        self.0.last().map(|finding| &**finding)
    }

    /// What was observed.
    pub fn statistics(self) -> Option<&'a Statistics> {
        self.find(|finding| match finding {
            Finding::Statistics(numbers) | Finding::Learned { numbers, .. } => Some(numbers),
            _ => None,
        })
    }
}
