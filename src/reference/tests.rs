//! The manual of a small registry of toys.

use serde_json::json;

use super::*;
use crate::checkpoint::Family;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::graph::Cost;
use crate::pass::{Lowering, Measure, Pass, StepScope};
use crate::source::{Source, Sources};
use crate::syntax;

#[expect(dead_code, reason = "a manual needs the definition alone")]
mod shrink {
    use crate::pass::{Budget, Count, Quantity, Scorer};
    use crate::{choice, pass};

    choice! {
        /// Who competes with whom.
        pub enum Scope("a scope") {
            /// Those of one layer.
            Layer = "layer",
            /// All of them.
            Global = "global",
        }
    }

    pass! {
        /// Makes things smaller. Nothing else.
        ///
        /// ```tamis
        /// shrink heads of layers[*] to 60% flops
        /// ```
        Shrink = "shrink" ["heads", "neurons"]
        {
            /// How they are scored.
            By criterion: Scorer = "size",
            /// What the result may cost.
            To budget: Budget,
            /// How many stay.
            Keep keep: Option<Quantity>,
        }
        with {
            /// Who competes.
            scope: Scope = "layer",
            /// The least that stays.
            floor: Count = "1",
        }
    }
}

#[expect(dead_code, reason = "a manual needs the definition alone")]
mod size {
    crate::criterion! {
        /// Size alone.
        Size = "size" { /// Of the random part.
                        seed: u64 = "7", }
    }
}

mod ones {
    crate::measure! {
        /// The share of ones.
        Ones = "ones" in Share {}
    }
}

impl Pass for shrink::Shrink {
    fn lower(&self, _: &StepScope<'_>) -> Result<Lowering, Diagnostic> {
        Ok(Lowering::default())
    }
}

impl crate::pass::Criterion for size::Size {
    fn describe(&self) -> String {
        "size".into()
    }
}

impl Measure for ones::Ones {
    fn measure(
        &self,
        _: &crate::pass::Context<'_>,
        _: &Cost,
        _: Option<&[crate::graph::SiteId]>,
    ) -> Result<f64, Diagnostic> {
        Ok(1.0)
    }
}

static TOY: Family =
    Family { name: "toy", model_types: &["toy", "toy2"], doc: "Models to play with.", build: |_, _| Ok(()) };

const REGISTRY: Registry = Registry {
    passes: &[&shrink::SPEC],
    criteria: &[&size::SPEC],
    measures: &[&ones::SPEC],
    readers: &[],
    families: &[&TOY],
};

#[test]
fn a_signature_shows_what_may_be_left_out_and_what_then_holds() {
    assert_eq!(
        pass_signature(&shrink::SPEC),
        "shrink heads|neurons[, …] [of SELECTOR] [by CRITERION = size] to BUDGET [keep QUANTITY] \
         [with { scope: layer|global = layer, floor: COUNT = 1 }]"
    );
    assert_eq!(criterion_signature(&size::SPEC), "size(seed: INT = 7)");
    assert_eq!(measure_signature(&ones::SPEC), "ones");
}

#[test]
fn a_pass_has_its_signature_its_text_and_a_row_for_each_clause_and_option() {
    insta::assert_snapshot!(manual(&REGISTRY)["passes.md"]);
}

#[test]
fn pages_are_there_for_what_the_registry_has() {
    let pages: Vec<&str> = manual(&REGISTRY).into_keys().collect();
    assert_eq!(pages, ["criteria.md", "families.md", "language.md", "measures.md", "nouns.md", "passes.md"]);
}

#[test]
fn the_page_of_the_language_has_no_part_left_to_fill() {
    let page = &manual(&REGISTRY)["language.md"];
    assert!(!page.contains("<!--"), "{page}");
    assert!(page.contains("| `by`     | the criterion, with its data"), "{page}");
    assert!(
        page.contains("| `into`   | what the elements become                       | no verb yet |"),
        "{page}"
    );
}

#[test]
fn everything_that_is_called_so_is_on_the_page() {
    let page = page(&REGISTRY, "shrink").expect("a verb has a page");
    assert!(page.starts_with("verb `shrink`\n\n    shrink heads|neurons"), "{page}");
    for (name, kind) in
        [("size", "criterion"), ("ones", "measure"), ("heads", "noun"), ("sweep", "statement")]
    {
        let page = super::page(&REGISTRY, name).unwrap_or_default();
        assert!(page.starts_with(&format!("{kind} `{name}`\n\n")), "{page}");
    }
    for name in ["measure at", "by", "toy", "quantity"] {
        assert!(super::page(&REGISTRY, name).is_some(), "{name}");
    }
    assert_eq!(super::page(&REGISTRY, "shrnk"), None);
}

#[test]
fn the_index_has_a_line_for_each() {
    insta::assert_snapshot!(index(&REGISTRY));
}

#[test]
fn examples_are_whole_and_parse() {
    let examples = examples(&REGISTRY);
    assert!(examples.contains(&("shrink".into(), "shrink heads of layers[*] to 60% flops\n".into())));
    for (owner, text) in examples {
        let mut sources = Sources::new();
        let source = sources.add(Source::new(owner.as_str(), text.as_str()));
        let mut diagnostics = Diagnostics::new();
        syntax::parse(source, &text, &mut diagnostics);
        assert!(diagnostics.is_empty(), "{owner}: {text}\n{diagnostics:?}");
    }
}

#[test]
fn the_schema_says_what_a_step_takes() {
    let schema = schema(&REGISTRY);
    let shrink = &schema["$defs"]["shrink"];
    assert_eq!(schema["items"]["oneOf"], json!([{ "$ref": "#/$defs/shrink" }]));
    assert_eq!(shrink["required"], json!(["verb", "nouns", "to"]));
    assert_eq!(shrink["properties"]["nouns"]["items"]["pattern"], "^(heads|neurons)(\\[.*\\])?$");
    assert_eq!(
        shrink["properties"]["with"]["properties"],
        json!({
            "scope": { "enum": ["layer", "global"], "title": "scope", "description": "Who competes.", "default": "layer" },
            "floor": {
                "type": "integer", "minimum": 1, "title": "count", "description": "The least that stays.", "default": 1
            },
        })
    );
}
