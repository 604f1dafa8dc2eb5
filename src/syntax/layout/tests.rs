//! Small texts laid out by hand; `!` stands for poison.

use super::*;
use crate::source::{Source, Sources};

fn laid(text: &str) -> String {
    let id = Sources::new().add(Source::new("text", text));
    let layout = lay_out(id, text, &mut Diagnostics::new());
    assert_eq!(layout.text.len(), text.len());
    layout.text.replace('\0', "!")
}

#[test]
fn newlines_stay_where_statements_end() {
    assert_eq!(laid("a b\n  by c\nd e\n"), "a b   by c\nd e\n");
    assert_eq!(laid("a b\n\n  # c\n  to d"), "a b          to d");
    assert_eq!(laid("a [\n1,\n]\nb"), "a [ 1, ]\nb");
    assert_eq!(laid("a b,\nc\nlet x = 1 +\n2"), "a b, c\nlet x = 1 + 2");
}

#[test]
fn a_star_that_is_a_wildcard_continues_nothing() {
    assert_eq!(laid("a of **\nb of x.*\nc of *\nd"), "a of **\nb of x.*\nc of *\nd");
    assert_eq!(laid("let x = 2 *\n3"), "let x = 2 * 3");
}

#[test]
fn the_body_of_a_sweep_keeps_its_newlines() {
    assert_eq!(laid("sweep r in [1,\n2]\n{\na b\n}\n"), "sweep r in [1, 2] {\na b\n}\n");
}

#[test]
fn a_bracket_without_its_closer_is_poisoned_up_to_the_next_clause_or_statement() {
    assert_eq!(laid("a of l[0\n  by x\nb c\n"), "a of l!!   by x\nb c\n");
    assert_eq!(laid("let x = f(1,\n  2\nsave \"y\"\n"), "let x = f!!!!!!!\nsave \"y\"\n");
}
