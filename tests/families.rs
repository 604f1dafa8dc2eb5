//! Families against transformers: counts and tensors of published architectures, from their configs alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tamis::checkpoint::{Checkpoint, read_graph};
use tamis::families::FAMILIES;
use tamis::graph::{Graph, Role};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/published_configs")
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The graph of a config alone.
fn graph(path: &Path) -> Graph {
    let checkpoint = Checkpoint::from_config(path).unwrap();
    read_graph(FAMILIES, &checkpoint).unwrap_or_else(|error| panic!("{}: {error:#?}", path.display()))
}

/// The graph of a published config with some fields changed.
fn published(name: &str, changes: &[(&str, Value)]) -> Graph {
    let mut config = json(&golden().join(format!("{name}.json")));
    for (key, value) in changes {
        config[key] = value.clone();
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    std::fs::write(&path, config.to_string()).unwrap();
    graph(&path)
}

fn params(name: &str, changes: &[(&str, Value)]) -> Option<u64> {
    published(name, changes).cost(1).params.known()
}

/// The field that counts layers.
fn layers_key(name: &str) -> &'static str {
    match name {
        _ if name.starts_with("gpt2") => "n_layer",
        _ if name.starts_with("distilbert") => "n_layers",
        _ => "num_hidden_layers",
    }
}

#[test]
fn parameters_are_those_that_transformers_counts() {
    let counts = json(&golden().join("params.json"));
    for (name, counts) in counts["configs"].as_object().unwrap() {
        assert_eq!(params(name, &[]), counts["parameters"].as_u64(), "{name}");
        let bare = ("architectures", Value::from(vec![counts["base"].as_str().unwrap()]));
        assert_eq!(params(name, &[bare]), counts["base_parameters"].as_u64(), "{name}");
        let two = (layers_key(name), Value::from(2));
        assert_eq!(params(name, &[two]), counts["layers_2_parameters"].as_u64(), "{name}");
    }
}

#[test]
fn tensors_are_those_that_transformers_saves() {
    let counts = json(&golden().join("params.json"));
    for name in counts["configs"].as_object().unwrap().keys() {
        let saved = json(&golden().join(format!("{name}.tensors.json")));
        let graph = published(name, &[(layers_key(name), saved["layers"].clone())]);
        let theirs: BTreeMap<String, Vec<usize>> =
            serde_json::from_value::<Vec<(String, Vec<usize>)>>(saved["tensors"].clone())
                .unwrap()
                .into_iter()
                .collect();
        assert_eq!(shapes(&graph), theirs, "{name}");
    }
}

/// Writes a checkpoint of zeros.
fn write_checkpoint(dir: &Path, config: &Value, tensors: &Value) {
    let mut header = serde_json::Map::new();
    let mut end = 0;
    for (name, tensor) in tensors.as_object().unwrap() {
        let elements: u64 =
            tensor[1].as_array().unwrap().iter().map(|extent| extent.as_u64().unwrap()).product();
        let size = if tensor[0] == "I64" { 8 } else { 4 };
        let offsets = [end, end + elements * size];
        end = offsets[1];
        header.insert(
            name.clone(),
            serde_json::json!({ "dtype": tensor[0], "shape": tensor[1], "data_offsets": offsets }),
        );
    }
    let header = Value::from(header).to_string();
    let zeros = vec![0; usize::try_from(end).unwrap()];
    let file = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &zeros].concat();
    std::fs::write(dir.join("config.json"), config.to_string()).unwrap();
    std::fs::write(dir.join("model.safetensors"), file).unwrap();
}

fn shapes(graph: &Graph) -> BTreeMap<String, Vec<usize>> {
    graph.weights().map(|(_, param)| (param.name.resolve(), graph.shape(param))).collect()
}

