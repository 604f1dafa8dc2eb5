//! What can be done about diagnostics: their fixes as edits, one by one and all at once.

use super::Analysis;
use super::edit::Edit;
use crate::diagnostic::Diagnostic;
use crate::source::Span;

/// Edits under a title.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    pub title: String,
    pub edits: Vec<Edit>,
    /// The number of the diagnostic that it mends, in the order of the analysis; none where it mends several.
    pub mends: Option<usize>,
}

/// Actions for what is wrong in a part of the text.
pub fn actions(analysis: &Analysis, part: Span) -> Vec<Action> {
    let found = || analysis.examined.diagnostics.iter().enumerate();
    let touches = |span: Span| span.source == part.source && span.start <= part.end && part.start <= span.end;
    let single = found().filter(|(_, diagnostic)| place(diagnostic).is_some_and(touches));
    let mut actions: Vec<Action> =
        single.filter_map(|(number, diagnostic)| action(analysis, number, diagnostic)).collect();
    let all: Vec<Edit> = disjoint(found().filter_map(|(_, diagnostic)| edit(analysis, diagnostic)));
    if !actions.is_empty() && all.len() > 1 {
        actions.push(Action { title: format!("fix all {} mistakes", all.len()), edits: all, mends: None });
    }
    actions
}

fn place(diagnostic: &Diagnostic) -> Option<Span> {
    diagnostic.place.as_ref().map(|place| place.span)
}

fn edit(analysis: &Analysis, diagnostic: &Diagnostic) -> Option<Edit> {
    let fix = diagnostic.fix.as_ref().filter(|fix| fix.span.source == analysis.source)?;
    Some(Edit { start: fix.span.start, end: fix.span.end, text: fix.replacement.clone() })
}

fn action(analysis: &Analysis, number: usize, diagnostic: &Diagnostic) -> Option<Action> {
    let edit = edit(analysis, diagnostic)?;
    let old = &analysis.text()[edit.start..edit.end];
    let title = match (old.trim(), edit.text.trim()) {
        ("", new) => format!("insert `{new}`"),
        (old, "") => format!("remove `{}`", short(old)),
        (old, new) => format!("change `{}` to `{}`", short(old), short(new)),
    };
    Some(Action { title, edits: vec![edit], mends: Some(number) })
}

fn short(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(40) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

/// Edits in the order of the text, without those that touch one before them.
fn disjoint(edits: impl Iterator<Item = Edit>) -> Vec<Edit> {
    let mut all: Vec<Edit> = edits.collect();
    all.sort_by_key(|edit| (edit.start, edit.end));
    let mut kept: Vec<Edit> = Vec::new();
    for edit in all {
        if kept
            .last()
            .is_none_or(|last| last.end < edit.start || (last.end == edit.start && last.start < last.end))
        {
            kept.push(edit);
        }
    }
    kept
}
