//! Families against transformers: tensors and counts of published architectures and of every class with a head.

mod costs;
mod disagreements;
mod export;
mod graph_file;
mod inspected;
mod llava;
mod onnx;
mod support;
mod tokens;

use serde_json::Value;
use support::{class, classes, from_config, golden, published, published_counts, shapes};
use tamis::graph::Role;

/// The field that counts layers.
fn layers_key(name: &str) -> &'static str {
    match name {
        _ if name.starts_with("gpt2") => "n_layer",
        _ if name.starts_with("distilbert") => "n_layers",
        _ if name.starts_with("switch") => "num_layers",
        _ => "num_hidden_layers",
    }
}

#[test]
fn parameters_are_those_that_transformers_counts() {
    let params = |name: &str, changes: &[_]| published(name, changes).cost(1).params.known();
    for (name, counts) in published_counts() {
        assert_eq!(params(&name, &[]), counts["parameters"].as_u64(), "{name}");
        let bare = ("architectures", Value::from(vec![counts["base"].as_str().unwrap()]));
        assert_eq!(params(&name, &[bare]), counts["base_parameters"].as_u64(), "{name}");
        let two = (layers_key(&name), Value::from(2));
        assert_eq!(params(&name, &[two]), counts["layers_2_parameters"].as_u64(), "{name}");
    }
}

#[test]
fn tensors_are_those_that_transformers_saves() {
    for name in published_counts().keys() {
        let saved = golden(&format!("published_configs/{name}.tensors.json"));
        let graph = published(name, &[(layers_key(name), saved["layers"].clone())]);
        let theirs: Vec<(String, Vec<usize>)> = serde_json::from_value(saved["tensors"].clone()).unwrap();
        assert_eq!(shapes(&graph), theirs.into_iter().collect(), "{name}");
    }
}

#[test]
fn every_class_with_a_head_is_read_with_weights_and_from_its_config_alone() {
    for (class, saved) in classes() {
        let read = saved.graph().unwrap_or_else(|error| panic!("{class}: {error}"));
        assert_eq!(shapes(&read), saved.shapes(), "{class}");
        // The config does not say that experts are fused.
        if !class.ends_with("fused") {
            assert_eq!(shapes(&from_config(&saved.config).unwrap()), saved.shapes(), "{class}");
        }
    }
}

#[test]
fn every_graph_holds_together() {
    for (class, saved) in classes() {
        assert_eq!(saved.graph().unwrap().validate(), Ok(()), "{class}");
    }
    for name in published_counts().keys() {
        assert_eq!(published(name, &[]).validate(), Ok(()), "{name}");
    }
}

#[test]
fn the_architecture_is_found_by_its_classes_where_the_config_has_no_model_type() {
    for (class, mut saved) in classes() {
        let family = saved.graph().unwrap().family;
        saved.config.as_object_mut().unwrap().remove("model_type");
        assert_eq!(saved.graph().unwrap().family, family, "{class}");
    }
}

#[test]
fn norms_are_found_under_the_names_of_tensorflow() {
    let mut saved = class("BertForPreTraining");
    saved.rename(|name| name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta"));
    assert_eq!(shapes(&saved.graph().unwrap()), saved.shapes());
}

#[test]
fn tied_tensors_may_be_stored_twice_and_count_once() {
    let mut saved = class("BertForMaskedLM");
    let params = saved.elements();
    saved.add("cls.predictions.decoder.weight", "F32", &[11, 8]);
    saved.add("cls.predictions.decoder.bias", "F32", &[11]);
    assert_eq!(saved.graph().unwrap().cost(1).params.known(), Some(params));
}

#[test]
fn tied_tensors_may_be_stored_under_the_name_of_the_head_only() {
    let mut saved = class("CamembertForMaskedLM");
    saved.rename(|name| name.replace("roberta.embeddings.word_embeddings", "lm_head.decoder"));
    assert_eq!(shapes(&saved.graph().unwrap()), saved.shapes());
}

#[test]
fn buffers_are_carried_along_and_do_not_count() {
    let mut saved = class("GPT2LMHeadModel");
    let params = saved.elements();
    saved.rename(|name| name.replace("transformer.", ""));
    saved.add("h.0.attn.bias", "F32", &[1, 1, 10, 10]);
    saved.add("h.1.attn.bias", "F32", &[1, 1, 10, 10]);
    let mut graph = saved.graph().unwrap();
    assert_eq!(graph.cost(1).params.known(), Some(params));
    let layers = graph.axes_below(graph.tree.root(), Role::Layers)[0];
    graph.keep(layers, &[1]);
    let buffers = graph.params.iter().filter(|(_, param)| param.buffer);
    assert_eq!(buffers.map(|(_, param)| param.name.resolve()).collect::<Vec<_>>(), ["h.0.attn.bias"]);
    assert_eq!(graph.validate(), Ok(()));
}
