//! What the program makes for those who write recipes: a first recipe, imports, annotations, completions, manual pages.

use crate::program::{Place, Ran};

const MODELS: [&str; 4] = ["bert-eras", "llama-sotu", "mixtral-sotu", "vit-fashion"];

#[test]
fn a_first_recipe_checks_and_is_formatted() {
    let place = Place::new();
    for model in MODELS {
        let made = place.tamis(&format!("new models/{model}")).fine();
        place.write("new.tamis", &made.stdout);
        place.tamis("check new.tamis").fine();
        place.tamis("fmt --check new.tamis").fine();
        assert!(made.stdout.contains("layers"), "the sizes are told: {}", made.stdout);
        let has_experts = made.stdout.contains("prune experts");
        assert_eq!(has_experts, model == "mixtral-sotu", "{}", made.stdout);
    }
    insta::assert_snapshot!(place.tamis("new models/bert-eras").fine().stdout);
}

#[test]
fn a_recipe_that_is_there_is_left_alone() {
    let place = Place::new();
    place.tamis("new models/bert-eras a.tamis").fine();
    let first = place.read("a.tamis");
    place.tamis("new models/llama-sotu a.tamis").fails(4, "output-exists");
    assert_eq!(place.read("a.tamis"), first);
    place.tamis("new models/none b.tamis").fails(3, "model-missing");
}

/// The program on one of the files beside this one.
fn imported(place: &Place, name: &str, more: &str) -> Ran {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/cli/import/{name}.yaml"));
    place.write(&format!("{name}.yaml"), std::fs::read(path).unwrap());
    place.tamis(format!("import {name}.yaml {more}").trim())
}

#[test]
fn recipes_of_llm_compressor_are_imported() {
    let place = Place::new();
    let made = imported(&place, "sparsegpt", "");
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    assert!(made.stderr.contains("warning[no-equivalent]"), "{}", made.stderr);
    insta::assert_snapshot!(made.stdout);
    insta::assert_snapshot!(imported(&place, "wanda", "").stdout);
}

#[test]
fn slices_of_a_model_become_layers_that_are_dropped() {
    let place = Place::new();
    let made = imported(&place, "slices", "--model models/bert-eras").fine();
    insta::assert_snapshot!(made.stdout);
    let twice = imported(&place, "franken", "");
    assert!(twice.stderr.contains("come a second time"), "{}", twice.stderr);
}

#[test]
fn what_is_imported_checks() {
    let place = Place::new();
    for (name, model) in [("slices", "bert-eras"), ("magnitude", "llama-sotu")] {
        let made = imported(&place, name, &format!("--model models/{model} --out {name}.tamis")).fine();
        assert_eq!(made.stdout, format!("{name}.tamis written\n"));
        place.tamis(&format!("check {name}.tamis")).fine();
        place.tamis(&format!("fmt --check {name}.tamis")).fine();
    }
}

#[test]
fn what_cannot_be_imported_is_told_where() {
    let place = Place::new();
    let import = |text: &str| {
        place.write("x.yaml", text);
        place.tamis("import x.yaml")
    };
    import("a: [1\nb: 2\n").fails(3, "import-unreadable");
    import("name: x\n").fails(3, "import-unknown");
    place.tamis("import none.yaml").fails(3, "import-unreadable");
    let odd = [
        "",
        "- 1\n",
        "slices: []\n",
        "slices: [1]\n",
        "x_stage: {y_modifiers: {WandaPruningModifier: 3}}\n",
        "&a [*a]",
    ];
    for text in odd {
        let ran = import(text);
        assert!(ran.code.is_some_and(|code| code < 5), "{text}: {}", ran.stderr);
    }
}

#[test]
fn mistakes_become_annotations() {
    let place = Place::with("model input = \"models/bert-eras\"\nprne heads keep 2\nsave \"out\"\n");
    let ran = place.tamis("check x.tamis --format github");
    assert_eq!(ran.code, Some(1));
    let begin = "::error file=x.tamis,line=2,endLine=2,col=1,endColumn=5,title=unknown-verb::there is no verb `prne`%0A";
    assert!(ran.stdout.starts_with(begin), "{}", ran.stdout);
}

