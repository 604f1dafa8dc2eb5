//! Texts that diagnostics point into: recipes, `use`d files, `--set` arguments, configs.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Identifies a [`Source`] in [`Sources`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(u32);

/// A half-open range of bytes of one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    pub source: SourceId,
    pub start: usize,
    pub end: usize,
}

impl Span {
    pub fn new(source: SourceId, start: usize, end: usize) -> Self {
        Self { source, start, end }
    }

    /// The smallest span that covers both. Both lie in the same source.
    pub fn to(self, other: Span) -> Span {
        debug_assert_eq!(self.source, other.source, "a span lies in one source");
        Span::new(self.source, self.start.min(other.start), self.end.max(other.end))
    }

    /// The empty span just behind this one.
    pub fn after(self) -> Span {
        Span::new(self.source, self.end, self.end)
    }

    pub fn len(self) -> usize {
        self.end - self.start
    }

    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// A place as people count: line and column from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// One text with a name to show to people (a path as it was given, or `--set`).
#[derive(Debug, Clone)]
pub struct Source {
    name: String,
    text: Arc<str>,
    line_starts: Vec<usize>,
}

impl Source {
    pub fn new(name: impl Into<String>, text: impl Into<Arc<str>>) -> Self {
        let text = text.into();
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { name: name.into(), text, line_starts }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Line and column of a byte offset; offsets past the end count as the end.
    pub fn place(&self, offset: usize) -> Place {
        let offset = offset.min(self.text.len());
        let line = self.line_starts.partition_point(|&start| start <= offset) - 1;
        let column = self.text[self.line_starts[line]..offset].chars().count() + 1;
        Place { line: line + 1, column }
    }

    /// The bytes of a line counted from 1, without its line break. A line past the end is empty.
    pub fn line(&self, number: usize) -> Range<usize> {
        let start = |line: usize| self.line_starts.get(line).copied();
        let begin = start(number.saturating_sub(1)).unwrap_or(self.text.len());
        let line = &self.text[begin..start(number).unwrap_or(self.text.len())];
        let bare = line.strip_suffix('\n').map_or(line, |line| line.strip_suffix('\r').unwrap_or(line));
        begin..begin + bare.len()
    }
}

/// All sources of one invocation. Ids are handed out in order and stay valid.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    sources: Vec<Source>,
}

impl Sources {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn add(&mut self, source: Source) -> SourceId {
        self.sources.push(source);
        SourceId(u32::try_from(self.sources.len() - 1).expect("fewer than 2^32 sources"))
    }

    pub fn get(&self, id: SourceId) -> &Source {
        &self.sources[id.0 as usize]
    }

    /// The text under a span.
    pub fn text(&self, span: Span) -> &str {
        &self.get(span.source).text()[span.start..span.end]
    }

    pub fn iter(&self) -> impl Iterator<Item = (SourceId, &Source)> {
        (0..).map(SourceId).zip(&self.sources)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_columns_in_characters() {
        let source = Source::new("x", "aé\nb");
        assert_eq!(source.place(3), Place { line: 1, column: 3 });
        assert_eq!(source.place(4), Place { line: 2, column: 1 });
        assert_eq!(source.place(99), Place { line: 2, column: 2 });
    }

    #[test]
    fn a_line_leaves_its_line_break_out() {
        let source = Source::new("x", "a\r\nbc\n");
        assert_eq!([1, 2, 3, 4].map(|line| source.line(line)), [0..1, 3..5, 6..6, 6..6]);
    }
}
