//! Pages made from the program are committed, and say what the program says.

use std::fs;

use tamis::{REGISTRY, diagnostic, reference};

use crate::files::root;

#[test]
fn the_reference_of_diagnostics_is_up_to_date() {
    assert_generated("docs/reference/diagnostics.md", &diagnostic::manual());
}

#[test]
fn the_reference_of_the_language_is_up_to_date() {
    for (file, text) in reference::manual(&REGISTRY) {
        assert_generated(&format!("docs/reference/{file}"), &text);
    }
}

#[test]
fn the_schema_of_steps_is_up_to_date() {
    let schema = reference::schema(&REGISTRY);
    assert_generated("docs/reference/steps.schema.json", &format!("{schema:#}\n"));
}

/// Compares a committed file with what is generated now. `UPDATE=1` writes it instead.
pub fn assert_generated(path: &str, text: &str) {
    let file = root().join(path);
    if std::env::var_os("UPDATE").is_some_and(|update| update == "1") {
        let directory = file.parent().expect("a file of the repository has a directory");
        fs::create_dir_all(directory)
            .and_then(|()| fs::write(&file, text))
            .expect("the repository is writable");
        return;
    }
    let committed = fs::read_to_string(&file).unwrap_or_default().replace("\r\n", "\n");
    let differs = committed.lines().zip(text.lines()).position(|(old, new)| old != new);
    let line = differs.unwrap_or(committed.lines().count().min(text.lines().count())) + 1;
    assert!(
        committed == text,
        "{path} is out of date from line {line} on: `UPDATE=1 cargo test --test tidy` writes it anew"
    );
}
