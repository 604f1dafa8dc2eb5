//! Qwen2-MoE, Qwen3-MoE and OLMoE: decoders of many small experts, some with a shared one, some with dense layers between.

use super::llama::{decoder, gated};
use super::mixtral::{MOST, one_by_one, stacked};
use super::{activation, count, size, size_or};
use crate::checkpoint::{Config, Family, is_model_type};
use crate::diagnostic::Diagnostic;
use crate::graph::{Activation, Bias, Builder, Dim, Experts, Role, Size, Value};

pub static QWEN_MOE: Family = Family {
    name: "qwen_moe",
    model_types: &["qwen2_moe", "qwen3_moe", "olmoe"],
    doc: "Decoders with many small experts, shared ones among them: Qwen2-MoE, Qwen3-MoE, OLMoE.",
    build,
};

fn build(config: &Config, m: &mut Builder<'_>) -> Result<(), Diagnostic> {
    if config.has("clip_qkv") {
        return Err(config.field_error("clip_qkv", "clipped queries and keys are not known to tamis"));
    }
    let layers = count(config, "num_hidden_layers")?.extent;
    let sparse = sparse_layers(config, layers)?;
    let mixture = Mixture::read(config, layers)?;
    let dense = size(config, "intermediate_size")?;
    let mixed = sparse.contains(&false);
    decoder(config, m, |m, layer, x| match sparse[layer] {
        true => mixture.build(m, x),
        false => m.scope("mlp", |m| gated(m, "mlp", &dense, mixture.activation, Bias::Without, x)),
    })?;
    if mixed {
        m.numbered_layers(&["mlp_only_layers", "decoder_sparse_step"]);
    }
    Ok(())
}

/// Which layers have experts.
fn sparse_layers(config: &Config, layers: usize) -> Result<Vec<bool>, Diagnostic> {
    let step = config.usize_or("decoder_sparse_step", 1)?.max(1);
    let dense: Vec<usize> = config
        .get("mlp_only_layers")
        .and_then(serde_json::Value::as_array)
        .map(|layers| layers.iter().filter_map(serde_json::Value::as_u64).map(|it| it as usize).collect())
        .unwrap_or_default();
    Ok((0..layers).map(|layer| !dense.contains(&layer) && (layer + 1).is_multiple_of(step)).collect())
}

/// A router, its experts, and the expert that every token comes to.
struct Mixture {
    experts: Size,
    neurons: Size,
    top_k: usize,
    renormalize: bool,
    activation: Activation,
    shared: Option<Size>,
}

impl Mixture {
    fn read(config: &Config, layers: usize) -> Result<Self, Diagnostic> {
        let of_olmo = is_model_type(config, "olmoe");
        let key = if config.has("num_local_experts") { "num_local_experts" } else { "num_experts" };
        let experts = count(config, key)?;
        let top_k = size_or(config, "num_experts_per_tok", 8)?.extent;
        if experts.extent * layers > MOST {
            return Err(config.field_error(key, "more experts than any model has"));
        }
        if top_k > experts.extent {
            let message = format!("a token cannot have {top_k} of {} experts", experts.extent);
            return Err(config.field_error("num_experts_per_tok", message));
        }
        let neurons = size(config, if of_olmo { "intermediate_size" } else { "moe_intermediate_size" })?;
        let shared = is_model_type(config, "qwen2_moe");
        Ok(Self {
            experts,
            neurons,
            top_k,
            renormalize: config.bool_or("norm_topk_prob", false)?,
            activation: activation(config, "hidden_act", "silu")?,
            shared: shared.then(|| size(config, "shared_expert_intermediate_size")).transpose()?,
        })
    }

    fn build(&self, m: &mut Builder<'_>, x: Value) -> Value {
        let axis = m.axis(Role::Experts, self.experts.clone());
        let router = m.linear_site("router", "mlp.gate", axis.into(), m.features(x), Bias::Without);
        let names = ["gate_proj", "up_proj", "down_proj"];
        let experts = match m.has("mlp.experts.gate_up_proj", false) {
            true => stacked(m, x, axis, &self.neurons),
            false => one_by_one(m, x, axis, &self.neurons, "mlp.experts", names),
        };
        let of = Experts::new(axis, router, experts, self.top_k, self.activation);
        let mixed = m.experts(Experts { renormalize: self.renormalize, ..of }, x);
        match &self.shared {
            Some(neurons) => {
                let shared = self.shared_expert(m, neurons, x);
                m.add(mixed, shared)
            }
            None => mixed,
        }
    }

    /// An expert of every token, times a number that the token gives it. It is none of the router's.
    fn shared_expert(&self, m: &mut Builder<'_>, neurons: &Size, x: Value) -> Value {
        m.scope("shared_expert", |m| {
            let y = gated(m, "mlp.shared_expert", neurons, self.activation, Bias::Without, x);
            let weight = m.linear("weight", "mlp.shared_expert_gate", x, Dim::default(), Bias::Without);
            let weight = m.activation(Activation::Sigmoid, weight);
            m.weigh(y, weight)
        })
    }
}
