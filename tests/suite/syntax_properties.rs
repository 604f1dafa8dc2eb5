//! What holds for every text: nothing panics, places are whole, and the formatter keeps tree and comments.

use proptest::prelude::*;
use tamis::diagnostic::Diagnostics;
use tamis::source::{Source, Sources};
use tamis::syntax::{self, ast::Recipe};

const SAMPLES: [&str; 5] = [
    include_str!("language/samples/encoder-60.tamis"),
    include_str!("language/samples/global-magnitude.tamis"),
    include_str!("language/samples/mixtral-experts.tamis"),
    include_str!("language/samples/sparse-training.tamis"),
    include_str!("language/samples/vit-tokens.tamis"),
];

/// Words and signs of the language, and some that are of none.
#[rustfmt::skip]
const TOKENS: [&str; 72] = [
    "recipe", "use", "param", "let", "model", "data", "measure", "expect", "sweep", "save", "of", "at",
    "by", "to", "keep", "remove", "into", "from", "on", "for", "over", "with", "except", "in", "true",
    "heads", "layers", "x", "tensor", "flops", "\"t\"", "\"a{x}b\"", "\"\\n\"", "\"", "1", "60%", "60 %",
    "2.5G", "3e-4", "2GiB", ".5", "2:4", "(", ")", "[", "]", "{", "}", "**", "*", "..", ".", ",", ":",
    "=", "<=", "==", "+", "-", "/", "\n", "\n  ", "\n\n", " # note\n", "\n## doc\n", "\t", "\r\n", "≤",
    "“", "é", "#", ";",
];

fn parsed(text: &str) -> (Recipe, Diagnostics) {
    let mut diagnostics = Diagnostics::new();
    let id = Sources::new().add(Source::new("text", text));
    (syntax::parse(id, text, &mut diagnostics), diagnostics)
}

/// The statements without their places.
fn tree(recipe: &Recipe) -> String {
    let shown = format!("{:?}", recipe.statements);
    let mut pieces = shown.split("Span {");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |tree, piece| tree + piece.split_once('}').map_or("", |(_, rest)| rest))
}

fn comments(recipe: &Recipe) -> Vec<&str> {
    let mut comments: Vec<&str> = recipe.comments.iter().map(|comment| comment.text.as_str()).collect();
    comments.sort_unstable();
    comments
}

/// Parses any text; checks places, and the formatter where the text has no errors.
fn holds(text: &str) -> Result<(), TestCaseError> {
    let (recipe, diagnostics) = parsed(text);
    for place in diagnostics.iter().filter_map(|diagnostic| diagnostic.place.as_ref()) {
        prop_assert!(text.get(place.span.start..place.span.end).is_some(), "{:?} of {text:?}", place);
    }
    for fix in diagnostics.iter().filter_map(|diagnostic| diagnostic.fix.as_ref()) {
        prop_assert!(text.get(fix.span.start..fix.span.end).is_some(), "{:?} of {text:?}", fix);
    }
    let broken = tree(&recipe).contains("Broken");
    prop_assert!(!broken || diagnostics.has_errors(), "broken without a word: {text:?}");
    let id = Sources::new().add(Source::new("text", text));
    let _ = syntax::parse_expr(id, text, &mut Diagnostics::new());
    match syntax::format(text) {
        Err(_) => prop_assert!(diagnostics.has_errors()),
        Ok(formatted) => is_canonical(&recipe, text, &formatted)?,
    }
    Ok(())
}

fn is_canonical(recipe: &Recipe, text: &str, formatted: &str) -> Result<(), TestCaseError> {
    let (again, diagnostics) = parsed(formatted);
    prop_assert!(!diagnostics.has_errors(), "{text:?}\nis formatted to text with errors\n{formatted}");
    prop_assert_eq!(tree(recipe), tree(&again), "{:?}\nis formatted to another tree\n{}", text, formatted);
    prop_assert_eq!(comments(recipe), comments(&again), "{:?}\nloses comments in\n{}", text, formatted);
    let twice = syntax::format(formatted).expect("no errors, as above");
    prop_assert_eq!(formatted, &twice, "{:?} is not formatted at once", text);
    Ok(())
}

