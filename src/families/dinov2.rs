//! DINOv2: a vision transformer whose blocks are scaled feature by feature, and whose positions follow the picture's size.

use super::vit::sides;
use super::{DerivedHeads, activation, attention, bias, count, is_class, prefix, size, size_or};
use crate::checkpoint::{Config, Family};
use crate::diagnostic::Diagnostic;
use crate::graph::{Bias, Builder, Formula, Role};

pub static DINOV2: Family = Family {
    name: "dinov2",
    model_types: &["dinov2"],
    doc: "DINOv2 backbones with two-matrix feed-forwards. Costs are those of pictures of the config's `image_size`.",
    build,
};

fn build(config: &Config, m: &mut Builder<'_>) -> Result<(), Diagnostic> {
    if config.bool_or("use_swiglu_ffn", false)? {
        let message = "the gated feed-forward of the giant DINOv2 (SwiGLU) is not supported";
        return Err(config.field_error("use_swiglu_ffn", message));
    }
    if is_class(config, "ForImageClassification") {
        let message =
            "the head of `Dinov2ForImageClassification` is not supported: the backbone, `Dinov2Model`, is";
        return Err(config.field_error("architectures", message));
    }
    let hidden = size(config, "hidden_size")?;
    let heads = DerivedHeads::read(config, "num_attention_heads", &hidden)?;
    let ratio = size_or(config, "mlp_ratio", 4)?;
    let neurons = hidden.extent.saturating_mul(ratio.extent);
    let activate = activation(config, "hidden_act", "gelu")?;
    let eps = config.f64_or("layer_norm_eps", 1e-6)?;
    let qkv_bias = bias(config.bool_or("qkv_bias", true)?);
    let (picture, patch) = (sides(config, "image_size", 224)?, sides(config, "patch_size", 14)?);
    let grid = [picture[0] / patch[0], picture[1] / patch[1]];

    m.base(&["dinov2."], prefix(config, "dinov2."));
    let channels = m.axis(Role::Channels, size_or(config, "num_channels", 3)?);
    let layers = m.axis(Role::Layers, count(config, "num_hidden_layers")?);
    let width = m.axis(Role::Hidden, hidden);
    let pixels = m.pixels(channels, picture);
    let x = m.scope("embeddings", |m| {
        let x = m.patches("patches", "embeddings.patch_embeddings.projection", pixels, patch, width);
        let x = m.prepend("cls", "embeddings.cls_token", x);
        if m.has("embeddings.mask_token", true) {
            m.unused_token("mask", "embeddings.mask_token", x);
        }
        m.add_grid_positions("positions", "embeddings.position_embeddings", x, grid, patch)
    });
    let x = m.layers(layers, "encoder.layer", x, |m, x| {
        let normed = m.layer_norm("norm1", "norm1", x, eps);
        let names = [
            "attention.attention.query",
            "attention.attention.key",
            "attention.attention.value",
            "attention.output.dense",
        ];
        let attended = m.scope("attention", |m| attention(m, &heads, normed, names, qkv_bias, false));
        let attended = m.layer_scale("scale1", "layer_scale1.lambda1", attended);
        let x = m.add(attended, x);
        let normed = m.layer_norm("norm2", "norm2", x, eps);
        let fed = m.scope("mlp", |m| {
            let neurons = m.plain_axis(Role::Neurons, neurons, Some("mlp_ratio"));
            m.fact("mlp_ratio", Formula::Multiple { of: neurons, times: width });
            let inner = m.linear("up", "mlp.fc1", normed, neurons, Bias::With);
            let inner = m.activation(activate, inner);
            m.linear("down", "mlp.fc2", inner, width, Bias::With)
        });
        let fed = m.layer_scale("scale2", "layer_scale2.lambda1", fed);
        m.add(fed, x)
    });
    let x = m.layer_norm("norm", "layernorm", x, eps);
    m.output("hidden", x);
    let first = m.token(0, x);
    m.output("pooled", first);
    Ok(())
}
