//! DistilBERT: a BERT without segment types and pooler, with other names.

use super::{
    DerivedHeads, Masked, activation, attention, bert, classes, count, dense_classifier, feed_forward,
    is_class, masked_head, prefix, size,
};
use crate::checkpoint::{Config, Family};
use crate::diagnostic::Diagnostic;
use crate::graph::{Activation, Bias, Builder, Role, Size};

pub static DISTILBERT: Family = Family {
    name: "distilbert",
    model_types: &["distilbert"],
    doc: "DistilBERT: encoders distilled from BERT.",
    build,
};

/// The config does not say it.
const EPS: f64 = 1e-12;

fn build(config: &Config, m: &mut Builder<'_>) -> Result<(), Diagnostic> {
    let hidden = size(config, "dim")?;
    let heads = DerivedHeads::read(config, "n_heads", &hidden)?;
    let neurons = size(config, "hidden_dim")?;
    let activate = activation(config, "activation", "gelu")?;

    m.base(&["distilbert."], prefix(config, "distilbert."));
    m.buffers(&["embeddings.position_ids"]);
    let vocab = m.axis(Role::Vocab, size(config, "vocab_size")?);
    let positions = size(config, "max_position_embeddings")?;
    let ids = m.token_ids(positions.extent);
    let positions = m.axis(Role::Positions, positions);
    let layers = m.axis(Role::Layers, count(config, "n_layers")?);
    let width = m.axis(Role::Hidden, hidden.clone());

    let (x, words) = m.scope("embeddings", |m| {
        let (x, words) = m.embedding("words", "embeddings.word_embeddings", ids, vocab, width);
        let positions = m.table("positions", "embeddings.position_embeddings", positions, width);
        let x = m.add_positions(x, positions, 0);
        (m.layer_norm("norm", "embeddings.LayerNorm", x, EPS), words)
    });
    let x = m.layers(layers, "transformer.layer", x, |m, x| {
        let names = ["attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin"];
        let attended = m.scope("attention", |m| attention(m, &heads, x, names, Bias::With, false));
        let x = m.add(attended, x);
        let x = m.layer_norm("norm1", "sa_layer_norm", x, EPS);
        let fed = m.scope("mlp", |m| feed_forward(m, &neurons, activate, x, ["ffn.lin1", "ffn.lin2"]));
        let x = m.add(fed, x);
        m.layer_norm("norm2", "output_layer_norm", x, EPS)
    });
    m.output("hidden", x);

    let masked = Masked {
        dense: "vocab_transform",
        norm: "vocab_layer_norm",
        output: "vocab_projector",
        biases: &["vocab_projector.bias"],
        activate,
        eps: EPS,
        tied: config.bool_or("tie_word_embeddings", true)?,
    };
    m.outside_base(|m| {
        if m.has("vocab_transform.weight", is_class(config, "ForMaskedLM")) {
            masked_head(m, x, words, &masked);
        }
        let of_choices = is_class(config, "ForMultipleChoice");
        if m.has("pre_classifier.weight", of_choices || is_class(config, "ForSequenceClassification")) {
            let classes = if of_choices { Size::fixed(1) } else { classes(config)? };
            dense_classifier(m, x, hidden, Activation::Relu, ["pre_classifier", "classifier"], &classes);
            return Ok(());
        }
        bert::head(config, m, x, x)
    })
}
