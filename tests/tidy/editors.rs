//! Editors' copies of the language say what its grammar says.

use std::collections::BTreeSet;

use tamis::reference::{Kind, entries};
use tamis::{REGISTRY, syntax};

use crate::files::{none, root};

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).expect("the file is there")
}

/// The words between quotes in a rule of the grammar.
fn words(rule: &str) -> BTreeSet<String> {
    let grammar = text("grammar/tamis.pest");
    let from = grammar.find(&format!("\n{rule} ")).expect("the rule exists");
    let body = &grammar[from..from + grammar[from..].find('}').expect("a rule ends")];
    body.split('"').skip(1).step_by(2).map(String::from).collect()
}

#[test]
fn the_colours_of_vs_code_know_every_word() {
    let colours = text("editors/vscode/syntaxes/tamis.tmLanguage.json");
    let mut faults = Vec::new();
    let groups: Vec<BTreeSet<&str>> = colours
        .split('(')
        .map(|group| group.split(')').next().unwrap_or_default().split('|').collect())
        .collect();
    let clauses = ["where_word", "with_word", "value_word", "except_word", "in_word"].map(words);
    for group in [words("statement_word"), clauses.into_iter().flatten().collect()] {
        let group: BTreeSet<&str> = group.iter().map(String::as_str).collect();
        if !groups.contains(&group) {
            faults.push(format!("no pattern has just these words: {group:?}"));
        }
    }
    none(&faults);
}

#[test]
fn the_grammar_of_tree_sitter_knows_every_word() {
    let grammar = text("grammar/tree-sitter-tamis/grammar.js");
    let scanner = text("grammar/tree-sitter-tamis/src/scanner.c");
    let statements = words("statement_word");
    let clauses = ["where_word", "with_word", "value_word", "except_word"].map(words);
    let mut faults = Vec::new();
    let quoted = |word: &&String| !grammar.contains(&format!("\"{word}\""));
    faults.extend(statements.iter().filter(quoted).map(|word| format!("grammar.js has no `{word}`")));
    for word in clauses.iter().flatten() {
        if !grammar.contains(&format!("\"{word}\"")) || !scanner.contains(&format!("\"{word}\"")) {
            faults.push(format!("`{word}` is missing in grammar.js or scanner.c"));
        }
    }
    none(&faults);
}

#[test]
fn snippets_are_recipes() {
    let snippets: serde_json::Value =
        serde_json::from_str(&text("editors/vscode/snippets/tamis.json")).unwrap();
    let mut faults = Vec::new();
    for (name, snippet) in snippets.as_object().unwrap() {
        let lines = snippet["body"].as_array().unwrap().iter().map(|line| line.as_str().unwrap());
        let text = filled(&lines.collect::<Vec<_>>().join("\n"));
        if let Err(found) = syntax::format(&text) {
            faults.push(format!("{name}: {:?}\n{text}", found.iter().next().map(|it| &it.message)));
        }
        let prefix = snippet["prefix"].as_str().unwrap();
        if !entries(&REGISTRY)
            .iter()
            .any(|it| matches!(it.kind, Kind::Verb | Kind::Statement) && it.name == prefix)
        {
            faults.push(format!("{name}: `{prefix}` is no word of the language"));
        }
    }
    none(&faults);
}

/// A snippet with its first choices: `${1:x}` and `${1|x,y|}` become `x`, `$0` nothing.
fn filled(snippet: &str) -> String {
    let mut text = snippet.replace("$0", "");
    while let Some(start) = text.find("${") {
        let end = start + text[start..].find('}').expect("a place ends");
        let inner = text[start + 2..end].trim_start_matches(|digit: char| digit.is_ascii_digit());
        let choice = inner.trim_matches([':', '|']).split(if inner.starts_with('|') { ',' } else { '\0' });
        let choice = choice.into_iter().next().unwrap_or_default().to_owned();
        text.replace_range(start..=end, &choice);
    }
    text
}

#[test]
fn a_place_of_a_snippet_is_filled() {
    assert_eq!(filled("a ${1:b} ${2|c,d|} ${1:b}$0"), "a b c b");
}

#[test]
fn the_extension_is_of_this_version() {
    let manifest: serde_json::Value = serde_json::from_str(&text("editors/vscode/package.json")).unwrap();
    assert_eq!(manifest["version"], env!("CARGO_PKG_VERSION"));
}
