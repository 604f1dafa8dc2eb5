//! Llama, Mistral, Qwen2 and Qwen3: rotary positions, grouped queries, a gated feed-forward, norms before each.

use super::{activation, bias, classes, classifier, count, is_class, prefix, quotient, size, size_or};
use crate::checkpoint::{Config, Family, is_model_type};
use crate::diagnostic::Diagnostic;
use crate::graph::{
    Activation, Attention, AxisId, Bias, Builder, Dim, Formula, Role, Rope, RopeScaling, SiteId, Size, Value,
};

pub static LLAMA: Family = Family {
    name: "llama",
    model_types: &["llama", "mistral", "qwen2", "qwen3"],
    doc: "Decoders with rotary positions, grouped queries and gated feed-forward: Llama, Mistral, Qwen2, Qwen3.",
    build,
};

fn build(config: &Config, m: &mut Builder<'_>) -> Result<(), Diagnostic> {
    let neurons = size(config, "intermediate_size")?;
    let activate = activation(config, "hidden_act", "silu")?;
    let bias = bias(config.bool_or("mlp_bias", false)?);
    decoder(config, m, |m, _, x| m.scope("mlp", |m| gated(m, "mlp", &neurons, activate, bias, x)))
}

/// Gate and up projection, the one activated and multiplied with the other, and down.
pub(super) fn gated(
    m: &mut Builder<'_>,
    name: &str,
    neurons: &Size,
    activate: Activation,
    bias: Bias,
    x: Value,
) -> Value {
    let hidden = m.features(x);
    let neurons = m.axis(Role::Neurons, neurons.clone());
    let gate = m.linear("gate", &format!("{name}.gate_proj"), x, neurons, bias);
    let gate = m.activation(activate, gate);
    let up = m.linear("up", &format!("{name}.up_proj"), x, neurons, bias);
    let inner = m.multiply(gate, up);
    m.linear("down", &format!("{name}.down_proj"), inner, hidden, bias)
}

