//! LLaVA: what its checkpoints hold, and what FastV and MustDrop save of it, from configs alone.
//!
//! The papers count the language model's layers, in conventions of their own; token counts are the graph's.

use serde_json::{Value, json};
use tamis::graph::{Graph, Op, PictureRule, ReductionRule, TokenCount};

use crate::support::{from_config, golden};

/// The config of llava-1.5-7b-hf, with the fields of the hub: the language model's are mostly left to be known.
fn published(changes: &[(&str, Value)]) -> Graph {
    let mut config = json!({
        "architectures": ["LlavaForConditionalGeneration"],
        "ignore_index": -100,
        "image_token_index": 32000,
        "model_type": "llava",
        "pad_token_id": 32001,
        "projector_hidden_act": "gelu",
        "text_config": {
            "_name_or_path": "lmsys/vicuna-7b-v1.5",
            "architectures": ["LlamaForCausalLM"],
            "max_position_embeddings": 4096,
            "model_type": "llama",
            "rms_norm_eps": 1e-05,
            "torch_dtype": "float16",
            "vocab_size": 32064
        },
        "tie_word_embeddings": false,
        "torch_dtype": "float16",
        "vision_config": {
            "hidden_size": 1024,
            "image_size": 336,
            "intermediate_size": 4096,
            "model_type": "clip_vision_model",
            "num_attention_heads": 16,
            "num_hidden_layers": 24,
            "patch_size": 14,
            "projection_dim": 768,
            "vocab_size": 32000
        },
        "vision_feature_layer": -2,
        "vision_feature_select_strategy": "default"
    });
    for (key, value) in changes {
        config["text_config"][key] = value.clone();
    }
    from_config(&config).unwrap()
}

fn of_13b() -> Graph {
    let fields = [
        ("hidden_size", 5120),
        ("intermediate_size", 13824),
        ("num_hidden_layers", 40),
        ("num_attention_heads", 40),
    ];
    published(&fields.map(|(key, value)| (key, value.into())))
}

fn reduce(graph: &mut Graph, path: &str, keep: TokenCount, rule: PictureRule) {
    let number = graph.blocks.iter().position(|block| graph.tree.path(block.node) == path).unwrap();
    graph.reduce_tokens(number, keep, ReductionRule::Picture(rule), false).unwrap();
    graph.validate().unwrap();
}

/// Tokens of the language model's layers, of 36 of a text and a picture unless it says otherwise.
fn fastv(mut graph: Graph, text: usize, layer: usize, keep: f64) -> Graph {
    graph.set_tokens(text);
    reduce(&mut graph, &format!("language.layers[{layer}]"), TokenCount::Share(keep), PictureRule::LastQuery);
    graph
}

/// How many tokens each layer of the language model runs on.
fn tokens(graph: &Graph) -> Vec<f64> {
    let is_language = |node| graph.tree.path(node).starts_with("language.");
    let attended = graph.blocks.iter().filter(|block| is_language(block.node)).map(|block| {
        let inside = graph.tree.below(block.node);
        let attends = |&op: &tamis::graph::OpId| {
            matches!(graph.ops[op].op, Op::Attention(_)) && inside.contains(&graph.ops[op].node)
        };
        let op = graph.ops.node_indices().find(attends).unwrap();
        let extent = graph.extent(graph.ops[op].value[0].0[0]);
        extent.known().expect("as many in each sample") as f64
    });
    attended.collect()
}

/// FastV's count of a layer: multiply-accumulates, of a feed-forward of two matrices.
fn fastv_layer(n: f64, d: f64, m: f64) -> f64 {
    4.0 * n * d * d + 2.0 * n * n * d + 2.0 * n * d * m
}

/// Operations of a layer whose feed-forward has three matrices.
fn gated_layer(n: f64, d: f64, m: f64) -> f64 {
    2.0 * n * (4.0 * d + 3.0 * m) * d + 4.0 * n * n * d
}

fn near(found: f64, card: f64, half: f64) {
    assert!((found - card).abs() <= half, "{found} is not {card}");
}

#[test]
fn a_published_config_has_the_parameters_that_transformers_counts() {
    let graph = published(&[]);
    let counted = &golden("vision_language.json")["published"];
    assert_eq!(graph.cost(1).params.known(), counted["parameters"].as_u64());
    assert_eq!(graph.weights().count() as u64, counted["tensors"].as_u64().unwrap());
    assert_eq!(graph.family, "llava");
    assert_eq!(graph.most_tokens(), None, "the table of positions is the picture's");
}

#[test]
fn a_text_has_the_tokens_of_its_picture_beside_its_own() {
    let mut graph = published(&[]);
    assert_eq!(tokens(&graph), [128.0 + 576.0; 32]);
    graph.set_tokens(36);
    assert_eq!(tokens(&graph), [612.0; 32]);
}

