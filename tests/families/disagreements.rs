//! What a person reads where config and tensors disagree.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::support::{class, from_config, golden};

fn refused(name: &str, changes: &[(&str, Value)]) -> String {
    let mut saved = class(name);
    for (key, value) in changes {
        saved.config[key] = value.clone();
    }
    saved.graph().unwrap_err()
}

#[test]
fn a_width_that_the_tensors_belie_is_pointed_at() {
    assert_snapshot!(refused("BertForMaskedLM", &[("intermediate_size", 16.into())]));
}

#[test]
fn layers_that_are_missing_are_named_at_their_count() {
    assert_snapshot!(refused("LlamaForCausalLM", &[("num_hidden_layers", 4.into())]));
}

#[test]
fn layers_too_many_are_named_at_their_count() {
    assert_snapshot!(refused("LlamaForCausalLM", &[("num_hidden_layers", 1.into())]));
}

#[test]
fn one_tensor_more_or_less_is_named() {
    let mut saved = class("LlamaForCausalLM");
    saved.tensors.remove("model.norm.weight");
    saved.add("model.norm.wait", "F32", &[8]);
    assert_snapshot!(saved.graph().unwrap_err());
}

#[test]
fn weights_of_integers_are_refused() {
    let mut saved = class("LlamaForCausalLM");
    saved.add("model.norm.weight", "I64", &[8]);
    assert_snapshot!(saved.graph().unwrap_err());
    saved.tensors.values_mut().for_each(|(dtype, _)| *dtype = "I64".into());
    assert_snapshot!(saved.graph().unwrap_err());
}

#[test]
fn fields_that_contradict_each_other_are_pointed_at() {
    assert_snapshot!(refused("BertForMaskedLM", &[("num_attention_heads", 3.into())]));
    assert_snapshot!(refused("LlamaForCausalLM", &[("num_key_value_heads", 3.into())]));
    assert_snapshot!(refused("MixtralForCausalLM", &[("num_experts_per_tok", 4.into())]));
}

#[test]
fn what_is_not_known_is_refused_at_its_field() {
    assert_snapshot!(refused("BertForMaskedLM", &[("model_type", "bart".into())]));
    assert_snapshot!(refused("LlamaForCausalLM", &[("hidden_act", "mish".into())]));
    assert_snapshot!(refused("BertForMaskedLM", &[("position_embedding_type", "relative_key".into())]));
    let yarn = json!({ "rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0 });
    assert_snapshot!(refused("LlamaForCausalLM", &[("rope_parameters", yarn)]));
    assert_snapshot!(refused("LlamaForCausalLM", &[("quantization_config", json!({ "bits": 4 }))]));
}

#[test]
fn extents_of_nothing_and_of_too_much_are_refused() {
    let of = |key: &str, value: u64| {
        let mut config = golden("published_configs/Mixtral-8x7B-v0.1.json");
        config[key] = value.into();
        from_config(&config).map(|graph| graph.cost(1)).err().unwrap_or_default()
    };
    for key in ["hidden_size", "vocab_size", "num_hidden_layers", "num_local_experts", "num_attention_heads"]
    {
        for value in [0, u64::from(u32::MAX), u64::MAX] {
            assert!(of(key, value).contains(key), "{key}: {value}: {}", of(key, value));
        }
    }
    // Large, yet believable one by one: no arithmetic may overflow.
    for key in ["hidden_size", "vocab_size", "intermediate_size"] {
        assert_eq!(of(key, 1 << 28), "", "{key}");
    }
}