#[test]
fn shells_and_manuals_know_every_command() {
    let place = Place::new();
    place.tamis("man man").fine();
    let bash = place.tamis("completions bash").fine().stdout;
    for command in ["inspect", "check", "plan", "run", "fmt", "doc", "new", "import", "lsp"] {
        assert!(place.read("man/tamis.1").contains(command), "{command}");
        assert!(place.read(&format!("man/tamis-{command}.1")).contains(".SH"), "{command}");
        assert!(bash.contains(command), "{command}");
    }
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        assert!(place.tamis(&format!("completions {shell}")).fine().stdout.contains("tamis"), "{shell}");
    }
}

/// What the schema of SARIF 2.1.0 asks of the parts that are written; `tests/golden/sarif.py` reads the schema itself.
#[test]
fn a_sarif_log_has_the_form_of_the_standard() {
    let place = Place::with(
        "let unused = 1\nmodel input = \"models/bert-eras\"\nprne heads keep 2\ndrop layers[1]\ndrop layers[7]\nsave \"a b\"\nsave \"a b\"\n",
    );
    let ran = place.tamis("check x.tamis missing.tamis --format sarif");
    let log: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    assert_eq!(run["tool"]["driver"]["name"], "tamis");
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let results = run["results"].as_array().unwrap();
    assert!(results.len() > 4, "{}", ran.stdout);
    for result in results {
        let rule = &rules[usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
        assert_eq!(rule["id"], result["ruleId"]);
        assert!(!rule["fullDescription"]["text"].as_str().unwrap().is_empty());
        assert!(["none", "note", "warning", "error"].contains(&result["level"].as_str().unwrap()));
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
        let related = result["relatedLocations"].as_array().unwrap();
        let unique: std::collections::BTreeSet<String> = related.iter().map(ToString::to_string).collect();
        assert_eq!(unique.len(), related.len(), "related places are a set");
        for location in result["locations"].as_array().unwrap().iter().chain(related) {
            let physical = &location["physicalLocation"];
            let uri = physical["artifactLocation"]["uri"].as_str().unwrap();
            assert!(!uri.contains([' ', '\\', '"']), "{uri}");
            for bound in ["startLine", "startColumn", "endLine", "endColumn"] {
                assert!(physical["region"].is_null() || physical["region"][bound].as_u64().unwrap() >= 1);
            }
        }
        for fix in result["fixes"].as_array().unwrap() {
            let change = &fix["artifactChanges"][0];
            assert!(change["artifactLocation"]["uri"].is_string());
            assert!(change["replacements"][0]["deletedRegion"]["startLine"].as_u64().unwrap() >= 1);
            assert!(change["replacements"][0]["insertedContent"]["text"].is_string());
        }
    }
}

/// The script of the GitHub Action, on a shell.
#[test]
fn the_action_annotates_and_fails() {
    let place = Place::with("model input = \"models/bert-eras\"\nprne heads keep 2\nsave \"out\"\n");
    place.write("good.tamis", "model input = \"models/bert-eras\"\nprune heads keep 2\nsave \"out\"\n");
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(".github/check-recipes");
    let run = |recipes: &str| {
        let mut command = std::process::Command::new("bash");
        command.arg(&script).current_dir(place.path("")).env("TAMIS", env!("CARGO_BIN_EXE_tamis"));
        command.env("RECIPES", recipes).env("SARIF", "log.sarif");
        crate::program::ran(command.output().expect("a shell is there"))
    };
    let wrong = run("*.tamis");
    assert_eq!(wrong.code, Some(1), "{}{}", wrong.stdout, wrong.stderr);
    assert!(wrong.stdout.contains("::error file=x.tamis,line=2"), "{}", wrong.stdout);
    assert!(place.read("log.sarif").contains("unknown-verb"));
    let good = run("g*.tamis");
    assert_eq!((good.code, good.stderr.as_str()), (Some(0), ""), "{}", good.stdout);
    let none = run("none*.tamis");
    assert_eq!(none.code, Some(2), "{}", none.stdout);
}
