//! Switch: a T5 in some of whose layers a router sends each token to one expert.

use super::{activation, count, size, size_or};
use crate::checkpoint::{Config, Family};
use crate::diagnostic::Diagnostic;
use crate::graph::{
    Activation, Attention, AxisId, Bias, Builder, Dim, Expert, Experts, Formula, Role, SiteId, SiteKind,
    Size, Value, View,
};

pub static SWITCH: Family = Family {
    name: "switch",
    model_types: &["switch_transformers"],
    doc: "Switch: T5 encoders and decoders with one expert a token. Inspected, counted and changed, not run.",
    build,
};

fn build(config: &Config, m: &mut Builder<'_>) -> Result<(), Diagnostic> {
    if config.bool_or("is_gated_act", false)? {
        return Err(
            config.field_error("is_gated_act", "gated feed-forwards of a Switch are not known to tamis")
        );
    }
    let (vocab, hidden) = (size(config, "vocab_size")?, size(config, "d_model")?);
    let encoder = Stack::read(config, "encoder", "num_layers", "num_sparse_encoder_layers")?;
    let decoder = Stack::read(config, "decoder", "num_decoder_layers", "num_sparse_decoder_layers")?;
    let tied = config.bool_or("tie_word_embeddings", true)?;
    let (vocab, hidden) = (m.axis(Role::Vocab, vocab), m.axis(Role::Hidden, hidden));

    let ids = m.token_ids(512);
    let (x, words) = m.scope("embeddings", |m| m.embedding("words", "shared", ids, vocab, hidden));
    // Copies of the table that older files hold.
    let table = m.weight_param(words);
    ["encoder.embed_tokens.weight", "decoder.embed_tokens.weight"]
        .iter()
        .for_each(|name| m.alias(table, name));
    let read = m.scope("encoder", |m| encoder.build(m, x, None));
    let y = m.scope("decoder", |m| {
        let ids = m.more_token_ids(ids);
        let y = m.looked_up(words, ids);
        decoder.build(m, y, Some(read))
    });
    m.output("hidden", y);
    let y = if tied { m.scale((size(config, "d_model")?.extent as f64).sqrt().recip(), y) } else { y };
    let logits = m.word_linear("head", words, tied, "lm_head", &[], y);
    m.output("logits", logits);
    Ok(())
}

/// The layers of the encoder, or of the decoder.
struct Stack {
    name: &'static str,
    layers: Size,
    /// Of every so many layers the second one has experts; 0 for none.
    step: usize,
    heads: Size,
    head_dim: Size,
    neurons: Size,
    experts: Size,
    distances: usize,
    activation: Activation,
    eps: f64,
}

impl Stack {
    fn read(config: &Config, name: &'static str, layers: &str, sparse: &str) -> Result<Self, Diagnostic> {
        let encoders = count(config, "num_layers")?;
        let layers = if config.has(layers) { count(config, layers)? } else { encoders };
        let sparse = config.usize_or(sparse, 3)?;
        let experts = count(config, "num_experts")?;
        if experts.extent * layers.extent > super::mixtral::MOST {
            return Err(config.field_error("num_experts", "more experts than any model has"));
        }
        Ok(Self {
            name,
            step: layers.extent.checked_div(sparse).unwrap_or(layers.extent),
            layers,
            heads: size(config, "num_heads")?,
            head_dim: size(config, "d_kv")?,
            neurons: size(config, "d_ff")?,
            experts,
            distances: size_or(config, "relative_attention_num_buckets", 32)?.extent,
            activation: activation(config, "dense_act_fn", "relu")?,
            eps: config.f64_or("layer_norm_epsilon", 1e-6)?,
        })
    }

