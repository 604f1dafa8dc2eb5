//! Diagnostics as text for people, as JSON, as SARIF and as annotations of GitHub.

mod excerpt;
mod github;
mod human;
mod json;
mod sarif;
#[cfg(test)]
mod tests;

pub use github::github;
pub use human::{Style, human};
pub use json::json;
pub use sarif::sarif;

use super::Diagnostic;
use crate::source::Sources;

/// What a diagnostic is about: the source it points into, else the path it names.
fn path(diagnostic: &Diagnostic, sources: &Sources) -> Option<String> {
    let place = diagnostic.place.as_ref().map(|place| sources.get(place.span.source).name().to_owned());
    place.or_else(|| diagnostic.path.as_ref().map(|path| path.display().to_string()))
}
