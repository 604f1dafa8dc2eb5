//! Models made on the spot: a few matrices, or a small config with numbers for its weights.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use tamis::REGISTRY;
use tamis::checkpoint::{Checkpoint, read_graph};
use tamis::graph::{Bias, Builder, Dim, Graph, Header, Role, Size};
use tamis::tensor::{DType, convert};
use tamis::weights::Version;

/// A graph and the checkpoint that holds its weights.
pub struct Model {
    pub graph: Graph,
    pub checkpoint: Arc<Checkpoint>,
}

/// A linear weight without a model around it: name, `[out, in]`, values.
pub type Matrix<'a> = (&'a str, [usize; 2], &'a [f32]);

impl Model {
    pub fn version(&self) -> Version {
        Version::open(self.graph.clone(), &self.checkpoint)
    }
}

/// Linear weights `NAME.weight [out, in]`, each with a bias `NAME.bias` of ones. A dot in a name makes a place in the tree.
pub fn linears(dtype: DType, matrices: &[Matrix<'_>]) -> Model {
    let mut m = Builder::new("toy", None, dtype);
    m.base(&[], "");
    let mut tensors = BTreeMap::new();
    for (name, [out, inputs], values) in matrices {
        let (parents, node) = name.rsplit_once('.').unwrap_or(("", name));
        let build = |m: &mut Builder<'_>| {
            let outs = m.axis(Role::Neurons, Size::fixed(*out));
            let ins = m.axis(Role::Hidden, Size::fixed(*inputs));
            m.linear_site(node, name, outs.into(), ins.into(), Bias::With);
        };
        match parents {
            "" => build(&mut m),
            parents => m.scope(parents, build),
        }
        tensors.insert(format!("{name}.weight"), values.to_vec());
        tensors.insert(format!("{name}.bias"), vec![1.0; *out]);
    }
    model(m.finish().expect("linears are a graph"), &tensors)
}

/// A GPT-2 layer's fused `[in, query key value]`, stored inputs first, and its bias.
pub fn fused(dtype: DType, inputs: usize, width: usize, values: &[f32]) -> Model {
    let mut m = Builder::new("toy", None, dtype);
    m.base(&[], "");
    let ids = m.token_ids(2);
    let (vocab, hidden) = (m.axis(Role::Vocab, Size::fixed(2)), m.axis(Role::Hidden, Size::fixed(inputs)));
    let (x, _) = m.embedding("embeddings", "embed", ids, vocab, hidden);
    let heads = m.axis(Role::Heads, Size::fixed(width));
    m.transposed_fused(["query", "key", "value"], "qkv", x, Role::Qkv, Dim::from(heads));
    let tensors = BTreeMap::from([("qkv.weight".to_string(), values.to_vec())]);
    model(m.finish().expect("a fused linear is a graph"), &tensors)
}

/// A model of a config. Tensors that are not given are filled with numbers in no order.
pub fn of_config(config: &str, tensors: &[(&str, Vec<f32>)]) -> Model {
    let dir = tempfile::tempdir().expect("a directory for a config");
    fs::write(dir.path().join("config.json"), config).expect("a config is written");
    let config = Checkpoint::from_config(&dir.path().join("config.json")).expect("a config");
    let graph = read_graph(REGISTRY.families, &config).expect("a graph of the config");
    let tensors = tensors.iter().map(|(name, values)| (name.to_string(), values.clone())).collect();
    model(graph, &tensors)
}

fn model(graph: Graph, given: &BTreeMap<String, Vec<f32>>) -> Model {
    let (mut header, mut data) = (Vec::new(), Vec::new());
    for (seed, (_, param)) in graph.params.iter().enumerate() {
        let name = param.name.resolve();
        let Header { dtype, shape } = Header { dtype: param.dtype, shape: graph.shape(param) };
        let values = given.get(&name).cloned().unwrap_or_else(|| numbers(graph.elements(param), seed as u32));
        assert_eq!(values.len(), graph.elements(param), "values of `{name}`");
        let start = data.len();
        data.resize(start + values.len() * dtype.size(), 0);
        convert::write(dtype, &values, &mut data[start..]).expect("floats");
        let (dtype, end) = (dtype.header_name(), data.len());
        header.push(format!(
            r#""{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{start},{end}]}}"#
        ));
    }
    let unknown = given.keys().find(|name| graph.param_named(name).is_none());
    assert_eq!(unknown, None, "a tensor that the model has not");
    let header = format!("{{{}}}", header.join(","));
    let file = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat();
    // Open files are enough: the directory is gone with its guard.
    let dir = tempfile::tempdir().expect("a directory for a checkpoint");
    fs::write(dir.path().join("config.json"), "{}").expect("a config is written");
    fs::write(dir.path().join("model.safetensors"), file).expect("weights are written");
    Model { graph, checkpoint: Arc::new(Checkpoint::open(dir.path()).expect("a checkpoint")) }
}

/// Different numbers between -1 and 1, in no order.
pub fn numbers(len: usize, seed: u32) -> Vec<f32> {
    let hash = |i: u32| (i ^ seed.rotate_left(16)).wrapping_mul(0x9e37_79b1).wrapping_add(seed) >> 7;
    let spread = |i: usize| hash(hash(i as u32)) as f32 / (1 << 24) as f32 - 1.0;
    (0..len).map(spread).collect()
}

/// Two layers of hidden 4, 3 neurons and, for two query heads each, two key/value heads of width 2.
pub const LLAMA: &str = r#"{
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
    "head_dim": 2, "hidden_size": 4, "intermediate_size": 3, "max_position_embeddings": 8,
    "num_attention_heads": 4, "num_key_value_heads": 2, "num_hidden_layers": 2,
    "rms_norm_eps": 1e-5, "tie_word_embeddings": false, "vocab_size": 5
}"#;

/// One layer of hidden 4, three experts of two neurons.
pub const MIXTRAL: &str = r#"{
    "architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "hidden_act": "silu",
    "head_dim": 2, "hidden_size": 4, "intermediate_size": 2, "max_position_embeddings": 8,
    "num_attention_heads": 2, "num_key_value_heads": 1, "num_hidden_layers": 1,
    "num_local_experts": 3, "num_experts_per_tok": 2,
    "rms_norm_eps": 1e-5, "tie_word_embeddings": false, "vocab_size": 5
}"#;

/// Two layers of hidden 4, 3 neurons and two heads, with biases.
pub const BERT: &str = r#"{
    "architectures": ["BertModel"], "model_type": "bert", "hidden_act": "gelu",
    "hidden_size": 4, "intermediate_size": 3, "num_attention_heads": 2, "num_hidden_layers": 2,
    "layer_norm_eps": 1e-12, "max_position_embeddings": 8, "type_vocab_size": 2, "vocab_size": 5
}"#;
