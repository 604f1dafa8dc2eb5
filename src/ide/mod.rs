//! What an editor asks about a recipe, as plain data: offsets into texts, no protocol.
//!
//! [`analyse`] checks a text as far as it can be understood; everything else reads the [`Analysis`]. What is said of verbs,
//! criteria, options and the like comes from their definitions in the registry, and sizes come from the graph of the model at
//! hand, as the steps above left it.
//!
//! A text that is being written rarely parses. What is asked about a cursor is therefore answered from the words before it
//! (`cursor.rs`), and what is asked about the whole text from its tree, which leaves out no more than a broken statement.

mod action;
mod callee;
mod complete;
mod cursor;
mod edit;
mod hint;
mod hover;
mod mention;
mod name;
mod outline;
mod selector;
mod signature;
mod token;

pub use action::{Action, actions};
pub use complete::{Completion, CompletionKind, Listed, Shelf, complete};
pub use edit::{Edit, edits, format, format_range};
pub use hint::{Hint, hints, lens, plan_text};
pub use hover::{Hover, hover};
pub use name::{NotRenamed, definition, references, renamable, rename};
pub use outline::{Fold, FoldKind, Symbol, SymbolKind, folds, symbols};
pub use signature::{Signature, signature};
pub use token::{Token, TokenKind, tokens};

use std::sync::Arc;

use crate::check::{self, Examined, Seen, Settings, World};
use crate::graph::Graph;
use crate::pass::Registry;
use crate::source::{Source, SourceId, Sources};

/// One version of a text, checked.
#[derive(Debug)]
pub struct Analysis {
    pub sources: Sources,
    pub source: SourceId,
    pub examined: Examined,
    pub registry: &'static Registry,
}

/// Checks a text. `name` is the path that files which it `use`s are found from.
pub fn analyse(
    name: &str,
    text: Arc<str>,
    settings: &Settings,
    world: &dyn World,
    registry: &'static Registry,
) -> Analysis {
    let mut sources = Sources::new();
    let source = sources.add(Source::new(name, text));
    let examined = check::examine(source, settings, world, registry, &mut sources);
    Analysis { sources, source, examined, registry }
}

impl Analysis {
    pub fn text(&self) -> &str {
        self.sources.get(self.source).text()
    }

    /// The model that a statement around `offset` sees, or that one written there would see.
    fn graph_at(&self, offset: usize) -> Option<&Arc<Graph>> {
        let seen = &self.examined.seen;
        let holds = |seen: &&Seen| seen.span.start <= offset && offset <= seen.span.end;
        if let Some(around) = seen.iter().find(holds) {
            return Some(&around.before);
        }
        let above = seen.iter().rfind(|seen| seen.span.end < offset);
        match above {
            Some(Seen { after: Some((graph, _)), .. }) => Some(graph),
            Some(Seen { before, .. }) => Some(before),
            None => self.examined.model.as_ref().map(|model| &model.graph),
        }
    }
}
