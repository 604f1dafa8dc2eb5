//! Cases about the text of a recipe alone.
//!
//! `tamis` is a recipe with the diagnostics that it expects, `values` a value a line. A block `formatted` says how the
//! block above it is laid out; the tree of the formatted text is the same, and it formats to itself.

use tamis::diagnostic::Diagnostics;
use tamis::source::{Source, Sources};
use tamis::syntax;

use crate::expectations::compare;
use crate::fixture::{Block, Case};

pub fn check(case: &mut Case) {
    for (i, block) in case.blocks.clone().iter().enumerate() {
        match block.kind() {
            "tamis" => check_recipe(case, block),
            "values" => check_values(case, block),
            "formatted" => check_formatted(case, i),
            kind => case.fail(block.line, format!("no block is a `{kind}`")),
        }
    }
}

fn check_recipe(case: &mut Case, block: &Block) {
    let mut diagnostics = Diagnostics::new();
    let id = Sources::new().add(Source::new("fixture", block.text.as_str()));
    syntax::parse(id, &block.text, &mut diagnostics);
    for (line, message) in compare(&block.text, &diagnostics) {
        case.fail(block.line + line - 1, message);
    }
}

fn check_values(case: &mut Case, block: &Block) {
    for (i, line) in block.text.lines().enumerate() {
        let mut diagnostics = Diagnostics::new();
        let id = Sources::new().add(Source::new("fixture", line));
        let value = syntax::parse_expr(id, line, &mut diagnostics);
        for (_, message) in compare(line, &diagnostics) {
            case.fail(block.line + i, message);
        }
        if value.is_some() == diagnostics.has_errors() {
            case.fail(block.line + i, "a value is read just where it has no error");
        }
    }
}

fn check_formatted(case: &mut Case, index: usize) {
    let Some(above) = index.checked_sub(1).map(|above| case.blocks[above].clone()) else {
        return case.fail(case.blocks[index].line, "`formatted` stands below the block that it formats");
    };
    match syntax::format(&above.text) {
        Ok(formatted) => {
            if syntax::format(&formatted).as_ref() != Ok(&formatted) {
                case.fail(above.line, "formatting twice gives another text");
            }
            case.expect(index, &formatted);
        }
        Err(diagnostics) => case.fail(above.line, format!("{} errors, no format", diagnostics.len())),
    }
}
