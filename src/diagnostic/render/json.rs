//! Diagnostics as JSON: plain objects for scripts and editors, lines and columns from 1.

use serde_json::{Value, json};

use super::path;
use crate::diagnostic::{Diagnostic, Diagnostics, Fix, Label};
use crate::source::{Sources, Span};

/// `[{code, severity, message, path, range, labels, help, fix}]`, `null` where there is none.
///
/// `labels` are all texts under a span: what the main place says comes first, then the causes.
pub fn json(diagnostics: &Diagnostics, sources: &Sources) -> Value {
    diagnostics.iter().map(|diagnostic| object(diagnostic, sources)).collect()
}

fn object(diagnostic: &Diagnostic, sources: &Sources) -> Value {
    let place = diagnostic.place.as_ref();
    let main = place.filter(|place| !place.text.is_empty());
    let labels: Vec<Value> =
        main.into_iter().chain(&diagnostic.labels).map(|label| labelled(label, sources)).collect();
    json!({
        "code": diagnostic.code.name,
        "severity": diagnostic.severity.to_string(),
        "message": diagnostic.message,
        "path": path(diagnostic, sources),
        "range": place.map(|place| range(place.span, sources)),
        "labels": labels,
        "help": diagnostic.help,
        "fix": diagnostic.fix.as_ref().map(|fix| edit(fix, sources)),
    })
}

fn labelled(label: &Label, sources: &Sources) -> Value {
    let path = sources.get(label.span.source).name();
    json!({ "path": path, "range": range(label.span, sources), "text": label.text })
}

fn edit(fix: &Fix, sources: &Sources) -> Value {
    let path = sources.get(fix.span.source).name();
    json!({ "path": path, "range": range(fix.span, sources), "replacement": fix.replacement })
}

fn range(span: Span, sources: &Sources) -> Value {
    let source = sources.get(span.source);
    let (start, end) = (source.place(span.start), source.place(span.end));
    json!({
        "start": { "line": start.line, "column": start.column },
        "end": { "line": end.line, "column": end.column },
    })
}
