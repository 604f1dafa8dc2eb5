//! Models that carry their graph in a file of their own.

use serde_json::Value;
use tamis::checkpoint::{GRAPH_FILE, graph_json};
use tamis::graph::{Extent, Graph, Role};

use crate::support::{Saved, class, classes, read, shapes};

/// A model with its graph beside it, changed first.
fn with_graph(saved: &Saved, graph: &Graph, edit: impl Fn(&mut Value)) -> Result<Graph, String> {
    let dir = saved.write();
    let mut file: Value = serde_json::from_str(&graph_json(graph)).unwrap();
    edit(&mut file);
    std::fs::write(dir.path().join(GRAPH_FILE), file.to_string()).unwrap();
    read(&dir)
}

#[test]
fn a_graph_survives_its_file() {
    for (class, saved) in classes() {
        let graph = saved.graph().unwrap();
        let again = with_graph(&saved, &graph, |_| {}).unwrap();
        assert_eq!(graph_json(&again), graph_json(&graph), "{class}");
    }
}

#[test]
fn a_graph_says_what_no_config_can() {
    let mut saved = class("BertForMaskedLM");
    let mut graph = saved.graph().unwrap();
    let heads = graph.axes_below(graph.tree.root(), Role::Heads)[0];
    graph.keep(heads, &[1]);
    let factored = graph.places().site("layers[1].mlp.up").unwrap();
    graph.factor(factored, Extent::exact(2)).unwrap();
    let layers = graph.axes_below(graph.tree.root(), Role::Layers)[0];
    graph.keep(layers, &[1, 0].map(|layer: usize| 1 - layer));
    for (name, shape) in shapes(&graph) {
        saved.tensors.insert(name, ("F32".into(), shape));
    }
    saved.tensors.remove("bert.encoder.layer.1.intermediate.dense.weight");
    assert!(saved.graph().is_err(), "the config does not say so");
    let read = with_graph(&saved, &graph, |_| {}).unwrap();
    assert_eq!(shapes(&read), saved.shapes());
}

#[test]
fn a_graph_has_to_fit_the_tensors() {
    let mut saved = class("BertForMaskedLM");
    let graph = saved.graph().unwrap();
    saved.add("bert.embeddings.word_embeddings.weight", "F32", &[11, 7]);
    saved.add("another", "F32", &[1]);
    saved.tensors.remove("cls.predictions.bias");
    insta::assert_snapshot!(with_graph(&saved, &graph, |_| {}).unwrap_err());
}

#[test]
fn files_of_another_version_are_refused() {
    let saved = class("BertForMaskedLM");
    let graph = saved.graph().unwrap();
    let newer = with_graph(&saved, &graph, |file| file["version"] = 2.into()).unwrap_err();
    insta::assert_snapshot!(newer);
}

/// Every number, list and text of a file, one after the other, replaced by others: nothing may panic.
#[test]
fn edited_files_are_read_or_refused_and_nothing_else() {
    for name in [
        "DeiTForImageClassificationWithTeacher",
        "MixtralForCausalLM, fused",
        "GPT2ForSequenceClassification",
    ] {
        let saved = class(name);
        let graph = saved.graph().unwrap();
        let file: Value = serde_json::from_str(&graph_json(&graph)).unwrap();
        let places = places(&file);
        let step = places.len() / 20;
        for place in places.iter().step_by(step.max(1)) {
            for replacement in
                [Value::Null, 0.into(), 7.into(), u32::MAX.into(), "x".into(), Value::Array(vec![])]
            {
                let edited = with_graph(&saved, &graph, |file| {
                    *file.pointer_mut(place).unwrap() = replacement.clone();
                });
                if let Ok(graph) = edited {
                    exercise(graph);
                }
            }
        }
    }
}

/// Pointers to everything in a JSON value.
fn places(value: &Value) -> Vec<String> {
    let below = |key: String, value: &Value| -> Vec<String> {
        let here = std::iter::once(format!("/{key}"));
        here.chain(places(value).into_iter().map(|place| format!("/{key}{place}"))).collect()
    };
    match value {
        Value::Array(list) => {
            list.iter().enumerate().flat_map(|(index, value)| below(index.to_string(), value)).collect()
        }
        Value::Object(map) => map.iter().flat_map(|(key, value)| below(key.clone(), value)).collect(),
        _ => Vec::new(),
    }
}

/// What commands do with a graph.
fn exercise(mut graph: Graph) {
    graph.costs(1);
    graph.schedule();
    graph.config_fields().ok();
    for (id, site) in graph.sites.iter() {
        graph.site_dims(id);
        let outs = site.views().map(|view| graph.matrix(view, site.transposed).out);
        assert!(outs.max() > Some(0));
    }
    let axes: Vec<_> = graph.axes.iter().map(|(id, axis)| (id, axis.extent.max)).collect();
    for (axis, extent) in axes {
        if graph.axes.get(axis).is_some() && extent < 100 {
            graph.keep(axis, &(0..extent / 2).collect::<Vec<_>>());
        }
    }
    graph.costs(1);
}
