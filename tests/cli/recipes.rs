//! `check` and `fmt`.

use std::io::Write;
use std::process::Stdio;

use crate::program::{Place, ran};

const WRONG: &str = "\
param budget: ratio = 60%
model input = \"models/bert-eras\"
prune heads of layers[*].atention to budget flops
drop layers[6..12]
save \"out\"
";

#[test]
fn mistakes_are_underlined_on_standard_output() {
    let ran = Place::with(WRONG).tamis("check x.tamis");
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(1), ""));
    insta::assert_snapshot!(ran.stdout);
}

#[test]
fn mistakes_as_json_count_lines_and_columns_from_1() {
    let ran = Place::with(WRONG).tamis("check x.tamis --format json");
    assert_eq!(ran.code, Some(1));
    let found = &ran.json()["diagnostics"][0];
    assert_eq!((&found["code"], &found["severity"]), (&"selects-nothing".into(), &"error".into()));
    let range =
        serde_json::json!({ "start": { "line": 3, "column": 26 }, "end": { "line": 3, "column": 34 } });
    assert_eq!(found["range"], range);
    assert_eq!(found["fix"]["replacement"], "attention");
}

#[test]
fn mistakes_as_sarif_are_a_log_of_one_run() {
    let ran = Place::with(WRONG).tamis("check x.tamis --format sarif");
    assert_eq!(ran.code, Some(1));
    let log: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(log["version"], "2.1.0");
    assert_eq!(log["runs"][0]["results"][0]["ruleId"], "selects-nothing");
}

#[test]
fn several_recipes_are_checked_each_to_its_end() {
    let place = Place::with(WRONG);
    place.write("y.tamis", "model input = \"models/bert-eras\"\nfrob weights of layers[*]\nsave \"out\"\n");
    let ran = place.tamis("check x.tamis missing.tamis y.tamis");
    assert_eq!(ran.code, Some(3), "an input that cannot be read is the worst of it");
    for code in ["selects-nothing", "index-out-of-range", "recipe-unreadable", "unknown-verb"] {
        assert!(ran.stdout.contains(&format!("error[{code}]")), "{}", ran.stdout);
    }
}

#[test]
fn a_recipe_that_cannot_be_read_is_exit_code_3() {
    let place = Place::with("model input = \"models/bert-eras\"\n\u{0}");
    place.write("latin.tamis", b"# caf\xe9\n");
    place.write("directory/y", "");
    for (path, why) in [
        ("latin.tamis", "line 1 is not UTF-8"),
        ("directory", "it is a directory"),
        ("z.tamis", "there is no such file"),
    ] {
        let ran = place.tamis(&format!("check {path}"));
        assert_eq!(ran.code, Some(3), "{path}");
        assert!(ran.stdout.contains(why), "{}", ran.stdout);
        assert!(ran.stdout.contains(&format!("--> {path}")), "{}", ran.stdout);
    }
    assert_eq!(place.tamis("check x.tamis").code, Some(1), "strange characters are the recipe's mistake");
}

#[test]
fn the_command_line_sets_params_and_the_model() {
    let place = Place::with("param share: ratio\nmodel input\ndrop layers[0] of **\nlet kept = share\n");
    let ran = place.tamis("check x.tamis");
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.stdout.contains("error[param-unset]") && ran.stdout.contains("error[model-unset]"),
        "{}",
        ran.stdout
    );
    let ran = place.tamis("check x.tamis --model models/bert-eras --set share=7 --set shore=1");
    assert!(ran.stdout.contains("─[--set:1:7]"), "the caret stands in the text of --set: {}", ran.stdout);
    assert!(ran.stdout.contains("error[bad-setting]: the recipe has no param `shore`"), "{}", ran.stdout);
}

#[test]
fn shapes_can_come_from_a_config_alone() {
    let place = Place::with(WRONG);
    place.write("config.json", std::fs::read(place.path("models/bert-eras/config.json")).unwrap());
    let with_model = place.tamis("check x.tamis").stdout;
    let with_config = place.tamis("check x.tamis --config config.json").stdout;
    assert_eq!(with_config, with_model.replace("models/bert-eras/config.json", "config.json"));
    assert_eq!(place.tamis("check x.tamis --config config.json --model m").code, Some(2));
}

#[test]
fn used_files_lie_beside_the_recipe() {
    let place = Place::new();
    place.write(
        "recipes/x.tamis",
        "use \"../shared/sizes.tamis\"\nmodel input = \"models/bert-eras\"\nlet unused = kept\n",
    );
    place.write("shared/sizes.tamis", "let kept = 30\nlet wrong = \n");
    let ran = place.tamis("check recipes/x.tamis");
    assert!(ran.stdout.contains("[shared/sizes.tamis:2:"), "{}", ran.stdout);
    place.write("shared/sizes.tamis", "use \"../recipes/x.tamis\"\n");
    assert!(place.tamis("check recipes/x.tamis").stdout.contains("error[use-cycle]"));
}

#[test]
fn fmt_rewrites_and_then_has_nothing_to_do() {
    let place = Place::with("model  input=\"m\"\n\n\n# why\ndrop layers[ 0 ]\n");
    let ran = place.tamis("fmt --check x.tamis");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), "x.tamis is not formatted\n"));
    assert!(place.read("x.tamis").starts_with("model  input"), "--check changes nothing");
    assert_eq!(place.tamis("fmt x.tamis").fine().stdout, "x.tamis formatted\n");
    assert_eq!(place.read("x.tamis"), "model input = \"m\"\n\n# why\ndrop layers[0]\n");
    assert_eq!(place.tamis("fmt x.tamis").fine().stdout, "");
    let files = place.tamis("fmt --check x.tamis --format json").fine().json();
    assert_eq!(files["files"], serde_json::json!([{ "path": "x.tamis", "changed": false }]));
    assert_eq!(place.names("."), ["models", "x.tamis"], "nothing is left beside it");
}

#[test]
fn fmt_leaves_alone_what_it_cannot_read() {
    let place = Place::with("model input = \nlet  x = 3\n");
    place.tamis("fmt x.tamis").fails(1, "syntax");
    assert_eq!(place.read("x.tamis"), "model input = \nlet  x = 3\n");
    place.tamis("fmt y.tamis").fails(3, "recipe-unreadable");
}

#[test]
fn fmt_reads_standard_input() {
    let place = Place::new();
    let mut command = place.command(&["fmt", "-"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"let  x=3").unwrap();
    assert_eq!(ran(child.wait_with_output().unwrap()).fine().stdout, "let x = 3\n");
}
