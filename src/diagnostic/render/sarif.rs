//! Diagnostics as a SARIF 2.1.0 log, the form that code hosts show beside the lines of a change.

use std::fmt::Write;

use serde_json::{Value, json};

use super::path;
use crate::diagnostic::explain::page;
use crate::diagnostic::{Code, Diagnostic, Diagnostics, Fix, Label};
use crate::source::{Sources, Span};

/// A log with one run. Its rules are the codes that occur, in the order of their first result.
pub fn sarif(diagnostics: &Diagnostics, sources: &Sources) -> Value {
    let mut codes: Vec<&Code> = Vec::new();
    let results: Vec<Value> =
        diagnostics.iter().map(|diagnostic| result(diagnostic, sources, &mut codes)).collect();
    let rules: Vec<Value> = codes.into_iter().map(rule).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "tamis",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn rule(code: &Code) -> Value {
    json!({
        "id": code.name,
        "fullDescription": { "text": page(code) },
        "defaultConfiguration": { "level": code.severity.to_string() },
    })
}

fn result(diagnostic: &Diagnostic, sources: &Sources, codes: &mut Vec<&'static Code>) -> Value {
    let index = codes.iter().position(|&code| code == diagnostic.code).unwrap_or_else(|| {
        codes.push(diagnostic.code);
        codes.len() - 1
    });
    let related: Vec<Value> = diagnostic.labels.iter().map(|label| cause(label, sources)).collect();
    let fixes: Vec<Value> = diagnostic.fix.iter().map(|fix| change(fix, sources)).collect();
    json!({
        "ruleId": diagnostic.code.name,
        "ruleIndex": index,
        "level": diagnostic.severity.to_string(),
        "message": { "text": message(diagnostic) },
        "locations": location(diagnostic, sources).into_iter().collect::<Vec<_>>(),
        "relatedLocations": related,
        "fixes": fixes,
    })
}

/// A viewer shows one text for a result: message, label and help in one.
fn message(diagnostic: &Diagnostic) -> String {
    let mut text = diagnostic.message.clone();
    if let Some(place) = diagnostic.place.as_ref().filter(|place| !place.text.is_empty()) {
        text = format!("{text}\n{}", place.text);
    }
    match &diagnostic.help {
        Some(help) => format!("{text}\nhelp: {help}"),
        None => text,
    }
}

fn location(diagnostic: &Diagnostic, sources: &Sources) -> Option<Value> {
    let physical = match &diagnostic.place {
        Some(place) => physical(place.span, sources),
        None => json!({ "artifactLocation": { "uri": uri(&path(diagnostic, sources)?) } }),
    };
    Some(json!({ "physicalLocation": physical }))
}

fn cause(label: &Label, sources: &Sources) -> Value {
    json!({
        "physicalLocation": physical(label.span, sources),
        "message": { "text": label.text },
    })
}

fn change(fix: &Fix, sources: &Sources) -> Value {
    json!({ "artifactChanges": [{
        "artifactLocation": { "uri": uri(sources.get(fix.span.source).name()) },
        "replacements": [{
            "deletedRegion": region(fix.span, sources),
            "insertedContent": { "text": fix.replacement },
        }],
    }] })
}

fn physical(span: Span, sources: &Sources) -> Value {
    json!({
        "artifactLocation": { "uri": uri(sources.get(span.source).name()) },
        "region": region(span, sources),
    })
}

fn region(span: Span, sources: &Sources) -> Value {
    let source = sources.get(span.source);
    let (start, end) = (source.place(span.start), source.place(span.end));
    json!({
        "startLine": start.line, "startColumn": start.column,
        "endLine": end.line, "endColumn": end.column,
    })
}

/// A path as a URI reference: relative ones stay relative, everything unusual is percent-encoded.
fn uri(path: &str) -> String {
    let mut uri = String::from(if path.starts_with('/') { "file://" } else { "" });
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(char::from(byte));
            }
            _ => write!(uri, "%{byte:02X}").expect("a string takes all text"),
        }
    }
    uri
}
