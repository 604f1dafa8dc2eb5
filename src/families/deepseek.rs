//! DeepSeek-V2 and V3: keys and values from one latent vector, many experts beside shared ones, routers that choose within groups.

use super::llama::{decoder_of, gated};
use super::mixtral::{MOST, one_by_one, stacked};
use super::{activation, count, size, size_or};
use crate::checkpoint::{Config, Family, is_model_type};
use crate::diagnostic::Diagnostic;
use crate::graph::{
    Activation, Bias, Builder, Dim, Experts, GroupLimit, Role, Scoring, SiteKind, Size, Value, View,
};

pub static DEEPSEEK: Family = Family {
    name: "deepseek",
    model_types: &["deepseek_v2", "deepseek_v3"],
    doc: "DeepSeek-V2 and V3: latent attention, routers that choose within groups. Inspected, counted and changed, not run.",
    build,
};

fn build(config: &Config, m: &mut Builder<'_>) -> Result<(), Diagnostic> {
    let layers = count(config, "num_hidden_layers")?.extent;
    let latent = Latent::read(config)?;
    let mixture = Mixture::read(config, layers)?;
    let dense = size(config, "intermediate_size")?;
    let first = config.usize_or("first_k_dense_replace", 0)?;
    let attend = |m: &mut Builder<'_>, _, x| latent.attention(m, x);
    decoder_of(config, m, attend, |m, layer, x| match layer < first {
        true => m.scope("mlp", |m| gated(m, "mlp", &dense, mixture.activation, Bias::Without, x)),
        false => mixture.build(m, x),
    })?;
    if first > 0 {
        m.numbered_layers(&["first_k_dense_replace"]);
    }
    Ok(())
}

/// Attention whose keys and values are made of a narrow vector a token (multi-head latent attention, arXiv:2405.04434).
struct Latent {
    heads: Size,
    /// The width that queries come through, where they do.
    query: Option<Size>,
    key_value: usize,
    /// Widths of a head: the part that knows no positions, the one that is turned by them, the values.
    plain: usize,
    turned: usize,
    value: usize,
    bias: Bias,
    eps: f64,
}

impl Latent {
    fn read(config: &Config) -> Result<Self, Diagnostic> {
        let narrow = config.has("q_lora_rank").then(|| size(config, "q_lora_rank")).transpose()?;
        Ok(Self {
            heads: size(config, "num_attention_heads")?,
            query: narrow,
            key_value: size(config, "kv_lora_rank")?.extent,
            plain: size(config, "qk_nope_head_dim")?.extent,
            turned: size(config, "qk_rope_head_dim")?.extent,
            value: size(config, "v_head_dim")?.extent,
            bias: super::bias(config.bool_or("attention_bias", false)?),
            eps: 1e-6,
        })
    }

    fn attention(&self, m: &mut Builder<'_>, x: Value) -> Value {
        let hidden = m.features(x);
        let heads = m.axis(Role::Heads, self.heads.clone());
        let [of_query, of_keys, of_values] = [self.plain + self.turned, self.plain + self.value, self.value]
            .map(|width| m.plain_axis(Role::HeadDim, width, None));
        let [whole, inner, turned] = [self.key_value + self.turned, self.key_value, self.turned]
            .map(|width| Dim::from(m.plain_axis(Role::Fixed, width, None)));
        let query = match &self.query {
            None => m.linear("query", "self_attn.q_proj", x, [heads, of_query], Bias::Without),
            Some(narrow) => {
                let narrow = m.plain_axis(Role::Fixed, narrow.extent, narrow.key.as_deref());
                let latent = m.linear("query_in", "self_attn.q_a_proj", x, narrow, self.bias);
                let latent = m.rms_norm("query_norm", "self_attn.q_a_layernorm", latent, self.eps);
                m.linear("query", "self_attn.q_b_proj", latent, [heads, of_query], Bias::Without)
            }
        };
        let latent = m.linear("key_value_in", "self_attn.kv_a_proj_with_mqa", x, whole, self.bias);
        let inner = m.part(0, latent, inner);
        let turned = m.part(self.key_value, latent, turned);
        let inner = m.rms_norm("key_value_norm", "self_attn.kv_a_layernorm", inner, self.eps);
        let keys = m.linear("key_value", "self_attn.kv_b_proj", inner, [heads, of_keys], Bias::Without);
        let context = m.latent_attention(query, keys, turned, [heads, of_values].into());
        m.linear("output", "self_attn.o_proj", context, hidden, self.bias)
    }
}

