//! The grammar reads every recipe of the repository, and its queries hold.

use std::path::{Path, PathBuf};

use tree_sitter::{Node, Parser, Query, Tree};

fn parse(text: &str) -> Tree {
    let mut parser = Parser::new();
    parser.set_language(&crate::LANGUAGE.into()).unwrap();
    parser.parse(text, None).unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn recipes(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            recipes(&path, found);
        } else if path.extension().is_some_and(|end| end == "tamis") {
            found.push(path);
        }
    }
}

fn mistake<'a>(node: Node<'a>) -> Option<Node<'a>> {
    if node.is_error() || node.is_missing() {
        return Some(node);
    }
    let mut cursor = node.walk();
    let children: Vec<Node<'a>> = node.children(&mut cursor).collect();
    children.into_iter().find_map(mistake)
}

#[test]
fn every_recipe_of_the_repository_is_read() {
    let mut paths = Vec::new();
    ["recipes", "tests/suite/language/samples"].iter().for_each(|dir| recipes(&root().join(dir), &mut paths));
    assert!(paths.len() > 15, "{paths:?}");
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let tree = parse(&text);
        if let Some(node) = mistake(tree.root_node()) {
            panic!("{}:{}: {}", path.display(), node.start_position().row + 1, node.to_sexp());
        }
    }
}

/// The examples of the reference, which use every statement and clause.
#[test]
fn every_example_of_the_reference_is_read() {
    let mut count = 0;
    for page in ["language.md", "passes.md", "criteria.md", "measures.md", "readers.md"] {
        let text = std::fs::read_to_string(root().join("docs/reference").join(page)).unwrap();
        for example in text.split("```tamis\n").skip(1).map(|rest| rest.split("```").next().unwrap()) {
            let tree = parse(example);
            assert!(mistake(tree.root_node()).is_none(), "{page}:\n{example}\n{}", tree.root_node().to_sexp());
            count += 1;
        }
    }
    assert!(count > 30, "{count}");
}

/// `test/corpus` holds texts and their trees, in the form that `tree-sitter test` reads; `UPDATE=1` rewrites the trees.
#[test]
fn trees_are_as_the_corpus_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("test/corpus/recipes.txt");
    let corpus = std::fs::read_to_string(&path).unwrap();
    let words = |text: &str| text.replace('(', " ( ").replace(')', " ) ").split_whitespace().collect::<Vec<_>>().join(" ");
    let mut cases = corpus.split("==================\n").skip(1);
    let (mut count, mut updated) = (0, String::new());
    while let (Some(name), Some(case)) = (cases.next(), cases.next()) {
        let (text, tree) = case.split_once("\n---\n").unwrap();
        let found = parse(text.trim_start()).root_node().to_sexp();
        updated.push_str(&format!("{RULE}{name}{RULE}{text}\n---\n\n{}\n\n", indented(&found)));
        if std::env::var_os("UPDATE").is_none() {
            assert_eq!(words(&found), words(tree), "{name}");
        }
        count += 1;
    }
    assert!(count >= 4, "{count}");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, updated.trim_end().to_owned() + "\n").unwrap();
    }
}

const RULE: &str = "==================\n";

/// A tree with a line for each node.
fn indented(tree: &str) -> String {
    let (mut text, mut depth) = (String::new(), 0_usize);
    for letter in tree.chars() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        match letter {
            ' ' if !text.ends_with(':') => text.push_str(&format!("\n{}", "  ".repeat(depth))),
            letter => text.push(letter),
        }
    }
    text
}

#[test]
fn queries_hold() {
    for name in ["highlights", "folds", "indents", "locals"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("queries/{name}.scm"));
        let query = Query::new(&crate::LANGUAGE.into(), &std::fs::read_to_string(path).unwrap());
        assert!(query.is_ok(), "{name}: {query:?}");
    }
}

#[test]
fn a_mistake_leaves_the_rest_readable() {
    let tree = parse("let a = 1\nprune heads keep 2 )\nsave \"out\"\n");
    let sexp = tree.root_node().to_sexp();
    assert!(sexp.contains("(let") && sexp.contains("(save"), "{sexp}");
}
