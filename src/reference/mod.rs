//! The registry as a manual: pages for `docs/reference`, texts for `tamis doc` and the editor, a JSON schema of steps.
//!
//! Nothing here is written a second time: a pass, criterion, measure, reader or family says it in its one definition.
//! By hand is only the frame of `language.md`, which describes the grammar.

mod entry;
mod language;
mod markdown;
mod schema;
mod signature;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use entry::{Entry, Kind, entries};
pub use markdown::prose;
pub use schema::schema;
pub use signature::{
    criterion as criterion_signature, field as field_signature, measure as measure_signature,
    pass as pass_signature, reader as reader_signature,
};

use crate::pass::Registry;

/// Pages of the reference, by file name.
pub fn manual(registry: &Registry) -> BTreeMap<&'static str, String> {
    let all = entries(registry);
    let mut pages = BTreeMap::from([("language.md", language::page(registry))]);
    for (kind, file, title, intro) in PAGES {
        let entries: Vec<&Entry> = all.iter().filter(|entry| entry.kind == kind).collect();
        if !entries.is_empty() {
            let sections = entries.iter().map(|entry| format!("\n## `{}`\n\n{}\n", entry.name, entry.text));
            pages.insert(file, format!("# {title}\n\n{intro}\n{}", sections.collect::<String>()));
        }
    }
    pages
}

/// Kinds with a file of their own: its name, its title and what it begins with.
const PAGES: [(Kind, &str, &str, &str); 6] = [
    (
        Kind::Verb,
        "passes.md",
        "Passes",
        "What a step can do. In a signature brackets hold what may be left out, and `= X` is what then holds.",
    ),
    (
        Kind::Noun,
        "nouns.md",
        "Nouns",
        "What steps act on. A noun stands for a role of axes or for weights, never for tensor names.",
    ),
    (
        Kind::Criterion,
        "criteria.md",
        "Criteria",
        "How importance is scored. What scores lowest goes first; a criterion knows no verb.",
    ),
    (
        Kind::Measure,
        "measures.md",
        "Measures",
        "Numbers of a model, for [`measure`](language.md#measure) and [`expect`](language.md#expect).",
    ),
    (Kind::Reader, "readers.md", "Data readers", "How samples are read, for [`data`](language.md#data)."),
    (
        Kind::Family,
        "families.md",
        "Families",
        "Architectures that tamis reads, each by its config and the headers of its files.",
    ),
];

/// All that is called `name`, for a terminal. `None` where nothing is.
pub fn page(registry: &Registry, name: &str) -> Option<String> {
    let all = entries(registry);
    let called = all.iter().filter(|entry| entry.name == name);
    let texts: Vec<String> = called
        .map(|entry| format!("{} `{name}`\n\n{}", entry.kind.words().0, markdown::plain(&entry.text)))
        .collect();
    (!texts.is_empty()).then(|| texts.join("\n"))
}

/// One line for each thing that has a page, by kind.
pub fn index(registry: &Registry) -> String {
    let all = entries(registry);
    let width = all.iter().map(|entry| entry.name.len()).max().unwrap_or(0);
    let line = |entry: &Entry| format!("  {:width$}  {}\n", entry.name, entry.summary.trim_end_matches('.'));
    let group = |kind: Kind| {
        let lines: String = all.iter().filter(|entry| entry.kind == kind).map(line).collect();
        (!lines.is_empty()).then(|| format!("{}\n{lines}", kind.words().1))
    };
    Kind::ALL.into_iter().filter_map(group).collect::<Vec<_>>().join("\n")
}

/// Every example of the reference: whose it is, and its text.
pub fn examples(registry: &Registry) -> Vec<(String, String)> {
    let frame = markdown::fences(&language::page(registry), "tamis");
    let frame = frame.into_iter().map(|text| ("language".to_string(), text));
    let entries = entries(registry).into_iter().filter(|entry| entry.kind != Kind::Statement);
    frame
        .chain(
            entries
                .flat_map(|entry| entry.examples().into_iter().map(move |text| (entry.name.clone(), text))),
        )
        .collect()
}
