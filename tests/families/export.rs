//! What a config is said to state: read again, it has to give the same tensors.

use proptest::prelude::*;
use serde_json::Value;
use tamis::graph::{Formula, Graph, Role};

use crate::support::{Saved, classes, from_config, shapes};

/// Roles that recipes prune.
const PRUNED: [Role; 8] = [
    Role::Layers,
    Role::Heads,
    Role::KvHeads,
    Role::Group,
    Role::Neurons,
    Role::Hidden,
    Role::Experts,
    Role::HeadDim,
];

/// The config of a graph whose layers `kept` are left: fields that changed, and those that were left to be derived.
fn config(saved: &Saved, before: &Graph, after: &Graph, kept: &[usize]) -> Option<Value> {
    let mut config = saved.config.clone();
    let fields = after.config_fields().ok()?;
    for (key, extent) in fields {
        if before.config_fields().unwrap().get(&key) != Some(&extent) || config[&key].is_null() {
            config[&key] = extent.into();
        }
    }
    for fact in &before.facts {
        if let Formula::Each(_) = fact.formula {
            let list = config[&fact.key].as_array().unwrap();
            config[&fact.key] = kept.iter().map(|&layer| list[layer].clone()).collect();
        }
    }
    Some(config)
}

/// Keeps `keep` of each axis of a role. Also a router's experts stay two, which it chooses.
fn keep(graph: &mut Graph, role: Role, keep: usize) {
    for axis in graph.axes_below(graph.tree.root(), role) {
        let extent = graph.extent(axis).max;
        graph.keep(axis, &(extent - keep.clamp(1, extent)..extent).collect::<Vec<_>>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5))]

    #[test]
    fn a_config_that_can_say_a_graph_gives_its_tensors(
        choices in prop::collection::vec((0..PRUNED.len(), 1..12_usize), 1..4),
    ) {
        for (class, saved) in classes() {
            // That experts are fused stands in no config.
            if class.ends_with("fused") {
                continue;
            }
            let before = from_config(&saved.config).unwrap();
            let mut after = before.clone();
            for &(role, extent) in &choices {
                let extent = if PRUNED[role] == Role::Experts { extent.max(2) } else { extent };
                keep(&mut after, PRUNED[role], extent);
            }
            let layers = after.axes_below(after.tree.root(), Role::Layers)[0];
            let all = before.extent(layers).max;
            let kept: Vec<usize> = (all - after.extent(layers).max..all).collect();
            if let Some(config) = config(&saved, &before, &after, &kept) {
                let again = from_config(&config).unwrap_or_else(|error| panic!("{class}: {error}"));
                prop_assert_eq!(shapes(&again), shapes(&after), "{}", class);
            }
        }
    }
}

#[test]
fn what_each_architecture_can_say_differs() {
    let can_say = |class: &str, choices: &[(Role, usize)]| {
        let mut graph = classes()[class].graph().unwrap();
        choices.iter().for_each(|&(role, extent)| keep(&mut graph, role, extent));
        graph.config_fields().is_ok()
    };
    // A Llama states its head width; others divide the hidden width by the number of heads.
    assert!(can_say("LlamaForCausalLM", &[(Role::KvHeads, 1)]));
    assert!(can_say("Qwen2ForCausalLM", &[(Role::Group, 1), (Role::Hidden, 5)]));
    for class in ["BertForMaskedLM", "ViTForImageClassification", "GPT2LMHeadModel", "DistilBertForMaskedLM"]
    {
        assert!(!can_say(class, &[(Role::Heads, 1)]), "{class}");
        assert!(can_say(class, &[(Role::Heads, 1), (Role::Hidden, 4)]), "{class}");
        assert!(can_say(class, &[(Role::Neurons, 7), (Role::Layers, 1)]), "{class}");
    }
    // The pooler is as wide as all else.
    assert!(can_say("BertModel", &[(Role::Heads, 1), (Role::Hidden, 4)]));
    assert!(can_say("MixtralForCausalLM", &[(Role::Experts, 2), (Role::Neurons, 3)]));
}
