//! What is written as ONNX holds together: the messages are read back, node by node, for every class and every reduction.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use prost::Message;
use tamis::checkpoint::{Checkpoint, Existing, OutputFiles, read_graph};
use tamis::families::FAMILIES;
use tamis::graph::{
    ByEnergy, EnergyKernel, EnergyPairing, Extent, Graph, Op, RankStart, Ranking, ReductionRule, Role,
    TokenCount, TokenScore,
};
use tamis::onnx::proto::{self, Model, Node, Tensor, element};
use tamis::onnx::{LARGEST, lower};
use tamis::weights::Version;

use crate::support::{Saved, classes, published};

/// Operators of opset 17, those that are used.
const OPERATORS: &[&str] = &[
    "Add",
    "And",
    "ArgMax",
    "Cast",
    "Ceil",
    "Concat",
    "Conv",
    "Cos",
    "CumSum",
    "Div",
    "Equal",
    "Erf",
    "Exp",
    "Expand",
    "Gather",
    "GatherElements",
    "GatherND",
    "Greater",
    "GreaterOrEqual",
    "Identity",
    "If",
    "LayerNormalization",
    "Less",
    "Log",
    "Loop",
    "MatMul",
    "Max",
    "Min",
    "Mul",
    "NonZero",
    "Pad",
    "Range",
    "ReduceL2",
    "ReduceMax",
    "ReduceMean",
    "ReduceSum",
    "Relu",
    "Reshape",
    "Resize",
    "ScatterElements",
    "ScatterND",
    "Shape",
    "Sigmoid",
    "Sin",
    "Slice",
    "Softmax",
    "Split",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Tanh",
    "TopK",
    "Transpose",
    "Unsqueeze",
    "Where",
];

/// A model of zeros and its graph.
fn opened(saved: &Saved) -> (tempfile::TempDir, Arc<Checkpoint>, Graph) {
    let dir = saved.write();
    let (checkpoint, graph) = model(dir.path());
    (dir, checkpoint, graph)
}

fn model(dir: &Path) -> (Arc<Checkpoint>, Graph) {
    let checkpoint = Arc::new(Checkpoint::open(dir).unwrap());
    let graph = read_graph(FAMILIES, &checkpoint).unwrap();
    (checkpoint, graph)
}

