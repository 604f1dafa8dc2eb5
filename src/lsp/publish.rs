//! Diagnostics as the editor is told them: with what led to them as related places.

use gen_lsp_types::{
    Code, Diagnostic, DiagnosticRelatedInformation, DiagnosticSeverity, DiagnosticTag, Location, Message,
    Range, Uri,
};
use tamis::diagnostic::{self, Severity, codes};
use tamis::ide::Analysis;

use super::convert::{Text, location};

/// All diagnostics of a check, in its order.
pub fn diagnostics(analysis: &Analysis, text: Text<'_>, uri: &Uri) -> Vec<Diagnostic> {
    let told = analysis.examined.diagnostics.iter().filter(|it| !is_for_others(analysis, it));
    told.map(|it| diagnostic(analysis, text, uri, it)).collect()
}

/// Whether all that is missing is the model, in a text of definitions for recipes that `use` it.
fn is_for_others(analysis: &Analysis, told: &diagnostic::Diagnostic) -> bool {
    use tamis::syntax::ast::StatementKind::{Data, Let, Param, Use};
    let statements = &analysis.examined.recipe.statements;
    let only_defines =
        statements.iter().all(|it| matches!(it.kind, Use { .. } | Param { .. } | Let { .. } | Data { .. }));
    std::ptr::eq(told.code, &codes::MODEL_STATEMENT) && only_defines && !statements.is_empty()
}

fn diagnostic(analysis: &Analysis, text: Text<'_>, uri: &Uri, told: &diagnostic::Diagnostic) -> Diagnostic {
    let place = |span| location(&analysis.sources, analysis.source, uri, span);
    let mut related: Vec<DiagnosticRelatedInformation> = Vec::new();
    let mut relate = |location: Option<Location>, message: &str| {
        related.extend(
            location.map(|location| DiagnosticRelatedInformation { location, message: message.into() }),
        );
    };
    let here = told.place.as_ref().filter(|place| place.span.source == analysis.source);
    // What is wrong in a config or in a used file shows where this recipe leads there.
    let range = match (here, &told.place) {
        (Some(here), _) => text.range(here.span.start, here.span.end),
        (None, Some(elsewhere)) => {
            relate(place(elsewhere.span), &told.message);
            leads(analysis, text, elsewhere.span)
        }
        (None, None) => first_line(text),
    };
    for label in &told.labels {
        relate(place(label.span), if label.text.is_empty() { "here" } else { &label.text });
    }
    let says = told.place.as_ref().map(|place| place.text.as_str()).filter(|text| !text.is_empty());
    let parts = std::iter::once(told.message.clone()).chain(says.map(String::from));
    let help = told.help.as_ref().map(|help| format!("help: {help}"));
    let message = parts.chain(help).collect::<Vec<_>>().join("\n");
    let unused = std::ptr::eq(told.code, &codes::UNUSED);
    Diagnostic {
        range,
        severity: Some(severity(told)),
        code: Some(Code::String(told.code.name.into())),
        source: Some("tamis".into()),
        message: Message::String(message),
        tags: unused.then(|| vec![DiagnosticTag::Unnecessary]),
        related_information: Some(related).filter(|related| !related.is_empty()),
        ..Default::default()
    }
}

/// What the command line is to say is no mistake while the recipe is written.
fn severity(told: &diagnostic::Diagnostic) -> DiagnosticSeverity {
    let left_open = [&codes::MODEL_UNSET, &codes::PARAM_UNSET];
    match told.severity {
        Severity::Error if left_open.iter().any(|code| std::ptr::eq(*code, told.code)) => {
            DiagnosticSeverity::Information
        }
        Severity::Error => DiagnosticSeverity::Error,
        Severity::Warning => DiagnosticSeverity::Warning,
        Severity::Note => DiagnosticSeverity::Information,
    }
}

/// The statement that leads to another file: the `use` of it, else the model.
fn leads(analysis: &Analysis, text: Text<'_>, elsewhere: tamis::source::Span) -> Range {
    use tamis::syntax::ast::StatementKind::{Model, Use};
    let name = analysis.sources.get(elsewhere.source).name();
    let statements = &analysis.examined.recipe.statements;
    let used = statements.iter().find(|it| match &it.kind {
        Use { path } => {
            path.literal().is_some_and(|path| name.ends_with(path.trim_start_matches(['.', '/'])))
        }
        _ => false,
    });
    let used = used
        .or_else(|| statements.iter().find(|it| matches!(it.kind, Use { .. }) && name.ends_with(".tamis")));
    let model = || statements.iter().find(|it| matches!(it.kind, Model { .. }));
    match used.or_else(model) {
        Some(statement) => text.range(statement.span.start, statement.span.end),
        None => first_line(text),
    }
}

fn first_line(text: Text<'_>) -> Range {
    let end = text.text.find('\n').unwrap_or(text.text.len());
    text.range(0, end)
}
