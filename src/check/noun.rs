//! Nouns by name.

use super::Checker;
use crate::diagnostic::{Diagnostic, codes};
use crate::pass::{NOUNS, Noun};
use crate::syntax::ast;

impl Checker<'_> {
    /// The noun of that name; `None` after a diagnostic.
    pub(super) fn noun(&mut self, name: &ast::Name) -> Option<&'static Noun> {
        let found = Noun::named(&name.text);
        if found.is_none() {
            let message = format!("there is no noun `{}`", name.text);
            let names = NOUNS.iter().map(|noun| noun.name);
            let diagnostic = Diagnostic::at(&codes::UNKNOWN_NOUN, name.span, message);
            self.report(diagnostic.suggest(&name.text, name.span, names));
        }
        found
    }
}
