//! Made-up checkpoints: real headers over random weights, or over holes where only headers are read.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rayon::prelude::*;
use tamis::checkpoint::{Layout, TensorSpec};
use tamis::tensor::DType;

const CHUNK: usize = 4 << 20;

/// A config and the tensors that go with it.
pub struct Synthetic {
    pub config: String,
    pub tensors: Vec<TensorSpec>,
}

/// Sizes of a decoder. `experts` of zero is Llama, otherwise Mixtral.
#[derive(Clone, Copy)]
pub struct Decoder {
    pub layers: usize,
    pub hidden: usize,
    pub mlp: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub vocab: usize,
    pub experts: usize,
}

impl Decoder {
    /// Llama-2-70B: 723 tensors, 138 GB in bf16.
    pub const LLAMA_70B: Self =
        Self { layers: 80, hidden: 8192, mlp: 28672, heads: 64, kv_heads: 8, vocab: 32000, experts: 0 };
    pub const MIXTRAL_8X22B: Self =
        Self { layers: 56, hidden: 6144, mlp: 16384, heads: 48, kv_heads: 8, vocab: 32768, experts: 8 };

    pub fn synthetic(self, dtype: DType) -> Synthetic {
        let mut tensors = Vec::new();
        let mut add =
            |name: String, shape: &[usize]| tensors.push(TensorSpec { name, dtype, shape: shape.into() });
        let head_dim = self.hidden / self.heads;
        add("model.embed_tokens.weight".into(), &[self.vocab, self.hidden]);
        for layer in 0..self.layers {
            let of = |part: &str| format!("model.layers.{layer}.{part}.weight");
            for (part, rows) in [("q", self.heads), ("k", self.kv_heads), ("v", self.kv_heads)] {
                add(of(&format!("self_attn.{part}_proj")), &[rows * head_dim, self.hidden]);
            }
            add(of("self_attn.o_proj"), &[self.hidden, self.heads * head_dim]);
            let (wide, narrow) = ([self.mlp, self.hidden], [self.hidden, self.mlp]);
            if self.experts == 0 {
                for (part, shape) in [("gate", wide), ("up", wide), ("down", narrow)] {
                    add(of(&format!("mlp.{part}_proj")), &shape);
                }
            } else {
                add(of("block_sparse_moe.gate"), &[self.experts, self.hidden]);
                for expert in 0..self.experts {
                    for (part, shape) in [("w1", wide), ("w2", narrow), ("w3", wide)] {
                        add(of(&format!("block_sparse_moe.experts.{expert}.{part}")), &shape);
                    }
                }
            }
            add(of("input_layernorm"), &[self.hidden]);
            add(of("post_attention_layernorm"), &[self.hidden]);
        }
        add("model.norm.weight".into(), &[self.hidden]);
        add("lm_head.weight".into(), &[self.vocab, self.hidden]);
        Synthetic { config: self.config(), tensors }
    }

    fn config(self) -> String {
        let (kind, class) = if self.experts == 0 { ("llama", "Llama") } else { ("mixtral", "Mixtral") };
        let mut config = serde_json::json!({
            "architectures": [format!("{class}ForCausalLM")],
            "model_type": kind,
            "hidden_act": "silu",
            "hidden_size": self.hidden,
            "intermediate_size": self.mlp,
            "num_attention_heads": self.heads,
            "num_hidden_layers": self.layers,
            "num_key_value_heads": self.kv_heads,
            "max_position_embeddings": 4096,
            "rms_norm_eps": 1e-5,
            "tie_word_embeddings": false,
            "vocab_size": self.vocab,
        });
        if self.experts > 0 {
            config["num_local_experts"] = self.experts.into();
            config["num_experts_per_tok"] = 2.into();
        }
        serde_json::to_string_pretty(&config).unwrap()
    }
}

impl Synthetic {
    /// Config, index and headers; the weights are holes, which take no room on a disk and read as zeros.
    pub fn write_headers(&self, dir: &Path, shard_size: Option<u64>) -> Layout {
        fs::create_dir_all(dir).unwrap();
        fs::write(dir.join("config.json"), &self.config).unwrap();
        let layout = Layout::new(&self.tensors, shard_size);
        if let Some(index) = &layout.index {
            fs::write(dir.join("model.safetensors.index.json"), index).unwrap();
        }
        for file in &layout.files {
            let open = File::create(dir.join(&file.name)).unwrap();
            open.write_all_at(&file.head, 0).unwrap();
            open.set_len(file.bytes).unwrap();
        }
        layout
    }

    /// The whole checkpoint; the same seed gives the same bytes.
    pub fn write(&self, dir: &Path, seed: u64, shard_size: Option<u64>) {
        let layout = self.write_headers(dir, shard_size);
        let open = |name: &String| File::options().write(true).open(dir.join(name)).unwrap();
        let files: Vec<File> = layout.files.iter().map(|file| open(&file.name)).collect();
        for (tensor, (spec, slot)) in self.tensors.iter().zip(&layout.slots).enumerate() {
            let chunks = slot.bytes.div_ceil(CHUNK as u64);
            (0..chunks).into_par_iter().for_each(|chunk| {
                let at = chunk * CHUNK as u64;
                let size = usize::try_from(slot.bytes - at).unwrap().min(CHUNK);
                let content = random(spec.dtype, seed ^ (tensor as u64) << 32 ^ chunk, size);
                files[slot.file].write_all_at(&content, slot.offset + at).unwrap();
            });
        }
    }
}

/// Finite numbers between about 2^-15 and 2^-8 in size, of both signs; integers of any bits.
pub fn random(dtype: DType, seed: u64, bytes: usize) -> Vec<u8> {
    let (keep, set) = match dtype {
        DType::Bf16 => (0x83ff_83ff_83ff_83ff, 0x3800_3800_3800_3800),
        DType::F16 => (0x8fff_8fff_8fff_8fff, 0x1000_1000_1000_1000),
        DType::F32 => (0x83ff_ffff_83ff_ffff, 0x3800_0000_3800_0000),
        DType::F64 => (0x807f_ffff_ffff_ffff, 0x3f00_0000_0000_0000),
        DType::Bool => (0x0101_0101_0101_0101, 0),
        _ => (u64::MAX, 0),
    };
    let words = (0..bytes.div_ceil(8) as u64).flat_map(|i| (splitmix(seed, i) & keep | set).to_le_bytes());
    let mut content: Vec<u8> = words.collect();
    content.truncate(bytes);
    content
}

/// The i-th number of the SplitMix64 generator.
fn splitmix(seed: u64, i: u64) -> u64 {
    let mut z = splitmix_step(seed).wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

fn splitmix_step(seed: u64) -> u64 {
    (seed ^ seed >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd).wrapping_add(0x9e37_79b9_7f4a_7c15)
}
