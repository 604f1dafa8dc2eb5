//! A recipe as far as it could be understood: what an editor asks about a text that is still being written.

use std::sync::Arc;

use super::names::Definition;
use super::{Checker, Settings, Typed, TypedModel, World};
use crate::diagnostic::Diagnostics;
use crate::graph::{Cost, Graph};
use crate::pass::Registry;
use crate::source::{SourceId, Sources, Span};
use crate::syntax::ast;

/// All that checking found out, whatever mistakes there are.
#[derive(Debug)]
pub struct Examined {
    pub recipe: ast::Recipe,
    /// There just where no diagnostic is an error.
    pub typed: Option<Typed>,
    pub diagnostics: Diagnostics,
    /// Names that statements define, in their order; those of `use`d files too.
    pub definitions: Vec<Definition>,
    /// The model at each statement that acts. A statement in a sweep is seen once for each value.
    pub seen: Vec<Seen>,
    /// The input model, where it could be opened.
    pub model: Option<TypedModel>,
}

/// The model around one statement.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The statement.
    pub span: Span,
    pub before: Arc<Graph>,
    pub cost_before: Cost,
    /// The model behind a step that could be done.
    pub after: Option<(Arc<Graph>, Cost)>,
}

/// Checks a recipe, and tells what was seen on the way.
pub fn examine(
    recipe: SourceId,
    settings: &Settings,
    world: &dyn World,
    registry: &Registry,
    sources: &mut Sources,
) -> Examined {
    let mut checker = Checker::new(settings, world, registry, sources);
    let (recipe, typed) = checker.recipe(recipe);
    let definitions = checker.scope.take_defined();
    let Checker { mut diagnostics, seen, model, .. } = checker;
    diagnostics.sort();
    let typed = typed.filter(|_| !diagnostics.has_errors());
    Examined { recipe, typed, diagnostics, definitions, seen, model }
}