/// Blanks in brackets, where newlines and comments may stand.
fn gap() -> impl Strategy<Value = &'static str> {
    prop_oneof![8 => Just(""), 4 => Just(" "), 1 => Just("\n"), 1 => Just(" # in\n"), 1 => Just("\n# own\n\n  ")]
}

/// Blanks before a clause.
fn clause_gap() -> impl Strategy<Value = &'static str> {
    prop_oneof![4 => Just(" "), 3 => Just("\n  "), 1 => Just("  # behind\n"), 1 => Just("\n\n# own\n")]
}

fn leaf() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("x"),
        Just("calib"),
        Just("1"),
        Just("2.5G"),
        Just("60%"),
        Just("3e-4"),
        Just("true"),
        Just("\"a{x}\""),
        Just("\"\\{\\\"\""),
        Just("a_name_that_is_long_enough_to_break_lines_in_brackets")
    ]
    .prop_map(str::to_owned)
}

fn bracketed(
    open: &'static str,
    item: BoxedStrategy<String>,
    close: &'static str,
) -> impl Strategy<Value = String> {
    let item = (gap(), item, gap()).prop_map(|(before, item, behind)| format!("{before}{item}{behind}"));
    (prop::collection::vec(item, 0..5), gap(), any::<bool>()).prop_map(move |(items, last, comma)| {
        let comma = if comma && !items.is_empty() { "," } else { "" };
        format!("{open}{}{comma}{last}{close}", items.join(","))
    })
}

fn expr() -> BoxedStrategy<String> {
    leaf()
        .prop_recursive(4, 24, 4, |inner| {
            let inner = inner.boxed();
            let named = (gap(), inner.clone()).prop_map(|(gap, value)| format!("key:{gap}{value}")).boxed();
            let argument = prop_oneof![inner.clone(), named.clone()].boxed();
            let part = inner.clone().prop_map(|value| format!("({value})"));
            prop_oneof![
                bracketed("[", inner.clone(), "]"),
                bracketed("{", named, "}"),
                bracketed("call(", argument, ")"),
                (gap(), inner.clone(), gap()).prop_map(|(a, value, b)| format!("({a}{value}{b})")),
                (part.clone(), part.clone()).prop_map(|(n, m)| format!("{n}:{m}")),
                part.clone().prop_map(|value| format!("{value} flops")),
                part.clone().prop_map(|value| format!("--{value}")),
                (part.clone(), prop::sample::select(vec!["+", "-", " * ", "/"]), part)
                    .prop_map(|(left, op, right)| format!("{left}{op}{right}")),
            ]
        })
        .boxed()
}

fn selector() -> impl Strategy<Value = String> {
    let path = prop::sample::select(vec![
        "layers[*]",
        "layers[0..6].mlp",
        "**",
        "*",
        "layers.*.{ up,down }",
        "tensor(\"*.norm.*\")",
        "layers[-1, 2]",
        "layers[..depth].attention.query_that_has_a_long_name",
    ]);
    (prop::collection::vec(path.clone(), 1..4), prop::collection::vec(path, 0..3)).prop_map(|(of, except)| {
        let except =
            if except.is_empty() { String::new() } else { format!("  except {}", except.join(",  ")) };
        format!("{}{except}", of.join(","))
    })
}

fn step() -> impl Strategy<Value = String> {
    let value = prop::sample::select(vec!["by", "to", "keep", "into", "from", "on", "for", "over"]);
    let clause = prop_oneof![
        selector().prop_map(|selector| format!("of {selector}")),
        (value, expr()).prop_map(|(keyword, value)| format!("{keyword} {value}")),
        bracketed("with {", expr().prop_map(|value| format!("key: {value}")).boxed(), "}"),
    ];
    let nouns = prop::collection::vec(prop::sample::select(vec!["heads", "layers[6..12]", "neurons"]), 1..3);
    (nouns, prop::collection::vec((clause_gap(), clause), 0..4)).prop_map(|(nouns, clauses)| {
        let clauses: String = clauses.into_iter().map(|(gap, clause)| format!("{gap}{clause}")).collect();
        format!("prune {}{clauses}", nouns.join(", "))
    })
}

