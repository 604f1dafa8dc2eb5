//! Damaged and hostile models: a message with the path, the right exit code, nothing written, nothing touched.

use std::fs;
use std::path::Path;

use crate::program::{Place, Ran};

pub const RECIPE: &str = "model input = \"model\"\ndrop layers[0]\nsave \"out\"\n";

/// A place with a recipe for a copy of a real model in `model`.
fn place() -> Place {
    let place = Place::with(RECIPE);
    fs::create_dir(place.path("model")).unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(place.path("models/bert-eras").join(name), place.path("model").join(name)).unwrap();
    }
    place
}

fn weights(place: &Place) -> Vec<u8> {
    fs::read(place.path("model/model.safetensors")).unwrap()
}

/// Checks the recipe, which has to fail with exit code 3 and this code, and to write nothing.
pub fn refused(place: &Place, code: &str, path: &str) -> Ran {
    let before = place.names(".");
    let ran = place.tamis("check x.tamis");
    assert_eq!(ran.code, Some(3), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains(&format!("error[{code}]")), "{}", ran.stdout);
    assert!(ran.stdout.contains(path), "the path is named: {}", ran.stdout);
    assert_eq!(place.names("."), before);
    ran
}

#[test]
fn a_truncated_file_is_refused() {
    let place = place();
    let whole = weights(&place);
    place.write("model/model.safetensors", &whole[..whole.len() - 1]);
    refused(&place, "weights-truncated", "model/model.safetensors");
    for bytes in [0, 4, 8, 100] {
        place.write("model/model.safetensors", &whole[..bytes]);
        let ran = place.tamis("check x.tamis");
        assert_eq!(ran.code, Some(3), "{bytes} bytes: {}", ran.stdout);
    }
}

#[test]
fn a_flipped_bit_of_the_header_is_found_or_harmless() {
    let place = place();
    let whole = weights(&place);
    // Each bit of the length, and some of the JSON behind it.
    let bits = (0..64).chain((64..64 + 8 * 400).step_by(37));
    for bit in bits {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        place.write("model/model.safetensors", &flipped);
        let ran = place.tamis("check x.tamis");
        assert!(matches!(ran.code, Some(0 | 3)), "bit {bit}: {:?}\n{}{}", ran.code, ran.stdout, ran.stderr);
    }
}

#[test]
fn a_header_that_claims_the_memory_of_the_machine_is_refused() {
    let place = place();
    let mut file = u64::MAX.to_le_bytes().to_vec();
    file.extend(b"{}");
    place.write("model/model.safetensors", file);
    refused(&place, "header-too-large", "model/model.safetensors");
}

#[test]
fn a_weight_map_does_not_lead_out_of_its_directory() {
    let place = place();
    fs::rename(place.path("model/model.safetensors"), place.path("secret.safetensors")).unwrap();
    place.write("model/model.safetensors.index.json", r#"{"weight_map": {"a": "../secret.safetensors"}}"#);
    refused(&place, "shard-outside", "model/model.safetensors.index.json");
}

#[test]
fn pickled_weights_are_not_read() {
    let place = place();
    fs::rename(place.path("model/model.safetensors"), place.path("model/pytorch_model.bin")).unwrap();
    let ran = refused(&place, "weights-pickled", "model");
    assert!(ran.stdout.contains("safetensors"), "{}", ran.stdout);
}

#[test]
fn a_config_that_disagrees_with_the_weights_is_pointed_at() {
    let place = place();
    let config = place.read("model/config.json").replace("\"hidden_size\": 128", "\"hidden_size\": 256");
    place.write("model/config.json", config);
    let ran = refused(&place, "tensor-misshapen", "model/config.json");
    assert!(ran.stdout.contains("\"hidden_size\": 256"), "the field is shown: {}", ran.stdout);
    place.write("model/config.json", "{ \"model_type\": \"bert\", ");
    refused(&place, "config-invalid", "model/config.json");
    place.write("model/config.json", "{ \"model_type\": \"frobnet\" }");
    refused(&place, "unknown-architecture", "model/config.json");
    fs::remove_file(place.path("model/config.json")).unwrap();
    refused(&place, "config-missing", "model/config.json");
}

#[test]
fn a_model_that_is_not_there_is_told_at_the_line_that_names_it() {
    let place = place();
    fs::rename(place.path("model"), place.path("modell")).unwrap();
    let ran = refused(&place, "model-missing", "model");
    assert!(
        ran.stdout.contains("[x.tamis:1:1]") && ran.stdout.contains("there is `modell`"),
        "{}",
        ran.stdout
    );
    assert!(Path::new(&place.path("modell")).is_dir());
}

#[test]
fn a_weight_that_is_not_a_number_stops_the_run_and_leaves_nothing() {
    let place = place();
    let mut bytes = weights(&place);
    let last = bytes.len() - 2;
    // Every f16 of the last tensors: a pattern of NaN.
    bytes[last - 2 * 100_000..].fill(0x7f);
    place.write("model/model.safetensors", &bytes);
    place.write(
        "x.tamis",
        "model input = \"model\"\nsparsify weights of layers[*] to 2:4\nsave \"made/out\"\n",
    );
    let ran = place.tamis("run x.tamis").fails(3, "weights-not-finite");
    assert!(ran.stderr.contains("`layers[3].mlp."), "the weight is named: {}", ran.stderr);
    assert!(ran.stderr.contains("[x.tamis:2:1]"), "the step is shown: {}", ran.stderr);
    assert!(!place.path("made").exists(), "{:?}", place.names("."));
    assert_eq!(weights(&place), bytes);
}

#[test]
fn flipped_bits_of_weights_are_other_weights() {
    let place = place();
    let mut bytes = weights(&place);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    place.write("model/model.safetensors", &bytes);
    place.tamis("run x.tamis").fine();
    let diff = place.tamis("diff models/bert-eras model --format json").fine().json();
    let changed =
        diff["tensors"].as_array().unwrap().iter().filter(|tensor| tensor["change"]["kind"] != "same");
    assert_eq!(changed.count(), 1);
    // The output says what it was made from, so that the good model is told from the bad one.
    assert_eq!(place.tamis("verify out --model models/bert-eras --format json").json()["input"], "changed");
}
