//! Imports run one way: no module names one that stands above it.

use crate::files::{File, files, none};
use crate::rust::{Token, is, tokens};

/// The modules of the library, lowest first. Those of one line do not import each other.
const LAYERS: &[&[&str]] = &[
    &["source", "yaml"],
    &["diagnostic", "tensor"],
    &["syntax", "graph"],
    &["checkpoint"],
    &["weights"],
    &["pass", "compare", "onnx"],
    &["check", "runtime"],
    &["plan", "reference", "observe"],
    &["optimize", "provenance"],
    &["execute", "report", "ide"],
    &["passes", "criteria", "measures", "readers", "families"],
];

/// What joins the others, and may name them all.
const ABOVE_ALL: &[&str] = &["lib", "main", "world", "cli", "lsp"];

/// A family says how a checkpoint becomes a graph, and knows nothing of what is done with it.
const FAMILIES_IMPORT: &[&str] = &["source", "diagnostic", "graph", "checkpoint"];

/// Exported macros stand at the root, and belong to the module that defines them.
const MACROS: &[(&str, &str)] = &[
    ("arguments", "pass"),
    ("calls", "pass"),
    ("choice", "pass"),
    ("criterion", "pass"),
    ("field_spec", "pass"),
    ("measure", "pass"),
    ("reader", "pass"),
    ("training_options", "pass"),
];

/// A path to a module of the crate's root.
#[derive(Debug, PartialEq)]
struct Import<'a> {
    name: &'a str,
    line: usize,
}

#[test]
fn imports_run_one_way() {
    let mut faults = Vec::new();
    for file in files(&["src"], &[".rs"]) {
        let from = module(&file.path);
        if ABOVE_ALL.contains(&from) {
            continue;
        }
        for import in imports(&tokens(&file.text), depth(&file.path)) {
            if let Some(why) = fault(from, import.name) {
                let File { path, .. } = &file;
                faults.push(format!("{path}:{}: imports `crate::{}`: {why}", import.line, import.name));
            }
        }
    }
    none(&faults);
}

#[test]
fn every_module_has_a_place_in_the_layers() {
    let missing: Vec<String> = files(&["src"], &[".rs"])
        .iter()
        .filter(|file| !ABOVE_ALL.contains(&module(&file.path)) && rank(module(&file.path)).is_none())
        .map(|file| format!("{}: `{}` has no place in the layers", file.path, module(&file.path)))
        .collect();
    none(&missing);
}

/// The module of the root that a file belongs to: `plan` for `src/plan/cost.rs` and `src/plan.rs`.
fn module(path: &str) -> &str {
    let inner = path.trim_start_matches("src/");
    inner.split('/').next().unwrap_or(inner).trim_end_matches(".rs")
}

/// How many modules lie between the root and the inside of a file.
fn depth(path: &str) -> usize {
    path.split('/').skip(1).filter(|part| *part != "mod.rs").count()
}

fn rank(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn fault(from: &str, to: &str) -> Option<&'static str> {
    let to = MACROS.iter().find(|(name, _)| *name == to).map_or(to, |(_, module)| module);
    match (rank(from), rank(to)) {
        _ if from == to => None,
        (None, _) => None,
        (_, None) if ABOVE_ALL.contains(&to) => Some("it stands above all"),
        (_, None) => Some("it is no module of the layers; what `lib.rs` defines stands above all"),
        _ if from == "families" && !FAMILIES_IMPORT.contains(&to) => {
            Some("a family imports graph and checkpoint only")
        }
        (Some(from), Some(to)) if from < to => Some("it stands above this module"),
        (Some(from), Some(to)) if from == to => Some("it stands on the same line as this module"),
        _ => None,
    }
}

/// Every path that starts at the root: by `crate::`, or by as many `super::` as lead there.
fn imports<'a>(tokens: &[Token<'a>], depth: usize) -> Vec<Import<'a>> {
    let mut imports = Vec::new();
    let mut braces = 0;
    let mut inline = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let rest = &tokens[at..];
        match token.text {
            "{" => braces += 1,
            "}" => {
                braces -= 1;
                inline.retain(|&opened| opened <= braces);
            }
            "mod" if rest.get(2).is_some_and(|token| token.text == "{") => inline.push(braces + 1),
            "crate" if is(&rest[1..], &["::"]) => imports.extend(heads(&rest[2..])),
            "super" if at == 0 || tokens[at - 1].text != "::" => {
                let supers = rest.chunks(2).take_while(|pair| is(pair, &["super", "::"])).count();
                if supers == depth + inline.len() {
                    imports.extend(heads(&rest[2 * supers..]));
                }
            }
            _ => {}
        }
    }
    imports
}

/// The first names of a use tree: `a` of `a::b`, `a` and `c` of `{a::b, c}`.
fn heads<'a>(tree: &[Token<'a>]) -> Vec<Import<'a>> {
    let mut depth = 0;
    let mut heads = Vec::new();
    for (at, token) in tree.iter().enumerate() {
        let first = at == 0 || (depth == 1 && matches!(tree[at - 1].text, "{" | ","));
        match token.text {
            "{" => depth += 1,
            "}" => depth -= 1,
            name if first => heads.push(Import { name, line: token.line }),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    heads
}

fn names(text: &str, depth: usize) -> Vec<&str> {
    imports(&tokens(text), depth).into_iter().map(|import| import.name).collect()
}

#[test]
fn paths_to_the_root_are_found_in_every_form() {
    assert_eq!(names("use crate::plan::Plan; fn f(x: crate::graph::Axis) {}", 1), ["plan", "graph"]);
    assert_eq!(names("use crate::{plan::{Plan, Task}, graph};", 1), ["plan", "graph"]);
    assert_eq!(names("$crate::pass::bind!(x)", 2), ["pass"]);
    assert_eq!(names("use super::plan;", 1), ["plan"]);
    assert_eq!(names("use super::plan; use super::super::graph::Axis;", 2), ["graph"]);
    assert_eq!(
        names("mod tests { use super::*; use super::super::plan; } use super::graph;", 1),
        ["plan", "graph"]
    );
    assert_eq!(names("// crate::plan\nlet x = \"crate::plan\";", 1), [""; 0]);
}

#[test]
fn a_module_may_import_what_stands_below_it_only() {
    assert_eq!(fault("plan", "graph"), None);
    assert_eq!(fault("plan", "plan"), None);
    assert!(fault("graph", "plan").is_some(), "above");
    assert!(fault("syntax", "graph").is_some(), "on the same line");
    assert!(fault("plan", "Registry").is_some(), "defined in lib.rs");
    assert!(fault("families", "pass").is_some(), "a family knows no pass");
    assert_eq!(fault("families", "checkpoint"), None);
}
