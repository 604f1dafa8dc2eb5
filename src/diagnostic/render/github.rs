//! Diagnostics as workflow commands, which GitHub shows beside the lines of a pull request.

use super::path;
use crate::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::source::Sources;

/// A line a diagnostic: `::error file=…,line=…,title=…::message`.
pub fn github(diagnostics: &Diagnostics, sources: &Sources) -> String {
    diagnostics.iter().map(|diagnostic| command(diagnostic, sources)).collect()
}

fn command(diagnostic: &Diagnostic, sources: &Sources) -> String {
    let level = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "notice",
    };
    let mut properties: Vec<String> = Vec::new();
    if let Some(path) = path(diagnostic, sources) {
        properties.push(format!("file={}", property(&path)));
    }
    if let Some(place) = &diagnostic.place {
        let source = sources.get(place.span.source);
        let (start, end) = (source.place(place.span.start), source.place(place.span.end));
        properties.push(format!("line={},endLine={}", start.line, end.line));
        // Columns of another line are refused.
        if start.line == end.line {
            properties.push(format!("col={},endColumn={}", start.column, end.column));
        }
    }
    properties.push(format!("title={}", diagnostic.code.name));
    format!("::{level} {}::{}\n", properties.join(","), data(&message(diagnostic)))
}

/// The message with what is said at its place and how to mend it: an annotation shows one text.
fn message(diagnostic: &Diagnostic) -> String {
    let says = diagnostic.place.iter().map(|place| place.text.clone()).filter(|text| !text.is_empty());
    let help = diagnostic.help.iter().map(|help| format!("help: {help}"));
    std::iter::once(diagnostic.message.clone()).chain(says).chain(help).collect::<Vec<_>>().join("\n")
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::codes;
    use crate::source::{Source, Span};

    #[test]
    fn a_mistake_becomes_one_line() {
        let mut sources = Sources::new();
        let source = sources.add(Source::new("a,b.tamis", "prune x\n"));
        let mut all = Diagnostics::new();
        let at = Diagnostic::at(&codes::UNKNOWN_NOUN, Span::new(source, 6, 7), "50% of\nthis");
        all.push(at.says("here").help("use `heads`"));
        all.push(Diagnostic::new(&codes::MODEL_MISSING, "gone").path("m:1"));
        let expected = "::error file=a%2Cb.tamis,line=1,endLine=1,col=7,endColumn=8,title=unknown-noun::50%25 of%0Athis%0Ahere%0Ahelp: use `heads`\n\
                        ::error file=m%3A1,title=model-missing::gone\n";
        assert_eq!(github(&all, &sources), expected);
    }
}
