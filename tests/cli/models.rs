//! `inspect`, `diff`, `eval` and `doc`.

use crate::program::Place;

#[test]
fn a_model_is_shown_as_a_tree() {
    let ran = Place::new().tamis("inspect models/bert-eras").fine();
    insta::assert_snapshot!(ran.stdout);
}

#[test]
fn a_model_as_json_adds_up() {
    let place = Place::new();
    let model = place.tamis("inspect models/bert-eras --tokens 16 --batch 2 --format json").fine().json();
    let size = |it: &serde_json::Value| -> u64 {
        it["shape"].as_array().unwrap().iter().map(|extent| extent.as_u64().unwrap()).product()
    };
    let parameters = model["parameters"].as_array().unwrap();
    assert_eq!(model["params"], parameters.iter().map(size).sum::<u64>());
    assert_eq!(model["flops"].as_u64(), model["macs"].as_u64().map(|macs| 2 * macs));
    let of_config =
        place.tamis("inspect --config models/bert-eras/config.json --tokens 16 --batch 2 --format json");
    assert_eq!(of_config.fine().json()["macs"], model["macs"]);
    place.tamis("inspect models/bert-era").fails(3, "model-missing");
    let failed = place.tamis("inspect models/bert-era --format json");
    assert_eq!(failed.json()["diagnostics"][0]["code"], "model-missing");
}

#[test]
fn a_model_is_no_different_from_itself() {
    let ran = Place::new().tamis("diff models/bert-eras models/bert-eras").fine();
    assert!(ran.stdout.ends_with("\n73 tensors: 73 the same\n"), "{}", ran.stdout);
}

#[test]
fn what_steps_changed_is_told_tensor_by_tensor() {
    let recipe = "model input = \"models/bert-eras\"\ndrop layers[3]\nsparsify weights of layers[0].mlp to 2:4\n\
        prune neurons of layers[1] keep 50%\ncast weights of layers[2].attention to bf16\nsave \"out\"\n";
    let place = Place::with(recipe);
    place.tamis("run x.tamis").fine();
    insta::assert_snapshot!(place.tamis("diff models/bert-eras out").fine().stdout);
    let diff = place.tamis("diff models/bert-eras out --format json").fine().json();
    let tensor = |name: &str| {
        let all = diff["tensors"].as_array().unwrap();
        all.iter()
            .find(|tensor| tensor["name"] == format!("bert.encoder.layer.{name}.weight"))
            .unwrap()
            .clone()
    };
    let masked = tensor("0.intermediate.dense");
    assert_eq!(masked["sides"][1]["zeros"], 128 * 384 / 2);
    let relative = masked["change"]["relative"].as_f64().unwrap();
    assert!((0.1..0.7).contains(&relative), "half of the weights, and the smaller half: {relative}");
    assert_eq!(tensor("1.intermediate.dense")["change"]["kind"], "shape");
    assert_eq!(tensor("1.attention.self.query")["change"]["kind"], "same");
    assert_eq!(tensor("3.attention.self.query")["change"]["kind"], "only_in_a");
    assert_eq!(diff["b"]["params"], place.tamis("inspect out --format json").json()["params"]);
}

#[test]
fn models_are_measured_without_a_recipe() {
    let place = Place::new();
    let line = [
        "eval",
        "models/bert-eras",
        "--measure",
        "params",
        "--measure",
        "zeros of layers[0]",
        "--format",
        "json",
    ];
    let ran = crate::program::ran(place.command(&line).output().unwrap()).fine();
    assert_eq!(ran.json()["measures"], serde_json::json!({ "params": 957_572, "zeros of layers[0]": 0.0 }));
    let unknown = place.tamis("eval models/bert-eras --measure parms").fails(1, "unknown-measure");
    assert!(unknown.stderr.contains("did you mean `params`?"), "{}", unknown.stderr);
    place.tamis("eval models/bert-eras --measure params --data x").fails(1, "wrong-type");
    place.tamis("eval models/bert-eras/config.json --measure zeros").fails(3, "weights-missing");
    assert_eq!(
        place.tamis("eval models/bert-eras/config.json --measure params").fine().stdout,
        "params  958 K\n"
    );
}

#[test]
fn words_of_the_language_are_told() {
    let place = Place::new();
    let page = place.tamis("doc sparsify").fine().stdout;
    assert!(page.starts_with("verb `sparsify`\n"), "{page}");
    assert!(place.tamis("doc").fine().stdout.contains("\n  sparsify "));
    let unknown = place.tamis("doc sparsfy").fails(2, "unknown-entry");
    assert!(unknown.stderr.contains("did you mean `sparsify`?"), "{}", unknown.stderr);
    assert_eq!(place.tamis("doc layers --format json").fine().json()["entries"][0]["kind"], "noun");
}
