//! Edits of a text, and those that bring it into canonical layout.

use super::Analysis;
use crate::diagnostic::Severity;
use crate::syntax;

/// Bytes of a text, and what stands there instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    pub start: usize,
    pub end: usize,
    pub text: String,
}

impl Edit {
    /// The text after some edits, which do not overlap.
    pub fn apply(edits: &[Edit], text: &str) -> String {
        let mut edits: Vec<&Edit> = edits.iter().collect();
        edits.sort_by_key(|edit| std::cmp::Reverse((edit.start, edit.end)));
        let mut text = text.to_owned();
        edits.iter().for_each(|edit| text.replace_range(edit.start..edit.end, &edit.text));
        text
    }
}

/// Edits that format the whole text; none where the syntax has errors, which a formatter could only make worse.
pub fn format(analysis: &Analysis) -> Vec<Edit> {
    let text = analysis.text();
    if parse_errors(analysis) {
        return Vec::new();
    }
    edits(text, &syntax::format_parsed(text, &analysis.examined.recipe))
}

/// The edits of [`format()`] that touch a part of the text.
pub fn format_range(analysis: &Analysis, start: usize, end: usize) -> Vec<Edit> {
    let touches = |edit: &Edit| edit.start <= end && start <= edit.end;
    format(analysis).into_iter().filter(touches).collect()
}

fn parse_errors(analysis: &Analysis) -> bool {
    let mut found = crate::diagnostic::Diagnostics::new();
    syntax::parse(analysis.source, analysis.text(), &mut found);
    found.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
}

/// Edits of whole lines that make one text of another: a longest common subsequence of lines stays.
pub fn edits(old: &str, new: &str) -> Vec<Edit> {
    let (before, after): (Vec<&str>, Vec<&str>) =
        (old.split_inclusive('\n').collect(), new.split_inclusive('\n').collect());
    let head = before.iter().zip(&after).take_while(|(left, right)| left == right).count();
    let tail = before[head..].iter().rev().zip(after[head..].iter().rev());
    let tail = tail.take_while(|(left, right)| left == right).count();
    let middle = (&before[head..before.len() - tail], &after[head..after.len() - tail]);
    let mut start = before[..head].iter().map(|line| line.len()).sum();
    // A table of a thousand lines squared is as much as is worth it; beyond, the middle is one edit.
    if middle.0.len() * middle.1.len() > 1 << 20 {
        let end = start + middle.0.iter().map(|line| line.len()).sum::<usize>();
        return vec![Edit { start, end, text: middle.1.concat() }];
    }
    let mut edits: Vec<Edit> = Vec::new();
    for change in changes(middle.0, middle.1) {
        match change {
            Change::Same(line) => start += line.len(),
            Change::Gone(line) => {
                let end = start + line.len();
                match edits.last_mut().filter(|last| last.end == start) {
                    Some(last) => last.end = end,
                    None => edits.push(Edit { start, end, text: String::new() }),
                }
                start = end;
            }
            Change::New(line) => match edits.last_mut().filter(|last| last.end == start) {
                Some(last) => last.text.push_str(line),
                None => edits.push(Edit { start, end: start, text: line.to_owned() }),
            },
        }
    }
    edits
}

enum Change<'a> {
    Same(&'a str),
    Gone(&'a str),
    New(&'a str),
}

fn changes<'a>(before: &[&'a str], after: &[&'a str]) -> Vec<Change<'a>> {
    let (rows, columns) = (before.len(), after.len());
    // Lengths of common subsequences of what is left of both.
    let mut longest = vec![vec![0_u32; columns + 1]; rows + 1];
    for row in (0..rows).rev() {
        for column in (0..columns).rev() {
            longest[row][column] = match before[row] == after[column] {
                true => longest[row + 1][column + 1] + 1,
                false => longest[row + 1][column].max(longest[row][column + 1]),
            };
        }
    }
    let (mut row, mut column) = (0, 0);
    let mut changes = Vec::new();
    while row < rows || column < columns {
        if row < rows && column < columns && before[row] == after[column] {
            changes.push(Change::Same(before[row]));
            (row, column) = (row + 1, column + 1);
        } else if column == columns || (row < rows && longest[row + 1][column] >= longest[row][column + 1]) {
            changes.push(Change::Gone(before[row]));
            row += 1;
        } else {
            changes.push(Change::New(after[column]));
            column += 1;
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_touch_only_lines_that_differ() {
        let (old, new) = ("a\nb\nc\nd", "a\nB\nc\nd\n");
        let edits = edits(old, new);
        assert_eq!(edits.iter().map(|edit| (edit.start, edit.end)).collect::<Vec<_>>(), [(2, 4), (6, 7)]);
        assert_eq!(Edit::apply(&edits, old), new);
    }

    #[test]
    fn edits_make_any_text_of_any_other() {
        let texts = ["", "a", "a\n", "a\nb\n", "b\na\n", "c\n\n\na\nb", "\n"];
        for (old, new) in texts.iter().flat_map(|old| texts.iter().map(move |new| (old, new))) {
            assert_eq!(Edit::apply(&edits(old, new), old), **new, "{old:?} to {new:?}");
        }
    }
}
