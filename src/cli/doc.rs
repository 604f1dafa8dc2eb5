//! `tamis doc`: the reference of everything that a recipe can say.

use serde_json::json;
use tamis::diagnostic::{Diagnostic, Diagnostics, codes};
use tamis::reference::{self, Entry};

use super::answer::{Answer, Format, Session};

/// Tell what a word of the language means; without one, list them all
#[derive(Debug, clap::Args)]
pub struct Doc {
    /// A verb, noun, criterion, measure, statement, clause, type or family
    name: Option<String>,
    /// The form of the answer
    #[arg(long, default_value = "human", value_parser = Format::any_of(["human", "json"]))]
    pub format: Format,
}

impl Doc {
    pub fn run(&self, _: &mut Session) -> Result<Answer, Diagnostics> {
        let entries = reference::entries(&tamis::REGISTRY);
        let called = |entry: &&Entry| self.name.as_ref().is_none_or(|name| entry.name == *name);
        if !entries.iter().any(|entry| called(&entry)) {
            return Err(unknown(self.name.as_deref().unwrap_or_default(), &entries).into());
        }
        Ok(match (self.format, &self.name) {
            (Format::Json, _) => {
                let entries: Vec<_> = entries.iter().filter(called).map(object).collect();
                Answer::fields(json!({ "entries": entries }))
            }
            (_, None) => Answer::Text(reference::index(&tamis::REGISTRY)),
            (_, Some(name)) => Answer::Text(reference::page(&tamis::REGISTRY, name).unwrap_or_default()),
        })
    }
}

fn object(entry: &Entry) -> serde_json::Value {
    let Entry { kind, name, summary, text } = entry;
    json!({ "kind": kind.words().0, "name": name, "summary": summary, "text": text })
}

fn unknown(name: &str, entries: &[Entry]) -> Diagnostic {
    let unknown = Diagnostic::new(&codes::UNKNOWN_ENTRY, format!("nothing is called `{name}`"));
    match tamis::diagnostic::nearest(name, entries.iter().map(|entry| entry.name.as_str())) {
        Some(near) => unknown.help(format!("did you mean `{near}`?")),
        None => unknown.help("`tamis doc` lists all names"),
    }
}
