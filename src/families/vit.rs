//! ViT and DeiT: a picture in patches behind a learned token, norms before attention and feed-forward.

use super::{
    DerivedHeads, activation, attention, bias, classes, classifier, count, feed_forward, is_bare, is_class,
    pooler, prefix, size, size_or,
};
use crate::checkpoint::{Config, Family, is_model_type};
use crate::diagnostic::Diagnostic;
use crate::graph::{Bias, Builder, Role, Size, Value};

pub static VIT: Family = Family {
    name: "vit",
    model_types: &["vit", "deit"],
    doc: "Vision transformers: ViT, and DeiT with and without its distillation token.",
    build,
};

fn build(config: &Config, m: &mut Builder<'_>) -> Result<(), Diagnostic> {
    let hidden = size(config, "hidden_size")?;
    let heads = DerivedHeads::read(config, "num_attention_heads", &hidden)?;
    let neurons = size(config, "intermediate_size")?;
    let activate = activation(config, "hidden_act", "gelu")?;
    let eps = config.f64_or("layer_norm_eps", 1e-12)?;
    let qkv_bias = bias(config.bool_or("qkv_bias", true)?);
    let (picture, patch) = (sides(config, "image_size", 224)?, sides(config, "patch_size", 16)?);

    let base = if is_model_type(config, "deit") { "deit." } else { "vit." };
    m.base(&[base], prefix(config, base));
    let channels = m.axis(Role::Channels, size_or(config, "num_channels", 3)?);
    let layers = m.axis(Role::Layers, count(config, "num_hidden_layers")?);
    let width = m.axis(Role::Hidden, hidden.clone());
    let pixels = m.pixels(channels, picture);
    let distilled = m.has("embeddings.distillation_token", base == "deit.");
    let x = m.scope("embeddings", |m| {
        let x = m.patches("patches", "embeddings.patch_embeddings.projection", pixels, patch, width);
        let x = if distilled { m.prepend("distillation", "embeddings.distillation_token", x) } else { x };
        let x = m.prepend("cls", "embeddings.cls_token", x);
        m.add_position_rows("positions", "embeddings.position_embeddings", x)
    });
    let x = m.layers(layers, "encoder.layer", x, |m, x| {
        let normed = m.layer_norm("norm1", "layernorm_before", x, eps);
        let names = [
            "attention.attention.query",
            "attention.attention.key",
            "attention.attention.value",
            "attention.output.dense",
        ];
        let attended = m.scope("attention", |m| attention(m, &heads, normed, names, qkv_bias, false));
        let x = m.add(attended, x);
        let normed = m.layer_norm("norm2", "layernorm_after", x, eps);
        let names = ["intermediate.dense", "output.dense"];
        let fed = m.scope("mlp", |m| feed_forward(m, &neurons, activate, normed, names));
        m.add(fed, x)
    });
    let x = m.layer_norm("norm", "layernorm", x, eps);
    m.output("hidden", x);
    if m.has("pooler.dense.weight", is_bare(config)) {
        let width = size_or(config, "pooler_output_size", hidden.extent)?;
        let activate = activation(config, "pooler_act", "tanh")?;
        pooler(m, x, width, activate);
    }
    m.outside_base(|m| head(config, m, x))
}

fn head(config: &Config, m: &mut Builder<'_>, x: Value) -> Result<(), Diagnostic> {
    let taught = is_class(config, "ForImageClassificationWithTeacher");
    if m.has("cls_classifier.weight", taught) {
        let classes = classes(config)?;
        m.scope("head", |m| taught_head(m, x, &classes));
    }
    if m.has("classifier.weight", is_class(config, "ForImageClassification")) {
        let first = m.token(0, x);
        classifier(m, "head", "classifier", first, &classes(config)?, Bias::With);
    }
    Ok(())
}

/// The mean of two heads, one that reads the class token and one that reads the distillation token.
fn taught_head(m: &mut Builder<'_>, x: Value, classes: &Size) {
    let classes = m.plain_axis(Role::Classes, classes.extent, classes.key.as_deref());
    let (first, second) = (m.token(0, x), m.token(1, x));
    let of_class = m.linear("output", "cls_classifier", first, classes, Bias::With);
    let of_teacher = m.linear("distillation", "distillation_classifier", second, classes, Bias::With);
    let both = m.add(of_class, of_teacher);
    let logits = m.scale(0.5, both);
    m.output("logits", logits);
}

/// Height and width: one number for both, or a list of two.
pub(super) fn sides(config: &Config, key: &str, usual: usize) -> Result<[usize; 2], Diagnostic> {
    match config.get(key) {
        Some(value) if value.is_array() => match config.usizes(key)?.as_slice() {
            &[height, width] if height > 0 && width > 0 => Ok([height, width]),
            _ => Err(config.field_error(key, format!("`{key}` is neither a number nor two"))),
        },
        _ => size_or(config, key, usual).map(|side| [side.extent; 2]),
    }
}