fn repository(name: &str) -> (Arc<Checkpoint>, Graph) {
    model(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models").join(name))
}

/// The bytes of the model, and of the file beside it where there is one.
fn written(checkpoint: &Arc<Checkpoint>, graph: &Graph, largest: u64) -> (Vec<u8>, Option<Vec<u8>>) {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("model.onnx");
    let output = OutputFiles::create(&target, Existing::Refuse, &[".data"], &[]).unwrap();
    let lowered = lower(graph, &[("note".into(), "x".into())]).unwrap();
    let version = Version::open(graph.clone(), checkpoint);
    let bytes = lowered.write(&version, &output, largest, &|_| {}).unwrap();
    output.finish().unwrap();
    let (model, data) = (fs::read(&target).unwrap(), fs::read(dir.path().join("model.onnx.data")).ok());
    assert_eq!(bytes, (model.len() + data.as_ref().map_or(0, Vec::len)) as u64);
    (model, data)
}

fn decoded(bytes: &[u8]) -> (Model, proto::Graph) {
    let model = Model::decode(bytes).unwrap();
    let graph = model.graph.clone().unwrap();
    (model, graph)
}

/// Every value is made once and before it is read; names of nodes differ; constants and weights are read and whole.
fn holds_together(graph: &proto::Graph) {
    let (mut known, mut read) = (BTreeSet::new(), BTreeSet::new());
    for tensor in &graph.initializer {
        assert!(known.insert(tensor.name.clone()), "`{}` is there twice", tensor.name);
        is_whole(tensor);
    }
    for input in &graph.input {
        assert!(known.insert(input.name.clone()), "`{}` is there twice", input.name);
    }
    in_order(graph, &mut known, &mut read, &mut BTreeSet::new());
    for tensor in &graph.initializer {
        assert!(read.contains(&tensor.name), "nothing reads `{}`", tensor.name);
    }
    for input in &graph.input {
        assert!(read.contains(&input.name), "nothing reads `{}`", input.name);
    }
}

fn is_whole(tensor: &Tensor) {
    let size = match tensor.data_type {
        element::FLOAT => 4,
        element::INT64 | element::DOUBLE => 8,
        element::BOOL => 1,
        other => panic!("`{}` is of type {other}", tensor.name),
    };
    let bytes = tensor.dims.iter().product::<i64>() * size;
    match tensor.external_data.as_slice() {
        [] => assert_eq!(tensor.raw_data.as_ref().map_or(0, Vec::len) as i64, bytes, "{}", tensor.name),
        [_, offset, length] => {
            assert_eq!((tensor.data_location, &tensor.raw_data), (Some(1), &None));
            assert_eq!(length.value, bytes.to_string(), "{}", tensor.name);
            assert_eq!(offset.value.parse::<u64>().unwrap() % 4096, 0);
        }
        other => panic!("{other:?}"),
    }
}

fn in_order(
    graph: &proto::Graph,
    known: &mut BTreeSet<String>,
    read: &mut BTreeSet<String>,
    names: &mut BTreeSet<String>,
) {
    for node in &graph.node {
        let Node { input, output, name, op_type, attribute } = node;
        assert!(OPERATORS.contains(&op_type.as_str()), "`{op_type}` is no operator of opset 17");
        assert!(names.insert(name.clone()), "two nodes are called `{name}`");
        for input in input.iter().filter(|input| !input.is_empty()) {
            assert!(known.contains(input), "`{name}` reads `{input}`, which is not made before it");
            read.insert(input.clone());
        }
        for inner in attribute.iter().filter_map(|attribute| attribute.g.as_ref()) {
            // What is made inside is not seen outside.
            let mut inside = known.clone();
            inside.extend(inner.input.iter().map(|input| input.name.clone()));
            in_order(inner, &mut inside, read, names);
        }
        for output in output {
            assert!(known.insert(output.clone()), "`{output}` is made twice");
        }
    }
    for output in &graph.output {
        assert!(known.contains(&output.name), "`{}` is not made", output.name);
        read.insert(output.name.clone());
    }
}

fn ports(of: &[proto::ValueInfo]) -> Vec<&str> {
    of.iter().map(|port| port.name.as_str()).collect()
}

#[test]
fn every_class_is_lowered_or_refused() {
    for (class, saved) in classes() {
        let (_dir, checkpoint, graph) = opened(&saved);
        match lower(&graph, &[]) {
            Err(_) => assert!(graph.cannot_run().is_some(), "{class}"),
            Ok(_) => holds_together(&decoded(&written(&checkpoint, &graph, LARGEST).0).1),
        }
    }
}

#[test]
fn what_comes_in_and_goes_out_is_called_as_transformers_does() {
    let (checkpoint, graph) = repository("bert-eras");
    let (model, of) = decoded(&written(&checkpoint, &graph, LARGEST).0);
    assert_eq!(ports(&of.input), ["input_ids", "attention_mask", "token_type_ids"]);
    assert_eq!(ports(&of.output), ["logits"]);
    assert_eq!((model.producer_name.as_str(), model.opset_import[0].version), ("tamis", 17));
    assert_eq!(model.metadata_props[0].key, "note");
    let (checkpoint, graph) = repository("vit-fashion");
    let (_, of) = decoded(&written(&checkpoint, &graph, LARGEST).0);
    assert_eq!((ports(&of.input), ports(&of.output)), (vec!["pixel_values"], vec!["logits"]));
    let bare = published("bert-base-uncased", &[("architectures", serde_json::json!(["BertModel"]))]);
    let outputs: Vec<String> = lower(&bare, &[]).unwrap().outputs().map(|port| port.name).collect();
    assert_eq!(outputs, ["last_hidden_state", "pooler_output"]);
}

#[test]
fn weights_are_those_of_the_checkpoint() {
    let (checkpoint, graph) = repository("llama-sotu");
    let (_, of) = decoded(&written(&checkpoint, &graph, LARGEST).0);
    let find = |name: &str| of.initializer.iter().find(|tensor| tensor.name == name).unwrap();
    let values = |tensor: &Tensor| -> Vec<f32> {
        let bytes = tensor.raw_data.as_ref().unwrap().chunks_exact(4);
        bytes.map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
    };
    // bf16 is the upper half of f32.
    let stored = |name: &str| -> Vec<f32> {
        let bytes = checkpoint.read(&checkpoint.tensors[name]).unwrap();
        bytes.chunks_exact(2).map(|pair| f32::from_le_bytes([0, 0, pair[0], pair[1]])).collect()
    };
    // The head is the table of words, which is there once.
    assert_eq!(find("model.embed_tokens.weight").dims, [2048, 128]);
    assert_eq!(of.initializer.iter().filter(|tensor| tensor.dims.contains(&2048)).count(), 1);
    assert_eq!(values(find("model.norm.weight")), stored("model.norm.weight"));
    let (turned, flat) =
        (values(find("model.layers.1.mlp.up_proj.weight.T")), stored("model.layers.1.mlp.up_proj.weight"));
    assert!((0..384).all(|out| (0..128).all(|input| turned[input * 384 + out] == flat[out * 128 + input])));
}

#[test]
fn the_same_model_gives_the_same_bytes() {
    let (checkpoint, graph) = repository("mixtral-sotu");
    assert!(written(&checkpoint, &graph, LARGEST) == written(&checkpoint, &graph, LARGEST));
}

#[test]
fn a_model_that_is_too_large_for_one_file_has_its_weights_beside_it() {
    let (checkpoint, graph) = repository("llama-sotu");
    let (whole, none) = written(&checkpoint, &graph, LARGEST);
    assert!(none.is_none());
    assert!(written(&checkpoint, &graph, whole.len() as u64).1.is_none());
    let (model, data) = written(&checkpoint, &graph, whole.len() as u64 - 1);
    let data = data.unwrap();
    let (_, outside) = decoded(&model);
    let (_, inside) = decoded(&whole);
    holds_together(&outside);
    for (tensor, same) in outside.initializer.iter().zip(&inside.initializer) {
        let [location, offset, length] = tensor.external_data.as_slice() else { continue };
        assert_eq!(location.value, "model.onnx.data");
        let [offset, length] = [offset, length].map(|entry| entry.value.parse::<usize>().unwrap());
        assert_eq!(data[offset..][..length], *same.raw_data.as_ref().unwrap(), "{}", tensor.name);
    }
}

#[test]
fn every_way_to_have_fewer_tokens_is_lowered() {
    let drop = |score, fuse, sorted| ReductionRule::Drop { score, fuse, sorted };
    let closest = ByEnergy { pairing: EnergyPairing::Closest, ..ByEnergy::new(0.5) };
    let gaussian = ByEnergy {
        kernel: EnergyKernel::Gaussian,
        pairing: EnergyPairing::Halves,
        restart: true,
        ..ByEnergy::new(0.5)
    };
    let ranking = Ranking { iterations: 5, start: RankStart::First, variance: Some([0.01, 0.7]), similar: 3 };
    let rules = [
        ReductionRule::MergePairs,
        ReductionRule::MergeByEnergy(ByEnergy::new(0.5)),
        ReductionRule::MergeByEnergy(closest),
        ReductionRule::MergeByEnergy(gaussian),
        ReductionRule::DropByRank(ranking),
        ReductionRule::DropByRank(Ranking {
            similar: 0,
            start: RankStart::Uniform,
            variance: None,
            ..ranking
        }),
        ReductionRule::MergeByAttention { kept: 12 },
        drop(TokenScore::FirstAttention, true, false),
        drop(TokenScore::AttentionMass, false, true),
        drop(TokenScore::Random { start: 7 }, false, false),
    ];
    for (name, loops) in [("vit-fashion", 0), ("bert-eras", 1)] {
        for rule in &rules {
            for keep in [TokenCount::Less(3), TokenCount::Share(0.7), TokenCount::Exactly(10)] {
                let (checkpoint, mut graph) = repository(name);
                graph.reduce_tokens(1, keep, rule.clone(), rule.makes_sizes()).unwrap();
                let (_, of) = decoded(&written(&checkpoint, &graph, LARGEST).0);
                holds_together(&of);
                let is_loop = |node: &&Node| node.op_type == "Loop";
                assert_eq!(of.node.iter().filter(is_loop).count(), loops, "{name} {rule:?} {keep:?}");
            }
        }
    }
}

#[test]
fn factors_and_uneven_heads_are_lowered() {
    let (_, mut graph) = repository("llama-sotu");
    let heads = graph.axes_below(graph.tree.root(), Role::KvHeads)[0];
    graph.keep(heads, &[1]);
    let site = graph.places().site("layers[2].mlp.up").unwrap();
    graph.factor(site, Extent::exact(5)).unwrap();
    graph.add_rest(site, vec![3, 7]).unwrap();
    let lowered = lower(&graph, &[]).unwrap();
    assert!(lowered.tensors() > 38, "two factors and the rest take the place of one");
}

#[test]
fn what_is_not_run_is_not_exported() {
    let latent = lower(&published("DeepSeek-V2-Lite", &[]), &[]).unwrap_err();
    assert!(latent.operation.contains("`layers[0].attention"), "{latent:?}");
    let two = lower(&published("switch-base-32", &[]), &[]).unwrap_err();
    assert!(two.why.contains("two texts"), "{two:?}");
    let (_, mut graph) = repository("mixtral-sotu");
    let op = graph.ops.node_indices().find(|&op| matches!(graph.ops[op].op, Op::Experts(_))).unwrap();
    if let Op::Experts(of) = &mut graph.ops[op].op {
        of.scoring = tamis::graph::Scoring::Sigmoid;
    }
    let refused = lower(&graph, &[]).unwrap_err();
    assert_eq!(refused.operation, "experts in `layers[0]`", "{refused:?}");
    assert_eq!(refused.told(Path::new("x")).code.name, "cannot-export");
}
