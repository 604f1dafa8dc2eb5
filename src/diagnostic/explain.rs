//! The long form of every code: one page for `tamis explain`, all of them for the manual.

use super::{Code, codes, nearest};

/// The page of a code, in markdown. `None` where there is no such code.
pub fn explain(name: &str) -> Option<String> {
    let code = codes::ALL.iter().find(|code| code.name == name)?;
    Some(format!("{}[{}]\n\n{}\n", code.severity, code.name, page(code)))
}

/// The code that was probably meant.
pub fn nearest_code(written: &str) -> Option<&'static str> {
    nearest(written, codes::ALL.iter().map(|code| code.name))
}

/// One line a code: its name, its severity and the first sentence of its explanation.
pub fn index() -> String {
    let width = codes::ALL.iter().map(|code| code.name.len()).max().unwrap_or(0);
    let line = |code: &&Code| {
        format!("{:width$}  {:7}  {}\n", code.name, code.severity, first_sentence(&page(code)))
    };
    codes::ALL.iter().map(line).collect()
}

/// The reference page of all codes, in markdown.
pub fn manual() -> String {
    let section = |code: &&Code| {
        let Code { name, severity, fault, .. } = code;
        let exit = fault.exit_code();
        format!("\n## `{name}`\n\n*{severity}, exit code {exit}*\n\n{}\n", page(code))
    };
    let intro = "# Diagnostics\n\n\
        Every code that tamis reports, in the order of the phases that report them. `tamis explain CODE` prints the same text.\n";
    std::iter::once(intro.to_owned()).chain(codes::ALL.iter().map(section)).collect()
}

/// The explanation without the space that each line of a doc comment begins with.
pub(super) fn page(code: &Code) -> String {
    let lines: Vec<&str> =
        code.explanation.lines().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    lines.join("\n").trim().to_owned()
}

fn first_sentence(page: &str) -> String {
    let paragraph = page.split("\n\n").next().unwrap_or_default().replace('\n', " ");
    let stop = paragraph
        .match_indices(". ")
        .find(|(at, _)| paragraph[at + 2..].starts_with(char::is_uppercase))
        .map_or(paragraph.len(), |(at, _)| at);
    paragraph[..stop].trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_code_has_a_page_under_its_own_name() {
        let page = explain("syntax").expect("the code exists");
        assert!(page.starts_with("error[syntax]\n\nThe text"), "{page}");
    }

    #[test]
    fn an_unknown_code_has_no_page_but_a_neighbour() {
        assert_eq!(explain("sintax"), None);
        assert_eq!(nearest_code("sintax"), Some("syntax"));
        assert_eq!(nearest_code("nothing-like-it"), None);
    }

    #[test]
    fn the_first_sentence_ends_before_its_full_stop() {
        let page = "A share, e.g. `0.5`,\nis wrong. More.\n\nEven more.";
        assert_eq!(first_sentence(page), "A share, e.g. `0.5`, is wrong");
        assert_eq!(first_sentence("One only."), "One only");
    }

    #[test]
    fn index_and_manual_name_every_code() {
        let (index, manual) = (index(), manual());
        for code in codes::ALL {
            assert!(index.contains(code.name), "{index}");
            assert!(manual.contains(&format!("## `{}`\n", code.name)), "{manual}");
        }
    }
}
