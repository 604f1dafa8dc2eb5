//! Every file opens with its idea, has a telling name and is formatted.

use std::process::Command;

use crate::files::{none, root, rust_files};

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] =
    &["utils", "util", "common", "core", "helpers", "helper", "prelude", "misc", "globals"];

#[test]
fn every_file_opens_with_one_sentence() {
    let mut faults = Vec::new();
    for file in rust_files() {
        let doc = file.text.lines().map_while(|line| line.strip_prefix("//! ")).collect::<Vec<_>>().join(" ");
        if !doc.ends_with(['.', ':']) {
            faults.push(format!("{}: open it with one `//!` sentence that says what it is", file.path));
        }
    }
    none(&faults);
}

#[test]
fn no_module_has_an_empty_name() {
    let mut faults = Vec::new();
    for file in rust_files() {
        let parts = file.path.trim_end_matches(".rs").split('/');
        if let Some(name) = parts.into_iter().find(|part| EMPTY_NAMES.contains(part)) {
            faults.push(format!("{}: `{name}` does not say what is inside", file.path));
        }
    }
    none(&faults);
}

/// `cargo fmt` skips modules that a macro declares, so every file is named here.
#[test]
fn every_file_is_formatted() {
    let there = Command::new("rustfmt").arg("--version").output().is_ok_and(|ran| ran.status.success());
    if !there {
        eprintln!("not checked: rustfmt is not installed");
        return;
    }
    let paths = rust_files().into_iter().map(|file| file.path);
    let ran = Command::new("rustfmt")
        .args(["--check", "--edition", "2024", "--files-with-diff"])
        .args(paths)
        .current_dir(root())
        .output()
        .expect("rustfmt ran a moment ago");
    let (files, errors) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "`cargo fmt` formats these:\n{files}{errors}");
}