/// The program's own count of a layer is of the three matrices that it has.
#[test]
fn macs_of_a_layer_are_those_of_its_shapes() {
    let mut graph = published(&[]);
    graph.set_tokens(36);
    let layer = graph.blocks[graph.blocks.len() - 1].node;
    let macs = graph.costs(1)[layer].macs.known().unwrap();
    assert_eq!(2.0 * macs as f64, gated_layer(612.0, 4096.0, 11008.0));
}

#[test]
fn what_fastv_saves_is_what_its_card_says() {
    let (d, m) = (4096.0, 11008.0);
    near(fastv_layer(612.0, d, m) / 1e9, 99.3275, 5e-5);
    for (layer, keep, ratio, mean) in
        [(2, 0.5, 0.5516, 54.79), (2, 0.25, 0.332, 33.00), (2, 0.1, 0.203, 20.14), (3, 0.5, 0.5665, 56.27)]
    {
        let graph = fastv(published(&[]), 36, layer, keep);
        let tokens = tokens(&graph);
        let macs: f64 = tokens.iter().map(|&n| fastv_layer(n, d, m)).sum();
        near(macs / (32.0 * fastv_layer(612.0, d, m)), ratio, 5.1e-4);
        near(macs / 32e9, mean, 2e-2);
        assert_eq!(tokens[..layer], vec![612.0; layer]);
        assert_eq!(tokens[layer..], vec![36.0 + (576.0 * keep).ceil(); 32 - layer]);
    }
}

#[test]
fn operations_of_both_sizes_are_those_of_the_papers() {
    for (graph, [d, m], whole, half) in
        [(published(&[]), [4096.0, 11008.0], 8.504, 4.867), (of_13b(), [5120.0, 13824.0], 16.576, 9.411)]
    {
        let all = |graph: &Graph| tokens(graph).into_iter().map(|n| gated_layer(n, d, m)).sum::<f64>() / 1e12;
        let mut dense = graph.clone();
        dense.set_tokens(64);
        near(all(&dense), whole, 5e-4);
        near(all(&fastv(graph, 64, 2, 0.5)), half, 5e-4);
    }
}

/// The picture alone, of a mean over layers.
#[test]
fn what_mustdrop_saves_is_what_its_card_says() {
    let of = |n: f64| gated_layer(n, 4096.0, 11008.0);
    for (tokens, card) in [(192.0, 0.328), (128.0, 0.218), (64.0, 0.109), (45.0, 0.0765)] {
        near(of(tokens) / of(576.0), card, 5e-4);
    }
}

#[test]
fn how_many_tokens_mustdrop_keeps_lies_between_key_tokens_and_all() {
    let mut graph = published(&[]);
    graph.set_tokens(36);
    let none = TokenCount::Less(0);
    let windows = PictureRule::MergeWindows { window: 3, similarity: 0.8, grid: [0, 0] };
    reduce(&mut graph, "vision.layers[1]", none, windows);
    for layer in [3, 7, 11, 15] {
        let rule = PictureRule::ByText { global: 0.001, individual: 0.001, key: 0.08 };
        reduce(&mut graph, &format!("language.layers[{layer}]"), none, rule);
    }
    let extents: Vec<(usize, usize)> = graph
        .blocks
        .iter()
        .filter(|block| graph.tree.path(block.node).starts_with("language."))
        .map(|block| graph.extent(graph.ops[block.input].value[0].0[0]))
        .map(|extent| (extent.min, extent.max))
        .collect();
    // 64 windows at least, of which 8 % rounded up are key tokens; or none merges.
    assert_eq!(extents[..3], [(36 + 64, 612); 3]);
    assert_eq!(extents[3..], [(36 + 6, 612); 29]);
}

#[test]
fn what_is_no_llava_of_ours_is_refused() {
    let config = |key: &str, value: Value| {
        let mut config = json!({
            "model_type": "llava", "architectures": ["LlavaForConditionalGeneration"],
            "text_config": { "model_type": "llama" }, "vision_config": { "model_type": "clip_vision_model" },
        });
        let (object, field) = key.rsplit_once('/').unwrap();
        config.pointer_mut(object).unwrap()[field] = value;
        from_config(&config).unwrap_err()
    };
    for (key, value, says) in [
        ("/vision_config/model_type", json!("siglip_vision_model"), "a vision tower of type"),
        ("/text_config/model_type", json!("gpt2"), "a language model of type"),
        ("/vision_feature_layer", json!([-2, -5]), "features of several layers"),
        ("/vision_feature_layer", json!(14), "the vision tower has 12 layers"),
        ("/vision_feature_select_strategy", json!("cls"), "no choice of features"),
        ("/vision_config/hidden_size", json!(100), "no multiple"),
    ] {
        let found = config(key, value);
        assert!(found.contains(says), "{key}: {found}");
    }
}
