//! Trees of single statements, and texts made to break the parser.

use super::*;
use crate::source::{Source, Sources};

fn parsed(text: &str) -> (Recipe, Diagnostics) {
    let mut sources = Sources::new();
    let id = sources.add(Source::new("recipe.tamis", text));
    let mut diagnostics = Diagnostics::new();
    let recipe = parse(id, text, &mut diagnostics);
    (recipe, diagnostics)
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
        for d in diagnostics.iter() {
            let span = d.place.as_ref().unwrap().span;
            println!("{} {} `{}`", d.code.name, d.message, &text[span.start..span.end]);
        }
        assert!(diagnostics.is_empty(), "{diagnostics:#?}");
        assert!(recipe.doc.is_some());
    }
}
