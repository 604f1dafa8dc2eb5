//! Models in the form of other runtimes: what is written, where, and what is refused.

use prost::Message;
use tamis::onnx::proto::Model;

use crate::program::Place;

fn onnx(place: &Place, name: &str) -> Model {
    let bytes = std::fs::read(place.path(name)).expect("the program wrote this file");
    Model::decode(bytes.as_slice()).expect("a message of ONNX")
}

#[test]
fn a_model_is_written_with_what_comes_in_and_goes_out() {
    let place = Place::new();
    let ran = place.tamis("export models/bert-eras --to onnx --output deep/x.onnx").fine();
    insta::assert_snapshot!(ran.stdout);
    assert_eq!(place.names("deep"), ["x.onnx"]);
    assert_eq!(onnx(&place, "deep/x.onnx").producer_name, "tamis");
    place.tamis("export models/bert-eras --to onnx --output deep/x.onnx").fails(4, "output-exists");
    let again = place.tamis("export models/bert-eras --to onnx --output deep/x.onnx --replace --format json");
    let json = again.fine().json();
    assert_eq!(json["opset"], 17);
    assert_eq!(json["files"][0], "deep/x.onnx");
    assert_eq!(json["inputs"][1]["name"], "attention_mask");
    assert_eq!(json["outputs"][0]["shape"][1], "4");
}

#[test]
fn an_output_carries_its_recipe_along() {
    let recipe = "model input = \"models/vit-fashion\"\nprune heads of layers[0] keep 2\n\
        merge tokens at layers[1] by key_similarity remove 2\nsave \"out\"\n";
    let place = Place::with(recipe);
    place.tamis("run x.tamis").fine();
    place.tamis("export out --to onnx").fine();
    let model = onnx(&place, "out/model.onnx");
    let note = |key: &str| model.metadata_props.iter().find(|note| note.key == key).map(|note| &note.value);
    assert!(note("tamis.recipe").is_some_and(|text| text.contains("merge tokens")));
    assert_eq!(note("tamis.provenance.sha256").map(String::len), Some(64));
    // A file more is no change of the output.
    let verified = place.tamis("verify out");
    assert_eq!(verified.code, Some(0), "{}", verified.stderr);
    assert!(verified.stderr.contains("note[file-unlisted]"), "{}", verified.stderr);
}

#[test]
fn no_file_of_the_model_is_replaced() {
    let place = Place::with("model input = \"models/llama-sotu\"\ndrop layers[1]\nsave \"out\"\n");
    place.tamis("run x.tamis").fine();
    place.tamis("export out --to onnx --output out/model.safetensors --replace").fails(4, "output-is-input");
    place.tamis("export out --to onnx --output out --replace").fails(4, "output-exists");
    place.tamis("export models/llama-sotu/config.json --to onnx").fails(3, "weights-missing");
}

#[test]
fn what_has_no_form_is_refused_and_nothing_is_written() {
    let place = Place::with(
        "model input = \"models/mixtral-sotu\"\nmerge experts of layers[*] by weights into 4\nsave \"out\"\n",
    );
    place.tamis("run x.tamis").fine();
    let graph = place.read("out/tamis.graph.json");
    place.write("out/tamis.graph.json", graph.replace("\"top_k\":2", "\"scoring\":\"sigmoid\",\"top_k\":2"));
    let before = place.names("out");
    let ran = place.tamis("export out --to onnx").fails(3, "cannot-export");
    assert!(ran.stderr.contains("experts in `layers[0]`"), "{}", ran.stderr);
    assert_eq!(place.names("out"), before);
}