/// The decoder around a feed-forward of any kind, which is given the number of its layer.
pub(super) fn decoder(
    config: &Config,
    m: &mut Builder<'_>,
    feed_forward: impl FnMut(&mut Builder<'_>, usize, Value) -> Value,
) -> Result<(), Diagnostic> {
    let heads = Heads::read(config)?;
    let windows = windows(config, count(config, "num_hidden_layers")?.extent)?;
    let attend =
        |m: &mut Builder<'_>, layer: usize, x| heads.attention(m, x, windows.get(layer).copied().flatten());
    decoder_of(config, m, attend, feed_forward)
}

/// The decoder around attention and a feed-forward of any kind, both given the number of their layer.
pub(super) fn decoder_of(
    config: &Config,
    m: &mut Builder<'_>,
    mut attend: impl FnMut(&mut Builder<'_>, usize, Value) -> Value,
    mut feed_forward: impl FnMut(&mut Builder<'_>, usize, Value) -> Value,
) -> Result<(), Diagnostic> {
    // Among all classes of these architectures one calls its decoder otherwise.
    let odd = is_class(config, "LlamaForQuestionAnswering");
    m.base(&["model.", "transformer."], prefix(config, if odd { "transformer." } else { "model." }));
    let text = read(config, m)?;
    let x = stack(config, m, text, &mut attend, &mut feed_forward)?;
    m.output("hidden", x);
    m.outside_base(|m| head(config, m, x, text.words))
}

/// A text on its way through a decoder, which so many layers are in front of.
#[derive(Clone, Copy)]
pub(super) struct Text {
    pub x: Value,
    pub words: SiteId,
    layers: AxisId,
}

/// The text's tokens, looked up.
pub(super) fn read(config: &Config, m: &mut Builder<'_>) -> Result<Text, Diagnostic> {
    let (vocab, hidden) = (size(config, "vocab_size")?, size(config, "hidden_size")?);
    let layers = count(config, "num_hidden_layers")?;
    let positions = size_or(config, "max_position_embeddings", 2048)?;
    m.buffers(&[".rotary_emb.inv_freq"]);
    let (vocab, hidden) = (m.axis(Role::Vocab, vocab), m.axis(Role::Hidden, hidden));
    let layers = m.axis(Role::Layers, layers);
    if config.has("layer_types") {
        m.fact("layer_types", Formula::Each(layers));
    }

    let ids = m.token_ids(positions.extent);
    let (x, words) = m.scope("embeddings", |m| m.embedding("words", "embed_tokens", ids, vocab, hidden));
    Ok(Text { x, words, layers })
}

/// The layers of a plain decoder, and the norm behind them.
pub(super) fn plain_stack(config: &Config, m: &mut Builder<'_>, text: Text) -> Result<Value, Diagnostic> {
    let neurons = size(config, "intermediate_size")?;
    let activate = activation(config, "hidden_act", "silu")?;
    let bias = bias(config.bool_or("mlp_bias", false)?);
    let heads = Heads::read(config)?;
    let windows = windows(config, count(config, "num_hidden_layers")?.extent)?;
    let mut attend =
        |m: &mut Builder<'_>, layer: usize, x| heads.attention(m, x, windows.get(layer).copied().flatten());
    let mut feed_forward =
        |m: &mut Builder<'_>, _: usize, x| m.scope("mlp", |m| gated(m, "mlp", &neurons, activate, bias, x));
    stack(config, m, text, &mut attend, &mut feed_forward)
}

/// A part of a layer: what it makes of a value, given the number of the layer.
type Part<'a> = &'a mut dyn FnMut(&mut Builder<'_>, usize, Value) -> Value;

/// The layers, and the norm behind them.
fn stack(
    config: &Config,
    m: &mut Builder<'_>,
    text: Text,
    attend: Part<'_>,
    feed_forward: Part<'_>,
) -> Result<Value, Diagnostic> {
    let eps = config.f64_or("rms_norm_eps", 1e-6)?;
    let mut number = 0;
    let x = m.layers(text.layers, "layers", text.x, |m, x| {
        let normed = m.rms_norm("norm1", "input_layernorm", x, eps);
        let attended = m.scope("attention", |m| attend(m, number, normed));
        let x = m.add(x, attended);
        let normed = m.rms_norm("norm2", "post_attention_layernorm", x, eps);
        let fed = feed_forward(m, number, normed);
        number += 1;
        m.add(x, fed)
    });
    Ok(m.rms_norm("norm", "norm", x, eps))
}

fn head(config: &Config, m: &mut Builder<'_>, x: Value, words: SiteId) -> Result<(), Diagnostic> {
    if m.has("lm_head.weight", false) || is_class(config, "ForCausalLM") {
        let tied = config.bool_or("tie_word_embeddings", false)?;
        let logits = m.word_linear("head", words, tied, "lm_head", &[], x);
        m.output("logits", logits);
    }
    let of_tokens = is_class(config, "ForTokenClassification");
    if m.has("score.weight", of_tokens || is_class(config, "ForSequenceClassification")) {
        let of_tokens = m.has("score.bias", of_tokens);
        let x = if of_tokens { x } else { m.last(x) };
        classifier(m, "head", "score", x, &classes(config)?, bias(of_tokens));
    }
    if m.has("qa_outputs.weight", is_class(config, "ForQuestionAnswering")) {
        classifier(m, "head", "qa_outputs", x, &Size::fixed(2), Bias::With);
    }
    Ok(())
}

struct Heads {
    heads: Size,
    kv_heads: Size,
    group: usize,
    head_dim: Size,
    bias: Bias,
    output_bias: Bias,
    norms: Norms,
    rope: Rope,
}

/// What queries and keys are normed by before they are turned.
#[derive(Clone, Copy)]
enum Norms {
    None,
    /// Each head by itself (Qwen3).
    Head(f64),
    /// All heads together (OLMoE).
    All(f64),
}

impl Heads {
    fn read(config: &Config) -> Result<Self, Diagnostic> {
        let heads = size(config, "num_attention_heads")?;
        let kv_heads = size_or(config, "num_key_value_heads", heads.extent)?;
        let group = quotient(config, &heads, &kv_heads)?;
        let head_dim = match config.has("head_dim") {
            true => size(config, "head_dim")?,
            false => Size::fixed(quotient(config, &size(config, "hidden_size")?, &heads)?),
        };
        let everywhere = config.bool_or("attention_bias", false)?;
        let is = |model_type| is_model_type(config, model_type);
        let of_qwen = is("qwen2") || is("qwen2_moe") && config.bool_or("qkv_bias", true)?;
        let (bias, output_bias) = (bias(everywhere || of_qwen), bias(everywhere));
        let eps = config.f64_or("rms_norm_eps", if is("olmoe") { 1e-5 } else { 1e-6 })?;
        let norms = match () {
            () if is("qwen3") || is("qwen3_moe") => Norms::Head(eps),
            () if is("olmoe") => Norms::All(eps),
            () => Norms::None,
        };
        Ok(Self { heads, kv_heads, group, head_dim, bias, output_bias, norms, rope: rope(config)? })
    }

    fn attention(&self, m: &mut Builder<'_>, x: Value, window: Option<usize>) -> Value {
        let hidden = m.features(x);
        let (queries, keys) = self.dims(m);
        let query = m.linear("query", "self_attn.q_proj", x, queries, self.bias);
        let key = m.linear("key", "self_attn.k_proj", x, keys.clone(), self.bias);
        let value = m.linear("value", "self_attn.v_proj", x, keys, self.bias);
        let scale = (self.head_dim.extent as f64).sqrt().recip();
        let rope = Some(self.rope.clone());
        let attention = Attention { rope, window, ..Attention::new(true, scale) };
        let [query, key] = [("query_norm", "self_attn.q_norm", query), ("key_norm", "self_attn.k_norm", key)]
            .map(|(node, name, x)| self.norms.of(m, node, name, x));
        let context = m.attention(attention, query, key, value);
        m.linear("output", "self_attn.o_proj", context, hidden, self.output_bias)
    }

    /// Dims of queries, and of keys and values.
    fn dims(&self, m: &mut Builder<'_>) -> (Dim, Dim) {
        let head_dim = m.plain_axis(Role::HeadDim, self.head_dim.extent, self.head_dim.key.as_deref());
        m.fact("head_dim", Formula::Product(vec![head_dim]));
        if let Norms::All(_) = self.norms {
            // The norm of all queries is as wide as the stream, whatever `head_dim` says.
            let numerator = "hidden_size".into();
            m.fact("num_attention_heads", Formula::Quotient { numerator, of: head_dim });
        }
        if self.group == 1 {
            let heads = m.axis(Role::Heads, self.heads.clone());
            m.fact("num_key_value_heads", Formula::Product(vec![heads]));
            return ([heads, head_dim].into(), [heads, head_dim].into());
        }
        let kv_heads = m.axis(Role::KvHeads, self.kv_heads.clone());
        let group = m.plain_axis(Role::Group, self.group, Some("num_attention_heads"));
        m.fact("num_attention_heads", Formula::Product(vec![kv_heads, group]));
        ([kv_heads, group, head_dim].into(), [kv_heads, head_dim].into())
    }
}

impl Norms {
    fn of(self, m: &mut Builder<'_>, node: &str, name: &str, x: Value) -> Value {
        match self {
            Self::None => x,
            Self::All(eps) => m.rms_norm(node, name, x, eps),
            Self::Head(eps) => {
                let head_dim = *m.features(x).0.last().expect("heads have a width");
                m.head_norm(node, name, x, head_dim, eps)
            }
        }
    }
}

/// Rotary positions, as transformers 5 (`rope_parameters`) or older ones (`rope_theta`, `rope_scaling`) write them.
fn rope(config: &Config) -> Result<Rope, Diagnostic> {
    let usual = if is_model_type(config, "mixtral") { 1e6 } else { 1e4 };
    let theta = config.f64_or("rope_parameters.rope_theta", config.f64_or("rope_theta", usual)?)?;
    let at = if config.has("rope_parameters") { "rope_parameters" } else { "rope_scaling" };
    let field = |name: &str| format!("{at}.{name}");
    let kind = if config.has(&field("rope_type")) { field("rope_type") } else { field("type") };
    let scaling = match config.str_or(&kind, "default")? {
        "default" => None,
        "linear" => Some(RopeScaling::Linear { factor: config.f64(&field("factor"))? }),
        "llama3" => Some(RopeScaling::Llama3 {
            factor: config.f64(&field("factor"))?,
            low_freq_factor: config.f64(&field("low_freq_factor"))?,
            high_freq_factor: config.f64(&field("high_freq_factor"))?,
            original_positions: config.usize(&field("original_max_position_embeddings"))?,
        }),
        other => {
            let message = format!("rotary positions of type `{other}` are not known");
            return Err(config.field_error(&kind, message).help("there is `default`, `linear` and `llama3`"));
        }
    };
    Ok(Rope { theta, scaling })
}

/// How far back each layer sees; `None` to the start.
fn windows(config: &Config, layers: usize) -> Result<Vec<Option<usize>>, Diagnostic> {
    let is = |model_type| is_model_type(config, model_type);
    let of_qwen = ["qwen2", "qwen3", "qwen2_moe", "qwen3_moe"].into_iter().any(is);
    let of_llama = is("llama") || is("olmoe");
    let slides = !of_qwen || config.bool_or("use_sliding_window", false)?;
    if of_llama || !slides || !config.has("sliding_window") {
        return Ok(vec![None; layers]);
    }
    let window = config.usize("sliding_window")?;
    let types = config.strs("layer_types")?;
    let first = if of_qwen { config.usize_or("max_window_layers", 28)? } else { 0 };
    let slides = |layer: usize| types.get(layer).map_or(layer >= first, |it| *it == "sliding_attention");
    Ok((0..layers).map(|layer| slides(layer).then_some(window)).collect())
}
