//! `run` and `verify`: what is written, what is not, and whether it comes out again.

use std::fs;

use tamis::checkpoint::{Checkpoint, TensorSpec, read_graph};
use tamis::tensor::DType;

use crate::program::Place;
use crate::support::Synthetic;

const QUICK: &str = "\
## Half of the MLP weights, and a layer less.
model input = \"models/bert-eras\"
drop layers[1]
sparsify weights of layers[*].mlp by magnitude to 2:4
expect params <= 90% of input
measure zeros of layers[*].mlp
save \"out/quick\"
";

/// Every file of an output.
const FILES: [&str; 11] = [
    "README.md",
    "config.json",
    "model.safetensors",
    "provenance.json",
    "recipe.tamis",
    "report.html",
    "report.json",
    "tamis.lock",
    "timings.json",
    "tokenizer.json",
    "tokenizer_config.json",
];

#[test]
fn a_run_prints_a_table_and_leaves_a_whole_directory() {
    let place = Place::with(QUICK);
    insta::assert_snapshot!(place.tamis("run x.tamis").fine().stdout);
    assert_eq!(place.names("out"), ["quick"]);
    assert_eq!(place.names("out/quick"), FILES);
    assert_eq!(place.read("out/quick/recipe.tamis"), QUICK);
    let inspected = place.tamis("inspect out/quick --format json").fine().json();
    assert_eq!(inspected["family"], "bert");
}

#[test]
fn a_run_as_json_is_one_object() {
    let place = Place::with(QUICK);
    let ran = place.tamis("run x.tamis --out result --format json").fine().json();
    assert_eq!(ran["output"], "result");
    assert_eq!(ran["measures"]["zeros of layers[*].mlp"], 0.5);
    assert_eq!(ran["expectations"][0]["held"], true);
    assert_eq!(ran["steps"].as_array().unwrap().len(), 2);
    assert!(ran["after"]["params"].as_u64() < ran["before"]["params"].as_u64());
    assert_eq!(place.names("result"), FILES);
}

#[test]
fn a_plan_says_what_the_run_will_do() {
    let place = Place::with(QUICK);
    insta::assert_snapshot!(place.tamis("plan x.tamis --explain").fine().stdout);
    let plan = place.tamis("plan x.tamis --format json").fine().json();
    let ran = place.tamis("run x.tamis --format json").fine().json();
    assert_eq!(plan["after"]["params"], ran["after"]["params"]);
    assert_eq!(plan["after"]["flops"], ran["after"]["flops"]);
    assert!(place.tamis("plan x.tamis --format dot").fine().stdout.starts_with("digraph plan {"));
    let cost = place.tamis("check x.tamis --cost").fine().stdout;
    insta::assert_snapshot!(cost);
}

#[test]
fn a_failed_expectation_is_exit_code_1_after_everything_is_written() {
    let recipe = "model input = \"models/bert-eras\"\nsparsify weights of layers[*].mlp to 2:4\n\
        expect zeros >= 90%\nsave \"out\"\n";
    let place = Place::with(recipe);
    let ran = place.tamis("run x.tamis").fails(1, "expectation-failed");
    assert!(ran.stdout.contains("zeros"), "the table is printed all the same: {}", ran.stdout);
    assert_eq!(place.names("out"), FILES);
    assert_eq!(place.tamis("verify out").code, Some(0));
}

#[test]
fn an_output_that_exists_stays_as_it_is_unless_it_may_be_replaced() {
    let place = Place::with(QUICK);
    place.write("out/quick/precious.txt", "mine");
    place.tamis("run x.tamis").fails(4, "output-exists");
    place.tamis("run x.tamis --replace").fails(4, "output-exists");
    assert_eq!(place.names("out/quick"), ["precious.txt"], "tamis replaces only what it wrote");
    assert_eq!(place.names("out"), ["quick"]);
    fs::remove_dir_all(place.path("out/quick")).unwrap();
    place.tamis("run x.tamis").fine();
    place.tamis("run x.tamis").fails(4, "output-exists");
    place.tamis("run x.tamis --replace").fine();
    assert_eq!(place.names("out"), ["quick"]);
}

