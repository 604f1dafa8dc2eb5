//! RoBERTa and its translations: a BERT whose positions begin behind that of padding, with heads of its own.

use super::bert::{self, Encoded};
use super::{Masked, classes, dense_classifier, is_class, masked_head, size};
use crate::checkpoint::{Config, Family};
use crate::diagnostic::Diagnostic;
use crate::graph::{Activation, Builder};

pub static ROBERTA: Family = Family {
    name: "roberta",
    model_types: &["roberta", "xlm-roberta", "camembert"],
    doc: "Encoders of the RoBERTa kind: RoBERTa, XLM-RoBERTa, CamemBERT.",
    build,
};

fn build(config: &Config, m: &mut Builder<'_>) -> Result<(), Diagnostic> {
    let offset = config.usize_or("pad_token_id", 1)?.saturating_add(1);
    let Encoded { hidden, words, pooled } =
        bert::encoder(config, m, "roberta.", offset, &["ForMultipleChoice"])?;
    let masked = Masked {
        dense: "lm_head.dense",
        norm: "lm_head.layer_norm",
        output: "lm_head.decoder",
        biases: &["lm_head.bias", "lm_head.decoder.bias"],
        activate: Activation::Gelu,
        eps: config.f64_or("layer_norm_eps", 1e-12)?,
        tied: config.bool_or("tie_word_embeddings", true)?,
    };
    let width = size(config, "hidden_size")?;
    m.outside_base(|m| {
        if m.has("lm_head.dense.weight", is_class(config, "ForMaskedLM") || is_class(config, "ForCausalLM")) {
            masked_head(m, hidden, words, &masked);
        }
        if m.has("classifier.dense.weight", is_class(config, "ForSequenceClassification")) {
            let names = ["classifier.dense", "classifier.out_proj"];
            dense_classifier(m, hidden, width, Activation::Tanh, names, &classes(config)?);
            return Ok(());
        }
        bert::head(config, m, hidden, pooled.unwrap_or(hidden))
    })
}
