//! Words that do not belong into the repository: unfinished work, paths of somebody's machine.

use crate::files::{File, everything, files, none, rust_files};
use crate::rust::{lines_with, tokens, without_tests};

/// What stands for work not done, as tokens. A test that is ignored says why.
const UNFINISHED: &[&[&str]] =
    &[&["todo", "!"], &["unimplemented", "!"], &["#", "[", "ignore", "]"], &["#", "[", "should_panic"]];

/// First directories of absolute paths on the machines that people work on.
const MACHINES: &[&str] = &["home", "root", "tmp", "Users", "mnt", "work", "workspace"];

#[test]
fn nothing_is_left_unfinished() {
    let mark = concat!("FIX", "ME");
    let mut faults = Vec::new();
    for file in rust_files() {
        let tokens = tokens(&file.text);
        for words in UNFINISHED {
            faults.extend(at(&file, &lines_with(&tokens, words), &words.concat()));
        }
        let marked = file.text.lines().enumerate().filter(|(_, line)| line.contains(mark));
        let marked: Vec<usize> = marked.map(|(index, _)| index + 1).collect();
        faults.extend(at(&file, &marked, mark));
    }
    none(&faults);
}

#[test]
fn the_program_never_unwraps() {
    let mut faults = Vec::new();
    for file in files(&["src"], &[".rs"]) {
        let for_tests = ["/tests.rs", "/toys.rs", "/fixture.rs"].iter().any(|name| file.path.ends_with(name));
        if for_tests || file.path.contains("/tests/") {
            continue;
        }
        let program = without_tests(&tokens(&file.text));
        faults.extend(at(&file, &lines_with(&program, &[".", "unwrap", "("]), "say why it holds: `expect`"));
    }
    none(&faults);
}

#[test]
fn no_file_names_a_path_of_this_machine() {
    let mut faults = Vec::new();
    for file in everything() {
        let lines = file.text.lines().enumerate().filter(|(_, line)| names_a_machine(line));
        let lines: Vec<usize> = lines.map(|(index, _)| index + 1).collect();
        faults.extend(at(&file, &lines, "a path of somebody's machine"));
    }
    none(&faults);
}

fn at(file: &File, lines: &[usize], what: &str) -> Vec<String> {
    lines.iter().map(|line| format!("{}:{line}: {what}", file.path)).collect()
}

/// Whether an absolute path begins in the line. Inside a longer path or an address the same words are fine.
fn names_a_machine(line: &str) -> bool {
    MACHINES.iter().any(|directory| {
        line.match_indices(&format!("/{directory}/")).any(|(at, _)| {
            let before = line[..at].chars().next_back().unwrap_or(' ');
            !(before.is_alphanumeric() || "._-*})".contains(before))
        })
    })
}

#[test]
fn an_absolute_path_is_told_from_a_relative_one() {
    let path = ["", "tmp", "x"].join("/");
    assert!(names_a_machine(&format!("open(\"{path}\")")));
    assert!(names_a_machine(&format!("file://{path}")));
    assert!(!names_a_machine(&format!("out{path} and https://example.org{path}")));
}
