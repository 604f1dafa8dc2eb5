//! Every diagnostic code is named in words, explained, and provoked by a fixture or a test.

use std::collections::BTreeSet;

use tamis::diagnostic::codes::ALL;
use tamis::diagnostic::explain;

use crate::files::{files, none};

#[test]
fn every_code_has_a_name_of_its_own_in_small_words() {
    let mut seen = BTreeSet::new();
    let mut faults = Vec::new();
    for code in ALL {
        let small = code.name.split('-').all(|word| {
            !word.is_empty() && word.chars().all(|char| char.is_ascii_lowercase() || char.is_ascii_digit())
        });
        if !small {
            faults.push(format!("`{}` is not written `like-this`", code.name));
        }
        if !seen.insert(code.name) {
            faults.push(format!("`{}` is declared twice", code.name));
        }
    }
    none(&faults);
}

#[test]
fn every_code_is_explained() {
    let empty = ALL.iter().filter(|code| code.explanation.trim().is_empty() || explain(code.name).is_none());
    none(&empty.map(|code| format!("`{}` has no explanation", code.name)).collect::<Vec<_>>());
}

/// A fixture says `error[code]`; a test may also name the code as a string.
#[test]
fn every_code_is_provoked() {
    let fixtures: String = files(&["tests/suite"], &[".md"]).into_iter().map(|file| file.text).collect();
    // Tests of the house name modules, and some are called like codes.
    let provoking =
        files(&["tests"], &[".rs", ".snap"]).into_iter().filter(|file| !file.path.contains("/tidy/"));
    let tests: String = provoking.map(|file| file.text).collect();
    let provoked = |name: &str| {
        let shown = ["error", "warning", "note"].map(|severity| format!("{severity}[{name}]"));
        let named = tests.contains(&format!("\"{name}\""));
        named || shown.iter().any(|shown| fixtures.contains(shown) || tests.contains(shown))
    };
    let missing = ALL.iter().filter(|code| !provoked(code.name));
    let missing: Vec<String> =
        missing.map(|code| format!("`{}` is provoked by no fixture", code.name)).collect();
    none(&missing);
}