#[test]
fn an_output_that_cannot_be_made_is_exit_code_4() {
    let place = Place::with(QUICK);
    for (out, code) in [("x.tamis/below/a/file", "output-not-writable"), ("/proc/tamis/out", "write-failed")]
    {
        let ran = place.tamis(&format!("run x.tamis --out {out}")).fails(4, code);
        assert!(ran.stderr.contains(out), "{}", ran.stderr);
    }
    place.tamis("run x.tamis --out models/bert-eras/out").fails(4, "output-is-input");
    assert_eq!(place.names("."), ["models", "x.tamis"], "nothing was written");
}

#[test]
fn several_outputs_go_below_out_by_their_last_name() {
    let recipe = "param layer: count = 1\nmodel input = \"models/bert-eras\"\n\
        sweep share in [50%, 75%] {\n  drop layers[layer]\n  prune neurons of layers[*] keep share\n  \
        save \"made/kept-{share}\"\n}\n";
    let place = Place::with(recipe);
    let ran = place.tamis("run x.tamis --out all --set layer=2 --format json").fine().json();
    assert_eq!(place.names("all"), ["kept-50", "kept-75"]);
    assert_eq!(ran["outputs"][1]["output"], "all/kept-75");
    place.tamis("verify all/kept-75 --rerun").fine();
    assert_eq!(place.names("all"), ["kept-50", "kept-75"], "the second run left nothing");
    let moved = recipe.replace("made/kept-{share}", "made/{share}/model");
    place.write("x.tamis", moved);
    let clash = place.tamis("run x.tamis --out both").fails(1, "duplicate-save");
    assert!(clash.stderr.contains("`both/model`"), "{}", clash.stderr);
}

#[test]
fn threads_and_rules_do_not_change_a_byte() {
    let place = Place::with(QUICK);
    for (threads, arguments) in
        [("1", "--out one"), ("3", "--out three"), ("2", "--out plain --no-optimize --no-cache")]
    {
        let arguments: Vec<&str> = ["run", "x.tamis"].into_iter().chain(arguments.split(' ')).collect();
        let ran = place.command(&arguments).env("RAYON_NUM_THREADS", threads).output().unwrap();
        assert!(ran.status.success());
    }
    let digests = place.read("one/provenance.json");
    assert_eq!(digests, place.read("three/provenance.json"));
    assert_eq!(digests, place.read("plain/provenance.json"));
}

#[test]
fn an_output_verifies_and_is_made_again_bit_for_bit() {
    let place = Place::with(QUICK);
    place.tamis("run x.tamis").fine();
    let verified = place.tamis("verify out/quick").fine().stdout;
    assert_eq!(
        verified,
        "out/quick: 9 files as the provenance says; made from models/bert-eras, which is unchanged\n"
    );
    let again = place.tamis("verify out/quick --rerun").fine().stdout;
    assert!(again.ends_with("; made again with the same bytes\n"), "{again}");
    let json = place.tamis("verify out/quick --format json").fine().json();
    assert_eq!((&json["same"], &json["input"]), (&true.into(), &"same".into()));
    assert_eq!(place.names("out"), ["quick"]);
}

