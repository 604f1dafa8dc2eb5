//! Wrong usage, help, and readers that go away.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;

use crate::program::{Place, ran};

#[test]
fn wrong_usage_is_exit_code_2() {
    let place = Place::new();
    for line in
        ["", "chek x.tamis", "check", "check --colour x.tamis", "check x.tamis --format dot", "explain a b"]
    {
        let ran = place.tamis(line);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{line}");
        assert!(ran.stderr.contains("'--help'") || line.is_empty(), "{}", ran.stderr);
    }
    assert!(place.tamis("chek").stderr.contains("'check'"));
}

#[test]
fn no_cost_is_stated_for_texts_that_the_model_cannot_read() {
    let place = Place::new();
    let ran = place.tamis("inspect models/bert-eras --tokens 129").fails(2, "too-many-tokens");
    assert!(ran.stderr.contains("129 tokens are more than the 128 positions"), "{}", ran.stderr);
    place.tamis("inspect models/bert-eras --tokens 128").fine();
    place.tamis("eval models/bert-eras --measure flops --tokens 129").fails(2, "too-many-tokens");
    // Rotary positions end nowhere.
    place.tamis("inspect models/llama-sotu --tokens 100000").fine();
}

#[test]
fn help_and_version_are_results() {
    let place = Place::new();
    let help = place.tamis("--help").fine().stdout;
    for command in ["inspect", "check", "plan", "run", "diff", "verify", "fmt", "doc", "explain", "eval"] {
        assert!(help.contains(&format!("\n  {command} ")), "{command} is not in\n{help}");
    }
    assert_eq!(place.tamis("--version").fine().stdout, format!("tamis {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_reader_that_goes_away_is_a_normal_end() {
    let place = Place::new();
    let mut child =
        place.command(&["explain"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Nobody will ever read: the pipe is closed before the program has written a byte or while it does.
    drop(child.stdout.take());
    let mut told = String::new();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert_eq!((child.wait().unwrap().code(), told.as_str()), (Some(0), ""));
}

#[test]
fn paths_may_be_of_any_bytes() {
    let place = Place::with("model input\ndrop layers[0]\nsave \"out\"\n");
    let name = OsStr::from_bytes(b"caf\xe9");
    std::os::unix::fs::symlink(place.path("models/bert-eras"), place.path(".").join(name)).unwrap();
    for words in ["plan x.tamis --format json", "plan x.tamis", "run x.tamis --format json"] {
        let words: Vec<&str> = words.split(' ').collect();
        let ran = place.command(&words).arg("--model").arg(name).output().unwrap();
        assert!(ran.status.success(), "{words:?}: {}", String::from_utf8_lossy(&ran.stderr));
    }
    let ran = place
        .command(&["run", "x.tamis", "--model", "models/bert-eras", "--out"])
        .arg(name)
        .output()
        .unwrap();
    assert_eq!(ran.status.code(), Some(4), "the link is not replaced");
}

#[test]
fn an_answer_that_cannot_be_written_is_exit_code_4() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let ran = ran(Place::new().command(&["explain"]).stdout(full).output().unwrap());
    assert_eq!(ran.code, Some(4));
    assert!(ran.stderr.starts_with("error: cannot write to standard output: "), "{}", ran.stderr);
}

#[test]
fn codes_are_explained_as_they_are_copied() {
    let place = Place::new();
    let page = place.tamis("explain unknown-verb").fine().stdout;
    assert!(page.starts_with("error[unknown-verb]\n\n"), "{page}");
    assert_eq!(place.tamis("explain error[unknown-verb]").fine().stdout, page);
    let unknown = place.tamis("explain unknown-vreb").fails(2, "unknown-code");
    assert!(unknown.stderr.contains("did you mean `unknown-verb`?"), "{}", unknown.stderr);
    let codes = place.tamis("explain --format json").fine().json();
    assert!(codes["codes"].as_array().unwrap().iter().any(|code| code["code"] == "syntax"));
}