fn statement() -> BoxedStrategy<String> {
    let simple = prop_oneof![
        4 => step(),
        1 => expr().prop_map(|value| format!("let x = {value}")),
        1 => expr().prop_map(|value| format!("data calib = {value}")),
        1 => Just("model input".to_owned()),
        1 => Just("model m = \"dir\"".to_owned()),
        1 => expr().prop_map(|value| format!("param p: amount  of flops = {value}")),
        1 => (expr(), selector()).prop_map(|(v, s)| format!("expect zeros of {s} >= {v} of input")),
        1 => bracketed("measure a(x), latency(", expr(), ")"),
        1 => bracketed("save \"out\" with {", expr().prop_map(|value| format!("key: {value}")).boxed(), "}"),
    ];
    simple
        .prop_recursive(2, 8, 3, |inner| {
            (expr().prop_map(|values| format!("[{values}]")), body(inner.boxed(), 0..3))
                .prop_map(|(values, body)| format!("sweep r in {values} {{\n{body}}}"))
        })
        .boxed()
}

fn body(statement: BoxedStrategy<String>, count: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    let end =
        prop_oneof![4 => Just("\n"), 1 => Just("\n\n\n"), 1 => Just(" # end\n"), 1 => Just("\n   # own\n")];
    prop::collection::vec((statement, end).prop_map(|(statement, end)| statement + end), count)
        .prop_map(|statements| statements.concat())
}

/// A sample with some of its characters cut out or replaced.
fn mutated() -> impl Strategy<Value = String> {
    let edit = (any::<prop::sample::Index>(), 0..12_usize, prop::sample::select(TOKENS.to_vec()));
    (prop::sample::select(SAMPLES.to_vec()), prop::collection::vec(edit, 1..4)).prop_map(|(sample, edits)| {
        edits.into_iter().fold(sample.to_owned(), |text, (at, cut, token)| {
            let characters: Vec<char> = text.chars().collect();
            let at = at.index(characters.len() + 1);
            let behind = characters.iter().skip(at + cut);
            characters[..at].iter().copied().chain(token.chars()).chain(behind.copied()).collect()
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_characters_parse(text in "\\PC{0,60}|(.|\n){0,60}") {
        holds(&text)?;
    }

    #[test]
    fn any_tokens_parse(tokens in prop::collection::vec(prop::sample::select(TOKENS.to_vec()), 0..24)) {
        holds(&tokens.join(" "))?;
        holds(&tokens.concat())?;
    }

    #[test]
    fn mutated_recipes_parse(text in mutated()) {
        holds(&text)?;
    }

    #[test]
    fn recipes_are_formatted_to_the_same_tree(text in body(statement(), 0..6)) {
        let (_, diagnostics) = parsed(&text);
        prop_assert!(diagnostics.is_empty(), "{text}\n{diagnostics:#?}");
        holds(&text)?;
    }
}

#[test]
fn nesting_of_any_depth_is_told_and_does_no_harm() {
    let deep = 100_000;
    for text in [
        "(".repeat(deep),
        format!("let x = {}1{}", "(".repeat(deep), ")".repeat(deep)),
        format!("let x = {}", "f([{a: ".repeat(deep)),
        format!("let x = {}1", "-".repeat(deep)),
        format!("let x = {}1", "1 + ".repeat(deep)),
        format!("let x = {}{}", "[".repeat(deep), ")".repeat(deep)),
        "sweep r in [1] {\n".repeat(deep),
        format!("prune x of {}y", "z.".repeat(deep)),
    ] {
        let (recipe, diagnostics) = parsed(&text);
        let selector = text.starts_with("prune");
        assert!(selector || diagnostics.iter().any(|found| found.code.name == "too-deep"), "{text:.40}");
        drop(recipe);
    }
}
