//! Every recipe of the repository is one that a user may copy.

use crate::files::{File, files, none};

#[test]
fn every_recipe_is_in_order() {
    let faults = files(&["recipes"], &[".tamis"]).iter().flat_map(faults).collect::<Vec<_>>();
    none(&faults);
}

/// What is wrong with one recipe. It opens by saying what it is, and ends its last line.
fn faults(file: &File) -> Vec<String> {
    let mut faults = Vec::new();
    if !file.text.starts_with("## ") {
        faults.push(format!("{}: open it with a `##` comment that says what it does", file.path));
    }
    if !file.text.ends_with('\n') {
        faults.push(format!("{}: its last line does not end", file.path));
    }
    faults
}
