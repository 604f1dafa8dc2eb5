//! A directory of entries and the list in its `mod.rs` say the same: a file that nobody lists would not be compiled.

use crate::files::{File, files, none};
use crate::rust::{Token, lines_with, tokens};

/// Directories with a file for each entry of a list.
const LISTS: &[&str] = &["passes", "criteria", "measures", "readers", "families", "optimize"];

/// Files of these directories that entries share, and that are no entries.
const SHARED: &[&str] =
    &["src/readers/classes.rs", "src/readers/draw.rs", "src/readers/lines.rs", "src/readers/source.rs"];

#[test]
fn every_entry_is_declared_and_listed() {
    none(&LISTS.iter().flat_map(|list| faults(list)).collect::<Vec<_>>());
}

fn faults(list: &str) -> Vec<String> {
    let directory = format!("src/{list}");
    let files = files(&[&directory], &[".rs"]);
    let Some(list) = files.iter().find(|file| file.path == format!("{directory}/mod.rs")) else {
        return files.iter().map(|file| format!("{}: `{directory}/mod.rs` is missing", file.path)).collect();
    };
    let tokens = tokens(&list.text);
    files.iter().filter_map(|file| fault(file, &directory, &tokens)).collect()
}

fn fault(file: &File, directory: &str, list: &[Token]) -> Option<String> {
    let entry = file.path.strip_prefix(directory)?.strip_prefix('/')?;
    // A file deeper down belongs to the entry that its directory is.
    let entry = entry.strip_suffix("/mod.rs").or(entry.strip_suffix(".rs")).filter(|it| !it.contains('/'))?;
    let declared = !lines_with(list, &["mod", entry]).is_empty();
    let mentioned = lines_with(list, &[entry]).len() > 1 || SHARED.contains(&file.path.as_str());
    match (entry, declared, mentioned) {
        ("mod", ..) | (_, true, true) => None,
        (_, false, _) => {
            Some(format!("{}: not compiled, `{directory}/mod.rs` lacks `mod {entry};`", file.path))
        }
        (_, true, false) => {
            Some(format!("{}: declared, but not in the list of `{directory}/mod.rs`", file.path))
        }
    }
}

#[test]
fn an_entry_outside_the_list_is_found() {
    let file = |path: &str| File { path: path.into(), text: String::new() };
    let list = tokens("mod prune; mod merge; pub static ALL: &[&Spec] = &[&prune::SPEC];");
    assert_eq!(fault(&file("src/passes/prune.rs"), "src/passes", &list), None);
    assert_eq!(fault(&file("src/passes/prune/heads.rs"), "src/passes", &list), None);
    assert!(fault(&file("src/passes/merge.rs"), "src/passes", &list).is_some());
    assert!(fault(&file("src/passes/cast/mod.rs"), "src/passes", &list).is_some());
}
