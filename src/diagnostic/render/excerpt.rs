//! Excerpts: the few lines of a source that its labels need, cut to what a terminal can show.

use std::ops::Range;

use crate::diagnostic::{Diagnostic, Label};
use crate::source::{Place, Source, SourceId, Sources};

/// Labels at most so many lines apart share an excerpt.
const NEAR: usize = 2;
/// A span over more lines than this is marked in its first line only.
const TALL: usize = 6;
/// Characters shown before the first label of a line that must be cut.
const LEAD: usize = 20;

/// Neighbouring lines of one source, copied, with the labels that lie in them.
#[derive(Debug)]
pub struct Excerpt {
    pub name: String,
    /// Whole lines, each with its line break, no character of which moves the cursor.
    pub text: String,
    pub first_line: usize,
    /// Where the most important label starts in the source.
    pub place: Place,
    pub marks: Vec<Mark>,
}

/// A label of an excerpt.
#[derive(Debug)]
pub struct Mark {
    /// Bytes of the excerpt's text.
    pub range: Range<usize>,
    pub label: String,
    pub main: bool,
}

/// Everything a diagnostic points at: the excerpt of its main place first, then by source and line.
///
/// Labels that overlap come in excerpts of their own, because carets can not.
pub fn excerpts(diagnostic: &Diagnostic, sources: &Sources, width: usize) -> Vec<Excerpt> {
    let main = diagnostic.place.iter().map(|label| Reach::new(label, true, sources));
    let others = diagnostic.labels.iter().map(|label| Reach::new(label, false, sources));
    let mut reaches: Vec<Reach> = main.chain(others).collect();
    reaches.sort_by_key(|reach| (reach.source, reach.range.start, reach.range.end));
    let mut groups: Vec<&[Reach]> = reaches.chunk_by(Reach::is_followed_by).collect();
    groups.sort_by_key(|group| !group.iter().any(|reach| reach.main));
    groups.into_iter().map(|group| cut(sources.get(group[0].source), group, width)).collect()
}

/// A label with the lines it reaches over.
struct Reach<'a> {
    source: SourceId,
    range: Range<usize>,
    lines: Range<usize>,
    text: &'a str,
    main: bool,
}

impl<'a> Reach<'a> {
    fn new(label: &'a Label, main: bool, sources: &Sources) -> Self {
        let source = sources.get(label.span.source);
        let mut range = sound(label.span.start..label.span.end, source.text());
        let mut lines = source.place(range.start).line..source.place(range.end).line + 1;
        if lines.len() > TALL {
            range.end = source.line(lines.start).end.max(range.start);
            lines.end = lines.start + 1;
        }
        Self { source: label.span.source, range, lines, text: &label.text, main }
    }

    fn is_followed_by(&self, next: &Self) -> bool {
        self.source == next.source
            && self.range.end <= next.range.start
            && self.range != next.range
            && next.lines.start < self.lines.end + NEAR
    }
}

/// A range that lies inside the text, on characters, without the line breaks and spaces at its end.
fn sound(range: Range<usize>, text: &str) -> Range<usize> {
    let start = text.floor_char_boundary(range.start.min(text.len()));
    let end = text.ceil_char_boundary(range.end.clamp(start, text.len()));
    match text[start..end].trim_end().len() {
        0 => start..start,
        length => start..start + length,
    }
}

fn cut(source: &Source, group: &[Reach], width: usize) -> Excerpt {
    let lines = group[0].lines.start..group.iter().map(|reach| reach.lines.end).max().unwrap_or(0);
    let first_line = lines.start;
    let mut text = String::new();
    let mut pieces = Vec::new();
    for line in lines {
        let line = source.line(line);
        let kept = window(source.text(), &line, group, width);
        text.push_str(if kept.start > line.start { "…" } else { "" });
        pieces.push((line.start, kept.clone(), text.len()));
        text.extend(source.text()[kept.clone()].chars().map(visible));
        text.push_str(if kept.end < line.end { "…" } else { "" });
        text.push('\n');
    }
    let moved = |offset: usize| {
        let index = pieces.partition_point(|(start, ..)| *start <= offset).saturating_sub(1);
        let (_, kept, at) = &pieces[index];
        at + offset.clamp(kept.start, kept.end) - kept.start
    };
    let mark = |reach: &Reach| Mark {
        range: moved(reach.range.start)..moved(reach.range.end),
        label: reach.text.to_owned(),
        main: reach.main,
    };
    let marks = group.iter().map(mark).collect();
    let main = group.iter().find(|reach| reach.main).unwrap_or(&group[0]);
    let place = source.place(main.range.start);
    Excerpt { name: source.name().to_owned(), text, first_line, place, marks }
}

/// The part of a line to show: all of it, or as much as fits around its first label.
fn window(text: &str, line: &Range<usize>, group: &[Reach], width: usize) -> Range<usize> {
    let whole = &text[line.clone()];
    if whole.chars().nth(width).is_none() {
        return line.clone();
    }
    let starts = group.iter().map(|reach| reach.range.start);
    let first = starts.filter(|start| (line.start..=line.end).contains(start)).min().unwrap_or(line.start);
    let before = text[line.start..first].chars().count();
    let offset =
        |chars: usize| whole.char_indices().nth(chars).map_or(line.end, |(offset, _)| line.start + offset);
    let begin = before.saturating_sub(LEAD);
    offset(begin)..offset(begin + width)
}

/// The character, or one of the same length in its place where it could move the cursor or hide others.
fn visible(char: char) -> char {
    let harmless = char == '\t' || !(char.is_control() || is_directional(char));
    match char.len_utf8() {
        _ if harmless => char,
        1 => '?',
        2 => '·',
        _ => char::REPLACEMENT_CHARACTER,
    }
}

/// Marks that reorder the text around them, and line separators.
fn is_directional(char: char) -> bool {
    matches!(char, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text of a message, safe for a terminal.
pub fn clean(text: &str) -> String {
    text.chars().map(|char| if char == '\n' { char } else { visible(char) }).collect()
}
