//! BERT: learned positions and segment types, attention over all tokens, a norm after each residual.

use super::{
    DerivedHeads, Masked, activation, attention, classes, classifier, count, feed_forward, is_bare, is_class,
    masked_head, pooler, prefix, size, size_or,
};
use crate::checkpoint::{Config, Family};
use crate::diagnostic::Diagnostic;
use crate::graph::{Activation, Bias, Builder, Role, SiteId, Size, Value};

pub static BERT: Family = Family {
    name: "bert",
    model_types: &["bert"],
    doc: "Encoders of the BERT kind, MiniLM and sentence-transformers' among them.",
    build,
};

/// The classes whose head reads the pooled first token.
const POOLED: &[&str] =
    &["ForPreTraining", "ForNextSentencePrediction", "ForSequenceClassification", "ForMultipleChoice"];

fn build(config: &Config, m: &mut Builder<'_>) -> Result<(), Diagnostic> {
    let Encoded { hidden, words, pooled } = encoder(config, m, "bert.", 0, POOLED)?;
    let masked = Masked {
        dense: "cls.predictions.transform.dense",
        norm: "cls.predictions.transform.LayerNorm",
        output: "cls.predictions.decoder",
        biases: &["cls.predictions.bias", "cls.predictions.decoder.bias"],
        activate: activation(config, "hidden_act", "gelu")?,
        eps: config.f64_or("layer_norm_eps", 1e-12)?,
        tied: config.bool_or("tie_word_embeddings", true)?,
    };
    m.outside_base(|m| {
        let predicts = ["ForMaskedLM", "ForPreTraining", "LMHeadModel"].iter().any(|it| is_class(config, it));
        if m.has("cls.predictions.transform.dense.weight", predicts) {
            masked_head(m, hidden, words, &masked);
        }
        let pooled = pooled.unwrap_or(hidden);
        let follows = ["ForPreTraining", "ForNextSentencePrediction"].iter().any(|it| is_class(config, it));
        if m.has("cls.seq_relationship.weight", follows) {
            let follows = m.plain_axis(Role::Classes, 2, None);
            let follows =
                m.scope("head", |m| m.linear("follows", "cls.seq_relationship", pooled, follows, Bias::With));
            m.output("follows", follows);
        }
        head(config, m, hidden, pooled)
    })
}

/// The head of a classifier, of the whole text or of each token, or of a question answerer.
pub(super) fn head(
    config: &Config,
    m: &mut Builder<'_>,
    hidden: Value,
    pooled: Value,
) -> Result<(), Diagnostic> {
    let of_tokens = is_class(config, "ForTokenClassification");
    let of_choices = is_class(config, "ForMultipleChoice");
    let of_text = is_class(config, "ForSequenceClassification");
    if m.has("classifier.weight", of_tokens || of_choices || of_text) {
        let classes = if of_choices { Size::fixed(1) } else { classes(config)? };
        classifier(m, "head", "classifier", if of_tokens { hidden } else { pooled }, &classes, Bias::With);
    }
    if m.has("qa_outputs.weight", is_class(config, "ForQuestionAnswering")) {
        classifier(m, "head", "qa_outputs", hidden, &Size::fixed(2), Bias::With);
    }
    Ok(())
}

/// What heads read.
pub(super) struct Encoded {
    pub hidden: Value,
    pub words: SiteId,
    pub pooled: Option<Value>,
}

/// The encoder. The first token has position `offset`; classes `pooled` need the pooler, others may have it.
pub(super) fn encoder(
    config: &Config,
    m: &mut Builder<'_>,
    base: &str,
    offset: usize,
    pooled: &[&str],
) -> Result<Encoded, Diagnostic> {
    refuse(config)?;
    let hidden = size(config, "hidden_size")?;
    let heads = DerivedHeads::read(config, "num_attention_heads", &hidden)?;
    let neurons = size(config, "intermediate_size")?;
    let activate = activation(config, "hidden_act", "gelu")?;
    let eps = config.f64_or("layer_norm_eps", 1e-12)?;
    let causal = config.bool_or("is_decoder", false)?;
    let pooled = pooled.iter().any(|it| is_class(config, it));

    m.base(&[base], prefix(config, base));
    m.buffers(&["embeddings.position_ids", "embeddings.token_type_ids"]);
    let vocab = m.axis(Role::Vocab, size(config, "vocab_size")?);
    let types = m.axis(Role::Types, size_or(config, "type_vocab_size", 2)?);
    let positions = size(config, "max_position_embeddings")?;
    let ids = m.token_ids(positions.extent.saturating_sub(offset));
    let positions = m.axis(Role::Positions, positions);
    let layers = m.axis(Role::Layers, count(config, "num_hidden_layers")?);
    let width = m.axis(Role::Hidden, hidden.clone());

    let (x, words) = m.scope("embeddings", |m| {
        let (x, words) = m.embedding("words", "embeddings.word_embeddings", ids, vocab, width);
        let types = m.table("types", "embeddings.token_type_embeddings", types, width);
        let x = m.add_types(x, types);
        let positions = m.table("positions", "embeddings.position_embeddings", positions, width);
        let x = m.add_positions(x, positions, offset);
        (m.layer_norm("norm", "embeddings.LayerNorm", x, eps), words)
    });
    let x = m.layers(layers, "encoder.layer", x, |m, x| {
        let names =
            ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"];
        let attended = m.scope("attention", |m| attention(m, &heads, x, names, Bias::With, causal));
        let x = m.add(attended, x);
        let x = m.layer_norm("norm1", "attention.output.LayerNorm", x, eps);
        let names = ["intermediate.dense", "output.dense"];
        let fed = m.scope("mlp", |m| feed_forward(m, &neurons, activate, x, names));
        let x = m.add(fed, x);
        m.layer_norm("norm2", "output.LayerNorm", x, eps)
    });
    m.output("hidden", x);
    let pooled = (pooled || m.has("pooler.dense.weight", is_bare(config)))
        .then(|| pooler(m, x, hidden, Activation::Tanh));
    Ok(Encoded { hidden: x, words, pooled })
}

fn refuse(config: &Config) -> Result<(), Diagnostic> {
    match config.str_or("position_embedding_type", "absolute")? {
        "absolute" => {}
        other => {
            let message = format!("positions of type `{other}` are not known, only `absolute` ones");
            return Err(config.field_error("position_embedding_type", message));
        }
    }
    match config.bool_or("add_cross_attention", false)? {
        false => Ok(()),
        true => Err(config.field_error("add_cross_attention", "attention to another text is not known")),
    }
}
