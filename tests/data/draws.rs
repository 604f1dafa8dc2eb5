//! Which samples are taken.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use tamis::pass::For;

use crate::support::{data, file, model, refused, samples, tokens};

/// A file of a hundred lines, each with its own number.
fn numbers() -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.jsonl");
    let mut text = String::new();
    (0..100).for_each(|number| writeln!(text, "[{number}]").unwrap());
    std::fs::write(&path, text).unwrap();
    let path = path.display().to_string();
    (dir, path)
}

fn drawn(path: &str, more: &str) -> Vec<u32> {
    let llama = file("llama-sotu");
    tokens(samples(&data(&format!("tokens(\"{path}\"{more})")), &model(llama.as_ref())).unwrap()).concat()
}

#[test]
fn the_first_ones_are_taken_unless_shuffled() {
    let (_dir, path) = numbers();
    assert_eq!(drawn(&path, ", samples: 3, seed: 5"), [0, 1, 2]);
}

#[test]
fn a_draw_is_the_same_on_every_machine() {
    let (_dir, path) = numbers();
    assert_eq!(drawn(&path, ", samples: 6, shuffle: true"), [78, 38, 0, 18, 72, 16]);
    assert_eq!(drawn(&path, ", samples: 6, shuffle: true, seed: 7"), [74, 81, 0, 51, 86, 40]);
}

#[test]
fn a_few_are_the_first_of_many_and_all_are_each_once() {
    let (_dir, path) = numbers();
    let all = drawn(&path, ", shuffle: true, seed: 1");
    assert_eq!(drawn(&path, ", samples: 10, shuffle: true, seed: 1"), all[..10]);
    assert_eq!(all.iter().copied().collect::<BTreeSet<_>>(), (0..100).collect());
}

#[test]
fn windows_are_drawn_from_all_there_are() {
    let llama = file("llama-sotu");
    let model = For { causal: true, positions: Some(256), ..model(llama.as_ref()) };
    let of = |more: &str| {
        let call = format!("text(\"{}\", tokens: 64{more})", file("data/sotu-train.txt"));
        tokens(samples(&data(&call), &model).unwrap())
    };
    let (all, some) = (of(""), of(", samples: 9, shuffle: true, seed: 2"));
    assert!(some.iter().all(|window| all.contains(window)));
    assert_eq!(some.iter().collect::<BTreeSet<_>>().len(), 9);
    assert!(some != all[..9]);
}

#[test]
fn equal_descriptions_are_equal_samples() {
    let of = |call: &str| data(call).reader.describe();
    assert_eq!(of("text(\"x\", seed: 3)"), "text(\"x\")");
    assert_eq!(
        of("text(path: \"x\", tokens: 8, samples: 2, seed: 3, shuffle: true, label: \"y\", field: \"s\")"),
        "text(\"x\", field: \"s\", label: \"y\", samples: 2, tokens: 8, shuffle: 3)"
    );
    assert_eq!(of("image(\"x\", split: \"test\")"), "image(\"x\", split: \"test\")");
    assert_eq!(of("tokens(\"x\", shuffle: true)"), "tokens(\"x\", shuffle: 0)");
    assert_eq!(format!("{:?}", data("tokens(\"x\")")), "tokens(\"x\")");
}

#[test]
fn tokens_are_what_the_model_knows_and_takes() {
    let dir = tempfile::tempdir().unwrap();
    let llama = file("llama-sotu");
    for (text, code, said) in [
        ("[1]\n[2048]", "data-unfit", "token 2048"),
        ("[1]\n[1, 2, 3]", "data-unfit", "3 tokens"),
        ("[1]\n[]", "data-invalid", "line 2"),
        ("[1]\n[-1]", "data-invalid", "line 2"),
        ("[1]\n{}", "data-invalid", "line 2"),
        ("\n\n", "data-too-few", "not one"),
    ] {
        let path = dir.path().join("x.jsonl");
        std::fs::write(&path, text).unwrap();
        let model = For { positions: Some(2), ..model(llama.as_ref()) };
        let error = refused(&data(&format!("tokens(\"{}\")", path.display())), &model);
        assert_eq!(error.code.name, code, "{text}: {}", error.message);
        assert!(error.message.contains(said), "{text}: {}", error.message);
    }
}
