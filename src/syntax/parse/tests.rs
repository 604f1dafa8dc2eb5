//! Trees of small recipes: values, places, and what is left of statements that are wrong.

use super::*;
use crate::source::{Source, Sources};
use crate::syntax::ast::{ClauseValue, ExprKind, StatementKind, Step};

fn parsed(text: &str) -> (Recipe, Diagnostics) {
    let mut diagnostics = Diagnostics::new();
    let id = Sources::new().add(Source::new("recipe.tamis", text));
    (parse(id, text, &mut diagnostics), diagnostics)
}

fn only(text: &str) -> StatementKind {
    let (recipe, _) = parsed(text);
    recipe.statements.into_iter().next().expect("a statement").kind
}

fn step(text: &str) -> Step {
    match only(text) {
        StatementKind::Step(step) => step,
        other => panic!("{text} is {other:?}"),
    }
}

fn slice(text: &str, span: Span) -> &str {
    &text[span.start..span.end]
}

#[test]
fn the_sample_recipes_parse_without_a_word() {
    for text in [
        include_str!("../../../tests/suite/language/samples/encoder-60.tamis"),
        include_str!("../../../tests/suite/language/samples/global-magnitude.tamis"),
        include_str!("../../../tests/suite/language/samples/mixtral-experts.tamis"),
        include_str!("../../../tests/suite/language/samples/sparse-training.tamis"),
        include_str!("../../../tests/suite/language/samples/vit-tokens.tamis"),
    ] {
        let (recipe, diagnostics) = parsed(text);
        assert!(diagnostics.is_empty(), "{diagnostics:#?}");
        assert!(recipe.doc.is_some());
    }
}

#[test]
fn the_doc_is_the_first_block_of_doc_comments() {
    let (recipe, _) = parsed("# licence\n\n## One.\n##  Two.\n\n## Three.\nmodel input\n## no doc\n");
    assert_eq!(recipe.doc.as_deref(), Some("One.\n Two."));
    assert_eq!(recipe.comments.len(), 5);
    assert_eq!(parsed("model input ## no doc\n").0.doc, None);
}

#[test]
fn places_are_those_of_the_text() {
    let text = "prune heads  # why\n  of layers[0] , head \n  to 60% flops  \n";
    let (recipe, _) = parsed(text);
    assert_eq!(slice(text, recipe.statements[0].span), text.trim_end());
    let step = step(text);
    assert_eq!(slice(text, step.nouns[0].span), "heads");
    assert_eq!(slice(text, step.clauses[0].span), "of layers[0] , head");
    assert_eq!(slice(text, step.clauses[0].keyword), "of");
    assert_eq!(slice(text, step.clauses[1].span), "to 60% flops");
    let ClauseValue::Expr(amount) = &step.clauses[1].value else { panic!("`to` has a value") };
    assert_eq!(slice(text, amount.span), "60% flops");
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_are_blanks() {
    let text = "\u{feff}# doc\r\nprune heads\r\n  by x # c\r\n\tto 2:4\r\nmodel input\r\n";
    let (recipe, diagnostics) = parsed(text);
    assert!(diagnostics.is_empty(), "{diagnostics:#?}");
    assert_eq!(recipe.statements.len(), 2);
    assert_eq!(recipe.comments[1].text, "# c");
}

#[test]
fn a_broken_clause_leaves_the_step_its_others() {
    let step = step("prune heads of layers[*\n  by magnitude\n  to\n  keep f(a = 1)\n");
    let kinds: Vec<&str> = step.clauses.iter().map(|clause| clause.kind.keyword()).collect();
    assert_eq!(kinds, ["by", "to", "keep"], "a selector that is cut off selects nothing");
    let ClauseValue::Expr(target) = &step.clauses[1].value else { panic!("`to` has a value") };
    assert_eq!(target.kind, ExprKind::Broken);
}

#[test]
fn a_name_stays_bound_where_its_value_is_broken() {
    for text in ["let x = [1", "let x = text(\"a)", "let x 3 4", "data x =", "param x: ratio = (1"] {
        let bound = only(text);
        let (StatementKind::Let { name, .. }
        | StatementKind::Data { name, .. }
        | StatementKind::Param { name, .. }) = &bound
        else {
            panic!("{text} is {bound:?}");
        };
        assert_eq!(name.text, "x");
    }
}

#[test]
fn a_sweep_with_a_wrong_head_keeps_its_body() {
    let StatementKind::Sweep { name, body, .. } = only("sweep r [1] x {\n  save \"a\"\n  foo\n}\n") else {
        panic!("a sweep");
    };
    assert_eq!((name.text.as_str(), body.len()), ("r", 2));
    assert_eq!(body[1].kind, StatementKind::Broken);
}

#[test]
fn a_value_of_the_command_line_is_one_value_without_errors() {
    let value = |text: &str| {
        let id = Sources::new().add(Source::new("--set", text));
        let mut diagnostics = Diagnostics::new();
        (parse_expr(id, text, &mut diagnostics).map(|value| value.to_string()), diagnostics.len())
    };
    assert_eq!(value(" 60% "), (Some("60%".to_owned()), 0));
    assert_eq!(value("[1, 2] # two"), (Some("[1, 2]".to_owned()), 0));
    assert_eq!(value(""), (None, 1));
    assert_eq!(value("60% 3"), (None, 1));
    assert_eq!(value("let x = 3\nmodel y\n"), (None, 1));
    assert_eq!(value("(1"), (None, 1));
}