#[test]
fn every_class_with_a_head_is_read_with_weights_and_from_its_config_alone() {
    let classes = json(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/heads.json"));
    for (class, saved) in classes.as_object().unwrap() {
        let dir = tempfile::tempdir().unwrap();
        write_checkpoint(dir.path(), &saved["config"], &saved["tensors"]);
        let checkpoint = Checkpoint::open(dir.path()).unwrap();
        let read = read_graph(FAMILIES, &checkpoint).unwrap_or_else(|error| panic!("{class}: {error:#?}"));
        let stored: BTreeMap<String, Vec<usize>> =
            checkpoint.tensors.iter().map(|(name, stored)| (name.clone(), stored.shape.clone())).collect();
        assert_eq!(shapes(&read), stored, "{class}");
        if !class.ends_with("fused") {
            assert_eq!(shapes(&graph(&dir.path().join("config.json"))), stored, "{class}");
        }
    }
}

fn macs(graph: &Graph) -> u64 {
    graph.cost(1).macs.known().unwrap()
}

/// Layers' operations, of `n` tokens, in multiply-accumulates: projections, scores and values, feed-forward.
fn layer(n: u64, hidden: u64, kv: u64, matrices: u64, neurons: u64) -> u64 {
    n * (2 * hidden * hidden + 2 * hidden * kv) + 2 * n * n * hidden + n * matrices * hidden * neurons
}

#[test]
fn macs_of_vision_transformers_are_the_published_ones() {
    // 196 patches are embedded; the class token is not.
    assert_eq!(macs(&published("deit-small-patch16-224", &[])), 4_598_882_304);
    assert_eq!(macs(&published("deit-base-patch16-224", &[])), 17_563_828_224);
    assert_eq!(macs(&published("vit-base-patch16-224", &[])), 17_563_828_224);
}

#[test]
fn macs_of_text_models_follow_the_published_formulas() {
    let bert = published("bert-base-uncased", &[("architectures", vec!["BertModel"].into())]);
    let pooler = 768 * 768;
    assert_eq!(macs(&bert), 11_173_625_856 + pooler);
    assert_eq!(11_173_625_856, 12 * layer(128, 768, 768, 2, 3072));

    let gpt2 = published("gpt2", &[]);
    assert_eq!(macs(&gpt2), 12 * layer(128, 768, 768, 2, 3072) + 128 * 768 * 50257);

    let llama = published("Llama-2-7b-hf", &[]);
    assert_eq!(macs(&llama), 32 * layer(128, 4096, 4096, 3, 11008) + 128 * 4096 * 32000);

    let mistral = published("Mistral-7B-v0.1", &[]);
    assert_eq!(macs(&mistral), 32 * layer(128, 4096, 1024, 3, 14336) + 128 * 4096 * 32000);

    // Two of eight experts, each of three matrices, and the router.
    let mixtral = published("Mixtral-8x7B-v0.1", &[]);
    let router = 128 * 8 * 4096;
    assert_eq!(macs(&mixtral), 32 * (layer(128, 4096, 1024, 6, 14336) + router) + 128 * 4096 * 32000);
}

#[test]
fn macs_grow_with_the_square_of_the_tokens_and_with_the_batch() {
    let mut llama = published("Llama-2-7b-hf", &[]);
    llama.set_tokens(2048);
    let one = 32 * layer(2048, 4096, 4096, 3, 11008) + 2048 * 4096 * 32000;
    assert_eq!(macs(&llama), one);
    assert_eq!(llama.cost(3).flops().known(), Some(6 * one));
}

/// The OPTIN card's cost of a head and of a neuron of BERT-base at 128 tokens.
#[test]
fn a_head_and_a_neuron_cost_what_the_cards_say() {
    let mut bert = published("bert-base-uncased", &[]);
    let first = |graph: &Graph, role| graph.axes_below(graph.tree.root(), role)[0];
    let before = macs(&bert);
    bert.keep(first(&bert, Role::Heads), &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    let without_head = macs(&bert);
    assert_eq!(before - without_head, 27_262_976);
    bert.keep(first(&bert, Role::Neurons), &(1..3072).collect::<Vec<_>>());
    assert_eq!(without_head - macs(&bert), 196_608);
}

#[test]
fn names_of_older_files_are_read() {
    let classes = json(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/heads.json"));
    let renamed = |class: &str, rename: &dyn Fn(&str) -> String, more: &[(&str, Value)]| {
        let saved = &classes[class];
        let tensors = saved["tensors"].as_object().unwrap().iter();
        let mut tensors: serde_json::Map<String, Value> =
            tensors.map(|(name, tensor)| (rename(name), tensor.clone())).collect();
        tensors.extend(more.iter().map(|(name, tensor)| ((*name).to_string(), tensor.clone())));
        let dir = tempfile::tempdir().unwrap();
        write_checkpoint(dir.path(), &saved["config"], &tensors.into());
        let checkpoint = Checkpoint::open(dir.path()).unwrap();
        read_graph(FAMILIES, &checkpoint).unwrap_or_else(|error| panic!("{class}: {error:#?}"))
    };
    let of_heads = |class: &str| -> u64 {
        let tensors = classes[class]["tensors"].as_object().unwrap().values();
        let elements = |tensor: &Value| -> u64 {
            tensor[1].as_array().unwrap().iter().map(|extent| extent.as_u64().unwrap()).product()
        };
        tensors.map(elements).sum()
    };

    // TensorFlow's names of norms, a buffer, the tied output matrix and its bias once more.
    let tensorflow = |name: &str| name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta");
    let bert = renamed(
        "BertForPreTraining",
        &tensorflow,
        &[
            ("bert.embeddings.position_ids", serde_json::json!(["I64", [1, 10]])),
            ("cls.predictions.decoder.weight", serde_json::json!(["F32", [11, 8]])),
            ("cls.predictions.decoder.bias", serde_json::json!(["F32", [11]])),
        ],
    );
    assert_eq!(bert.cost(1).params.known(), Some(of_heads("BertForPreTraining")));
    assert!(bert.params.iter().any(|(_, param)| param.buffer));

    // No prefix, causal masks of each layer.
    let mask = serde_json::json!(["F32", [1, 1, 10, 10]]);
    let mut gpt2 = renamed(
        "GPT2LMHeadModel",
        &|name| name.replace("transformer.", ""),
        &[("h.0.attn.bias", mask.clone()), ("h.1.attn.bias", mask)],
    );
    assert_eq!(gpt2.cost(1).params.known(), Some(of_heads("GPT2LMHeadModel")));
    let layers = gpt2.axes_below(gpt2.tree.root(), Role::Layers)[0];
    gpt2.keep(layers, &[1]);
    let mut names = gpt2.params.iter().map(|(_, param)| param.name.resolve());
    assert_eq!(names.by_ref().filter(|name| name == "h.0.attn.bias").count(), 1);

    // The table of words is there under the head's name only.
    let camembert = renamed(
        "CamembertForMaskedLM",
        &|name| name.replace("roberta.embeddings.word_embeddings", "lm_head.decoder"),
        &[],
    );
    assert_eq!(camembert.cost(1).params.known(), Some(of_heads("CamembertForMaskedLM")));
}
