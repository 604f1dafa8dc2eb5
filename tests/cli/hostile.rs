//! Headers and indexes as an attacker or a broken download would make them: each refused under its own name.

use std::fs;

use crate::bad_input::{RECIPE, refused};
use crate::program::Place;

const SHARDS: [&str; 2] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
const INDEX: &str = "model/model.safetensors.index.json";

/// A place with a recipe for a model of a real config and no weights yet.
fn place() -> Place {
    let place = Place::with(RECIPE);
    fs::create_dir(place.path("model")).unwrap();
    fs::copy(place.path("models/bert-eras/config.json"), place.path("model/config.json")).unwrap();
    place
}

/// A file of that header, as it is, and so many bytes of zeros.
fn safetensors(header: &str, data: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; data]].concat()
}

fn tensor(name: &str, dtype: &str, shape: &str, offsets: [u64; 2]) -> String {
    format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets:?}}}"#)
}

#[test]
fn headers_that_lie_are_refused() {
    let place = place();
    let a = tensor("a", "U8", "[4]", [0, 4]);
    let with = |other: String| format!("{{{a},{other}}}");
    let cases = [
        ("header-invalid", "{]".to_owned(), 0),
        ("header-invalid", r#"{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}}"#.to_owned(), 1),
        ("duplicate-tensor", with(a.clone()), 4),
        ("unknown-dtype", with(tensor("b", "Q9", "[4]", [4, 8])), 8),
        ("unsupported-dtype", with(tensor("b", "F8_E4M3", "[4]", [4, 8])), 8),
        // Overlapping, with a hole between, ending before it begins, past every file.
        ("tensor-offsets", with(tensor("b", "U8", "[4]", [2, 6])), 6),
        ("tensor-offsets", with(tensor("b", "U8", "[4]", [5, 9])), 9),
        ("tensor-offsets", with(tensor("b", "U8", "[4]", [8, 4])), 8),
        ("tensor-offsets", with(tensor("b", "U8", "[4]", [u64::MAX - 4, u64::MAX])), 8),
        // Another number of bytes than the shape takes, and a shape that no memory holds.
        ("tensor-size", with(tensor("b", "F32", "[4]", [4, 8])), 8),
        ("tensor-size", with(tensor("b", "U8", "[4294967296,4294967296]", [4, 8])), 8),
        ("weights-truncated", with(tensor("b", "U8", "[4]", [4, 8])), 7),
    ];
    for (code, header, data) in cases {
        place.write("model/model.safetensors", safetensors(&header, data));
        refused(&place, code, "model/model.safetensors");
    }
    // The format allows a hundred megabytes of header, and a file can announce all of them.
    let announced = [&100_000_000_u64.to_le_bytes()[..], b"{}"].concat();
    place.write("model/model.safetensors", announced);
    refused(&place, "weights-truncated", "model/model.safetensors");
}

#[test]
fn a_header_of_a_hundred_megabytes_is_read_or_refused_and_not_believed() {
    let place = place();
    let longest = 100_000_000;
    let padded = format!("{{}}{}", " ".repeat(longest - 2));
    place.write("model/model.safetensors", safetensors(&padded, 0));
    // It is a header; that it lists no tensor of the model is what is wrong.
    refused(&place, "tensor-missing", "model");
    place.write("model/model.safetensors", safetensors(&format!("{padded} "), 0));
    refused(&place, "header-too-large", "model/model.safetensors");
}

#[test]
fn an_index_has_to_agree_with_its_shards() {
    let place = place();
    let shard = |name: &str| safetensors(&format!("{{{}}}", tensor(name, "U8", "[1]", [0, 1])), 1);
    let map = |of: &[(&str, &str)]| {
        let entries: Vec<String> = of.iter().map(|(name, file)| format!(r#""{name}":"{file}""#)).collect();
        format!(r#"{{"weight_map":{{{}}}}}"#, entries.join(","))
    };
    for broken in ["{", "{}", r#"{"weight_map":{}}"#, r#"{"weight_map":{"a":3}}"#] {
        place.write(INDEX, broken);
        refused(&place, "index-invalid", INDEX);
    }
    place.write(INDEX, map(&[("a", SHARDS[0]), ("b", SHARDS[1])]));
    place.write(&format!("model/{}", SHARDS[0]), shard("a"));
    let ran = refused(&place, "shard-missing", INDEX);
    assert!(ran.stdout.contains(SHARDS[1]), "{}", ran.stdout);
    place.write(&format!("model/{}", SHARDS[1]), shard("c"));
    refused(&place, "tensor-not-in-shard", SHARDS[1]);
    place.write(&format!("model/{}", SHARDS[1]), shard("a"));
    refused(&place, "duplicate-tensor", SHARDS[1]);
}

#[test]
fn a_directory_in_the_place_of_a_file_is_no_file() {
    let place = place();
    fs::create_dir(place.path("model/model.safetensors")).unwrap();
    refused(&place, "read-failed", "model/model.safetensors");
}