/// A router with its experts, and those that every token comes to.
struct Mixture {
    experts: Size,
    neurons: Size,
    /// The width of all shared experts together.
    shared: Option<usize>,
    top_k: usize,
    renormalize: bool,
    activation: Activation,
    scoring: Scoring,
    corrected: bool,
    limit: Option<GroupLimit>,
}

impl Mixture {
    fn read(config: &Config, layers: usize) -> Result<Self, Diagnostic> {
        let experts = count(config, "n_routed_experts")?;
        let top_k = size_or(config, "num_experts_per_tok", 8)?.extent;
        if experts.extent * layers > MOST {
            return Err(config.field_error("n_routed_experts", "more experts than any model has"));
        }
        if top_k > experts.extent {
            let message = format!("a token cannot have {top_k} of {} experts", experts.extent);
            return Err(config.field_error("num_experts_per_tok", message));
        }
        let third = is_model_type(config, "deepseek_v3");
        let neurons = size(config, "moe_intermediate_size")?;
        let shared = config.usize_or("n_shared_experts", 0)?;
        let groups = config.usize_or("n_group", 1)?.max(1);
        let chosen = config.usize_or("topk_group", groups)?;
        if !experts.extent.is_multiple_of(groups) || !(1..=groups).contains(&chosen) {
            let message =
                format!("{} experts in {groups} groups, {chosen} of which are chosen from", experts.extent);
            return Err(config.field_error("n_group", message));
        }
        let grouped = third || config.str_or("topk_method", "greedy")? == "group_limited_greedy";
        Ok(Self {
            shared: (shared > 0).then_some(shared.saturating_mul(neurons.extent)),
            experts,
            neurons,
            top_k,
            renormalize: config.bool_or("norm_topk_prob", third)?,
            activation: activation(config, "hidden_act", "silu")?,
            scoring: if third { Scoring::Sigmoid } else { Scoring::Softmax },
            corrected: third,
            limit: (grouped && groups > 1).then_some(GroupLimit { groups, chosen }),
        })
    }

    fn build(&self, m: &mut Builder<'_>, x: Value) -> Value {
        let axis = m.axis(Role::Experts, self.experts.clone());
        let router = m.linear_site("router", "mlp.gate", axis.into(), m.features(x), Bias::Without);
        let correction = self.corrected.then(|| {
            let numbers = m.param("mlp.gate.e_score_correction_bias", vec![axis.into()]);
            m.site("correction", SiteKind::Token, View::whole(numbers), None)
        });
        let names = ["gate_proj", "up_proj", "down_proj"];
        let experts = match m.has("mlp.experts.gate_up_proj", false) {
            true => stacked(m, x, axis, &self.neurons),
            false => one_by_one(m, x, axis, &self.neurons, "mlp.experts", names),
        };
        let of = Experts::new(axis, router, experts, self.top_k, self.activation);
        let Self { renormalize, scoring, limit, .. } = *self;
        let mixed = m.experts(Experts { renormalize, scoring, correction, limit, ..of }, x);
        let Some(width) = self.shared else { return mixed };
        let shared = m.scope("shared_expert", |m| {
            let width = Size::fixed(width);
            gated(m, "mlp.shared_experts", &width, self.activation, Bias::Without, x)
        });
        m.add(mixed, shared)
    }
}
