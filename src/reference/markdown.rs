//! Markdown that is made and taken apart: doc comments, tables, fences.

/// A doc comment's text, without the space that each of its lines begins with.
pub fn prose(doc: &str) -> String {
    let lines: Vec<&str> = doc.lines().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    lines.join("\n").trim().to_string()
}

/// The text without line breaks.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

pub(super) fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}

/// A table with columns as wide as their widest cell; empty where there are no rows.
pub(super) fn table<const N: usize>(header: [&str; N], rows: &[[String; N]]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let cells = |row: &[String; N]| row.clone().map(|cell| cell.replace('|', "\\|").replace('\n', " "));
    let rows: Vec<[String; N]> =
        std::iter::once(cells(&header.map(String::from))).chain(rows.iter().map(cells)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "))
    };
    let rule = widths.map(|width| "-".repeat(width));
    let lines: Vec<String> = rows.iter().map(line).collect();
    format!("{}{}{}\n", lines[0], line(&rule), lines[1..].concat())
}

/// The texts of fences of a language, in order.
pub(super) fn fences(markdown: &str, language: &str) -> Vec<String> {
    let open = format!("```{language}");
    let mut found = Vec::new();
    let mut inside: Option<String> = None;
    for line in markdown.lines() {
        match &mut inside {
            Some(_) if line.trim() == "```" => found.extend(inside.take()),
            Some(text) => {
                text.push_str(line);
                text.push('\n');
            }
            None if line.trim() == open => inside = Some(String::new()),
            None => {}
        }
    }
    found
}

/// The same text for a terminal: what stood in fences is indented instead.
pub(super) fn plain(markdown: &str) -> String {
    let mut fenced = false;
    let mut text = String::new();
    for line in markdown.lines() {
        match (line.starts_with("```"), fenced) {
            (true, _) => fenced = !fenced,
            (false, true) if !line.is_empty() => text.push_str(&format!("    {line}\n")),
            _ => text.push_str(&format!("{line}\n")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned_and_bars_in_cells_are_told_from_their_own() {
        let rows = [["`a`".to_string(), "x|y".to_string()], ["bc".to_string(), String::new()]];
        let expected = "| one | two  |\n| --- | ---- |\n| `a` | x\\|y |\n| bc  |      |\n\n";
        assert_eq!(table(["one", "two"], &rows), expected);
        assert_eq!(table(["one"], &[]), "");
    }

    #[test]
    fn fences_are_found_by_their_language() {
        let text = "a\n```tamis\nprune x\n\ny\n```\n```text\nno\n```\n```tamis\nz\n```\n";
        assert_eq!(fences(text, "tamis"), ["prune x\n\ny\n", "z\n"]);
    }

    #[test]
    fn a_terminal_gets_indents_for_fences() {
        assert_eq!(plain("a\n```text\nb\n\nc\n```\nd"), "a\n    b\n\n    c\nd\n");
    }

    #[test]
    fn a_doc_comment_loses_one_space_a_line() {
        assert_eq!(prose(" Takes.\n\n ```tamis\n   x\n ```\n"), "Takes.\n\n```tamis\n  x\n```");
    }
}
