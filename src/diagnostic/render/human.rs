//! Diagnostics as a person reads them: message, source with carets, labels, help, and a count.

use std::fmt;

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents, SourceCode,
    SourceSpan, SpanContents, ThemeCharacters, ThemeStyles,
};

use super::excerpt::{Excerpt, Mark, clean, excerpts};
use crate::diagnostic::{Diagnostic, Diagnostics, Severity};
use crate::source::Sources;

/// How to write for a terminal, a file or a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    pub colour: bool,
    /// Columns to fill.
    pub width: usize,
}

impl Default for Style {
    fn default() -> Self {
        Self { colour: false, width: 100 }
    }
}

/// All diagnostics and how many they are. Empty where there are none.
pub fn human(diagnostics: &Diagnostics, sources: &Sources, style: Style) -> String {
    let style = Style { width: style.width.max(40), ..style };
    let mut text: String =
        diagnostics.iter().map(|diagnostic| one(diagnostic, sources, style) + "\n").collect();
    if !diagnostics.is_empty() {
        text.push_str(&counts(diagnostics));
        text.push('\n');
    }
    text
}

fn one(diagnostic: &Diagnostic, sources: &Sources, style: Style) -> String {
    let severity = diagnostic.severity;
    let code = paint(&format!("{severity}[{}]", diagnostic.code.name), colour(severity), style);
    let mut text = format!("{code}{}\n", paint(&format!(": {}", clean(&diagnostic.message)), "1", style));
    for excerpt in excerpts(diagnostic, sources, style.width - 10) {
        text.push_str(&draw(&excerpt, severity, style));
    }
    let named = diagnostic.place.as_ref().map(|place| sources.get(place.span.source).name());
    let path = diagnostic.path.as_ref().map(|path| path.display().to_string());
    if let Some(path) = path.filter(|path| named != Some(path)) {
        text.push_str(&format!("  --> {}\n", clean(&path)));
    }
    if let Some(help) = &diagnostic.help {
        let lines = wrap(&clean(help), style.width - 8).join("\n        ");
        text.push_str(&format!("  {} {lines}\n", paint("help:", "36", style)));
    }
    text
}

/// "2 errors, 1 warning".
fn counts(diagnostics: &Diagnostics) -> String {
    let count = |severity: Severity| {
        let count = diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count();
        (count > 0).then(|| format!("{count} {severity}{}", if count == 1 { "" } else { "s" }))
    };
    let counts: Vec<String> =
        [Severity::Error, Severity::Warning, Severity::Note].into_iter().filter_map(count).collect();
    counts.join(", ")
}

/// Draws the frame, the lines and the carets with miette, which knows how labels of one line share the space below it.
fn draw(excerpt: &Excerpt, severity: Severity, style: Style) -> String {
    let handler = GraphicalReportHandler::new_themed(theme(excerpt, severity, style)).with_links(false);
    let frame = Frame { excerpt, width: style.width };
    let mut drawn = String::new();
    handler.render_report(&mut drawn, &frame).expect("the marks of an excerpt lie inside it");
    // Our own header stands above: the line that miette gives to the message is empty. Its frame is set in by one
    // column and closed by four bars, where ours starts at the margin and is closed by one.
    let lines = drawn.trim_end().lines().skip(1);
    let lines: Vec<&str> = lines.map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end()).collect();
    format!("{}─\n", lines.join("\n").trim_end_matches('─'))
}

fn theme(excerpt: &Excerpt, severity: Severity, style: Style) -> GraphicalTheme {
    let mut styles = if style.colour { ThemeStyles::ansi() } else { ThemeStyles::none() };
    let loud = match severity {
        Severity::Error => styles.error,
        Severity::Warning => styles.warning,
        Severity::Note => styles.advice,
    };
    styles.highlights =
        excerpt.marks.iter().map(|mark| if mark.main { loud } else { styles.advice }).collect();
    let none = String::new;
    let characters =
        ThemeCharacters { error: none(), warning: none(), advice: none(), ..ThemeCharacters::unicode() };
    GraphicalTheme { characters, styles }
}

/// An excerpt as miette asks for it.
#[derive(Debug)]
struct Frame<'a> {
    excerpt: &'a Excerpt,
    width: usize,
}

impl Frame<'_> {
    fn label(&self, mark: &Mark) -> LabeledSpan {
        let before = &self.excerpt.text[..mark.range.start];
        let column = before.chars().rev().take_while(|&char| char != '\n').count() + 12;
        let text = wrap(&clean(&mark.label), self.width.saturating_sub(column).max(30)).join("\n");
        let span = SourceSpan::from(mark.range.clone());
        match mark.main {
            true => LabeledSpan::new_primary_with_span((!text.is_empty()).then_some(text), span),
            false => LabeledSpan::new_with_span((!text.is_empty()).then_some(text), span),
        }
    }
}

impl SourceCode for Frame<'_> {
    /// miette asks without context for the place in the frame's title, and with context for the lines.
    fn read_span<'a>(
        &'a self,
        _: &SourceSpan,
        context_before: usize,
        _: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let Excerpt { name, text, first_line, place, .. } = self.excerpt;
        let (line, column) = if context_before == 0 { (place.line, place.column) } else { (*first_line, 1) };
        Ok(Box::new(MietteSpanContents::new_named(
            clean(name),
            text.as_bytes(),
            (0, text.len()).into(),
            line - 1,
            column - 1,
            text.lines().count(),
        )))
    }
}

impl miette::Diagnostic for Frame<'_> {
    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(self)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.excerpt.marks.iter().map(|mark| self.label(mark))))
    }
}

impl std::error::Error for Frame<'_> {}

impl fmt::Display for Frame<'_> {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

/// Lines of at most `width` characters; a longer word keeps a line for itself.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
                lines.push(std::mem::take(&mut line));
            } else if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

fn colour(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "1;31",
        Severity::Warning => "1;33",
        Severity::Note => "1;36",
    }
}

fn paint(text: &str, ansi: &str, style: Style) -> String {
    if style.colour { format!("\x1b[{ansi}m{text}\x1b[0m") } else { text.to_owned() }
}