#[test]
fn an_output_that_was_touched_does_not_verify() {
    let place = Place::with(QUICK);
    place.tamis("run x.tamis").fine();
    let weights = place.path("out/quick/model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&weights, bytes).unwrap();
    fs::remove_file(place.path("out/quick/README.md")).unwrap();
    place.write("out/quick/notes.txt", "added");
    let ran = place.tamis("verify out/quick").fails(1, "digest-differs");
    assert!(
        ran.stderr.contains("`out/quick/model.safetensors` is not the file that was written"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("`out/quick/README.md` is missing"), "{}", ran.stderr);
    assert!(ran.stderr.contains("note[file-unlisted]"), "{}", ran.stderr);
    fs::remove_file(place.path("out/quick/provenance.json")).unwrap();
    place.tamis("verify out/quick").fails(3, "provenance-invalid");
    place.write("out/quick/provenance.json", "{}");
    place.tamis("verify out/quick").fails(3, "provenance-invalid");
}

#[test]
fn a_run_with_params_and_used_files_is_made_again_from_its_output_alone() {
    let place = Place::new();
    place.write("recipes/sizes.tamis", "param pattern: pattern = 2:4\nparam place: text = \"out\"\n");
    let recipe = "use \"sizes.tamis\"\nparam limit: amount = 80% params\nmodel input\n\
        prune neurons of layers[*] to limit\nsparsify weights of layers[*].mlp to pattern\nsave \"{place}/x\"\n";
    place.write("recipes/x.tamis", recipe);
    place
        .tamis("run recipes/x.tamis --model models/bert-eras --set pattern=1:4 --set place=\"new\\{\"")
        .fine();
    assert_eq!(place.read("new{/x/sizes.tamis"), place.read("recipes/sizes.tamis"));
    fs::remove_dir_all(place.path("recipes")).unwrap();
    place.tamis("verify new{/x --rerun").fine();
}

#[test]
fn shards_are_made_again_and_a_model_may_have_moved() {
    let place = Place::with(QUICK);
    fs::create_dir(place.path("model")).unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(place.path("models/bert-eras").join(name), place.path("model").join(name)).unwrap();
    }
    place.tamis("run x.tamis --model model --shard-size 600KB").fine();
    let shards = |name: &String| name.ends_with(".safetensors");
    assert_eq!(place.names("out/quick").into_iter().filter(shards).count(), 3);
    place.tamis("verify out/quick --rerun").fine();
    fs::rename(place.path("model"), place.path("moved")).unwrap();
    assert_eq!(place.tamis("verify out/quick --format json").fine().json()["input"], "gone");
    place.tamis("verify out/quick --rerun").fails(3, "model-missing");
    let moved = place.tamis("verify out/quick --rerun --model moved").fine().stdout;
    assert!(moved.ends_with("; made again with the same bytes\n"), "{moved}");
    assert_eq!(place.names("out"), ["quick"]);
}

#[test]
fn what_is_remarked_on_a_finding_is_told_whether_it_is_new_or_remembered() {
    let recipe = "model input = \"models/bert-eras\"\n\
        sparsify weights of layers[*] to 99.99% zeros with { scope: global }\nsave \"out\"\n";
    let place = Place::with(recipe);
    for _ in 0..2 {
        let ran = place.tamis("run x.tamis --replace");
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert!(ran.stderr.contains("warning[layer-collapse]"), "{}", ran.stderr);
        assert!(ran.stderr.contains("[x.tamis:2:1]"), "the step is shown: {}", ran.stderr);
    }
    let told = place.tamis("run x.tamis --replace --format json").json();
    assert_eq!(told["diagnostics"][0]["code"], "layer-collapse");
}

#[test]
fn patterns_of_large_weights_that_are_stored_inputs_first_are_made_and_verified() {
    let place = Place::with("model input = \"model\"\nsparsify weights to 2:4\nsave \"out\"\n");
    let config = serde_json::json!({
        "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5, "n_embd": 600, "n_head": 6, "n_layer": 1, "n_positions": 64,
        "vocab_size": 50,
    });
    place.write("model/config.json", config.to_string());
    let checkpoint = Checkpoint::from_config(&place.path("model/config.json")).unwrap();
    let graph = read_graph(tamis::REGISTRY.families, &checkpoint).unwrap();
    let spec = |(_, param): (_, &tamis::graph::Param)| TensorSpec {
        name: param.name.resolve(),
        dtype: DType::F32,
        shape: graph.shape(param),
    };
    let tensors = graph.params.iter().map(spec).collect();
    Synthetic { config: config.to_string(), tensors }.write(&place.path("model"), 3, None);
    place.tamis("run x.tamis").fine();
    let zeros = place.tamis("eval out --measure zeros --format json").fine().json();
    assert_eq!(zeros["measures"]["zeros"], 0.5);
}

#[test]
fn what_was_found_out_is_kept_from_run_to_run() {
    let recipe = "model input = \"models/bert-eras\"\nprune neurons of layers[*] keep 50%\nsave \"out\"\n";
    let place = Place::with(recipe);
    place.tamis("run x.tamis --no-cache").fine();
    assert!(!place.path("cache").exists(), "--no-cache keeps nothing");
    place.tamis("run x.tamis --replace").fine();
    let kept = place.names("cache/tamis/findings");
    assert!(!kept.is_empty());
    place.tamis("run x.tamis --replace").fine();
    assert_eq!(place.names("cache/tamis/findings"), kept, "the same questions are asked once");
}
