//! GPT-2: one fused, transposed tensor for query, key and value; learned positions; the table of words as head.

use super::{DerivedHeads, activation, bias, classes, classifier, count, is_class, prefix, size, size_or};
use crate::checkpoint::{Config, Family};
use crate::diagnostic::Diagnostic;
use crate::graph::{Activation, Attention, Bias, Builder, Role, SiteId, Size, Value};

pub static GPT2: Family = Family {
    name: "gpt2",
    model_types: &["gpt2"],
    doc: "GPT-2 and what has its form: DistilGPT2, DialoGPT.",
    build,
};

fn build(config: &Config, m: &mut Builder<'_>) -> Result<(), Diagnostic> {
    refuse(config)?;
    let hidden = size(config, "n_embd")?;
    let heads = DerivedHeads::read(config, "n_head", &hidden)?;
    let neurons = size_or(config, "n_inner", hidden.extent.saturating_mul(4))?;
    let activate = activation(config, "activation_function", "gelu_new")?;
    let eps = config.f64_or("layer_norm_epsilon", 1e-5)?;
    let scaled = config.bool_or("scale_attn_weights", true)?;

    m.base(&["transformer."], prefix(config, "transformer."));
    m.buffers(&[".attn.bias", ".attn.masked_bias"]);
    let vocab = m.axis(Role::Vocab, size(config, "vocab_size")?);
    let positions = size_or(config, "n_positions", config.usize_or("n_ctx", 1024)?)?;
    let ids = m.token_ids(positions.extent);
    let positions = m.axis(Role::Positions, positions);
    let layers = m.axis(Role::Layers, count(config, "n_layer")?);
    let width = m.axis(Role::Hidden, hidden);

    let (x, words) = m.scope("embeddings", |m| {
        let (x, words) = m.embedding("words", "wte", ids, vocab, width);
        let positions = m.table("positions", "wpe", positions, width);
        (m.add_positions(x, positions, 0), words)
    });
    let x = m.layers(layers, "h", x, |m, x| {
        let normed = m.layer_norm("norm1", "ln_1", x, eps);
        let attended = m.scope("attention", |m| attention(m, &heads, normed, scaled));
        let x = m.add(attended, x);
        let normed = m.layer_norm("norm2", "ln_2", x, eps);
        let fed = m.scope("mlp", |m| feed_forward(m, &neurons, activate, normed));
        m.add(fed, x)
    });
    let x = m.layer_norm("norm", "ln_f", x, eps);
    m.output("hidden", x);
    m.outside_base(|m| head(config, m, x, words))
}

fn attention(m: &mut Builder<'_>, heads: &DerivedHeads, x: Value, scaled: bool) -> Value {
    let (dim, hidden) = (heads.dim(m), m.features(x));
    let nodes = ["query", "key", "value"];
    let [query, key, value] = m.transposed_fused(nodes, "attn.c_attn", x, Role::Qkv, dim);
    let attention = heads.attention(true);
    let scale = if scaled { attention.scale } else { 1.0 };
    let context = m.attention(Attention { scale, ..attention }, query, key, value);
    m.transposed_linear("output", "attn.c_proj", context, hidden)
}

fn feed_forward(m: &mut Builder<'_>, neurons: &Size, activate: Activation, x: Value) -> Value {
    let hidden = m.features(x);
    let neurons = m.axis(Role::Neurons, neurons.clone());
    let inner = m.transposed_linear("up", "mlp.c_fc", x, neurons);
    let inner = m.activation(activate, inner);
    m.transposed_linear("down", "mlp.c_proj", inner, hidden)
}

fn head(config: &Config, m: &mut Builder<'_>, x: Value, words: SiteId) -> Result<(), Diagnostic> {
    if m.has("lm_head.weight", false) || is_class(config, "LMHeadModel") {
        let tied = config.bool_or("tie_word_embeddings", true)?;
        let logits = m.word_linear("head", words, tied, "lm_head", &[], x);
        m.output("logits", logits);
    }
    if m.has("score.weight", is_class(config, "ForSequenceClassification")) {
        let last = m.last(x);
        classifier(m, "head", "score", last, &classes(config)?, bias(false));
    }
    if m.has("classifier.weight", is_class(config, "ForTokenClassification")) {
        classifier(m, "head", "classifier", x, &classes(config)?, Bias::With);
    }
    if m.has("qa_outputs.weight", is_class(config, "ForQuestionAnswering")) {
        classifier(m, "head", "qa_outputs", x, &Size::fixed(2), Bias::With);
    }
    Ok(())
}

fn refuse(config: &Config) -> Result<(), Diagnostic> {
    let refused = [
        ("add_cross_attention", "attention to another text is not known"),
        ("scale_attn_by_inverse_layer_idx", "a scale that depends on the layer's number is not known"),
    ];
    for (key, why) in refused {
        if config.bool_or(key, false)? {
            return Err(config.field_error(key, why));
        }
    }
    Ok(())
}