    /// With `read`, what an encoder made, there is attention to it in every layer.
    fn build(&self, m: &mut Builder<'_>, x: Value, read: Option<Value>) -> Value {
        let layers = m.axis(Role::Layers, self.layers.clone());
        let (heads, relative) = self.relative(m);
        let mut number = 0;
        let x = m.layers(layers, &format!("{}.block", self.name), x, |m, x| {
            let normed = m.rms_norm("norm1", "layer.0.layer_norm", x, self.eps);
            let own = Attention { causal: read.is_some(), relative: Some(relative), ..plain() };
            let attended = m.scope("attention", |m| {
                self.attention(m, "layer.0.SelfAttention", heads, own, normed, normed)
            });
            let mut x = m.add(x, attended);
            if let Some(read) = read {
                let normed = m.rms_norm("cross_norm", "layer.1.layer_norm", x, self.eps);
                let name = "layer.1.EncDecAttention";
                let attended = m.scope("cross_attention", |m| {
                    let heads = m.axis(Role::Heads, self.heads.clone());
                    self.attention(m, name, heads, plain(), normed, read)
                });
                x = m.add(x, attended);
            }
            let list = if read.is_some() { "layer.2" } else { "layer.1" };
            let normed = m.rms_norm("norm2", &format!("{list}.layer_norm"), x, self.eps);
            let sparse = self.step == 1 || self.step > 1 && number % self.step == 1;
            number += 1;
            let fed = match sparse {
                true => self.experts(m, list, normed),
                false => m.scope("mlp", |m| self.dense(m, list, normed)),
            };
            m.add(x, fed)
        });
        if self.step > 1 {
            let all = self.layers.extent;
            m.fact(&format!("num_sparse_{}_layers", self.name), Formula::Numbers { of: layers, all });
        }
        m.rms_norm("norm", &format!("{}.final_layer_norm", self.name), x, self.eps)
    }

    /// The heads of all layers, and what they add to scores by distance: a table that is stored with the first one.
    fn relative(&self, m: &mut Builder<'_>) -> (AxisId, SiteId) {
        let heads = m.axis(Role::Heads, self.heads.clone());
        let distances = m.plain_axis(Role::Fixed, self.distances, None);
        let name = format!("{}.block.0.layer.0.SelfAttention.relative_attention_bias.weight", self.name);
        let table = m.param(&name, vec![distances.into(), heads.into()]);
        (heads, m.site("distances", SiteKind::Embedding, View::whole(table), None))
    }

    fn attention(
        &self,
        m: &mut Builder<'_>,
        name: &str,
        heads: AxisId,
        attention: Attention,
        x: Value,
        read: Value,
    ) -> Value {
        let hidden = m.features(x);
        let head_dim = m.axis(Role::HeadDim, self.head_dim.clone());
        let dim = Dim::from([heads, head_dim]);
        let query = m.linear("query", &format!("{name}.q"), x, dim.clone(), Bias::Without);
        let key = m.linear("key", &format!("{name}.k"), read, dim.clone(), Bias::Without);
        let value = m.linear("value", &format!("{name}.v"), read, dim, Bias::Without);
        let context = m.attention(attention, query, key, value);
        m.linear("output", &format!("{name}.o"), context, hidden, Bias::Without)
    }

    fn dense(&self, m: &mut Builder<'_>, list: &str, x: Value) -> Value {
        let hidden = m.features(x);
        let neurons = m.axis(Role::Neurons, self.neurons.clone());
        let inner = m.linear("up", &format!("{list}.mlp.wi"), x, neurons, Bias::Without);
        let inner = m.activation(self.activation, inner);
        m.linear("down", &format!("{list}.mlp.wo"), inner, hidden, Bias::Without)
    }

    /// One of the experts for each token, weighed by its share of all.
    fn experts(&self, m: &mut Builder<'_>, list: &str, x: Value) -> Value {
        let hidden = m.features(x);
        let axis = m.axis(Role::Experts, self.experts.clone());
        let name = format!("{list}.mlp.router.classifier");
        let router = m.linear_site("router", &name, axis.into(), hidden.clone(), Bias::Without);
        let experts = m.members("experts", &format!("{list}.mlp.experts.expert_"), axis, |m| {
            let neurons = Dim::from(m.axis(Role::Neurons, self.neurons.clone()));
            let up = m.linear_site("up", "wi", neurons.clone(), hidden.clone(), Bias::Without);
            let down = m.linear_site("down", "wo", hidden.clone(), neurons, Bias::Without);
            Expert { gate: None, up, down }
        });
        let of = Experts::new(axis, router, experts, 1, self.activation);
        m.experts(Experts { renormalize: false, ..of }, x)
    }
}

/// T5 does not scale scores.
fn plain() -> Attention {
    Attention::new(false, 1.0)
}
