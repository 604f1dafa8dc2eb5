//! LLaVA: a picture through a CLIP tower and two matrices, its tokens among those of a text, and a Llama over both.

use serde_json::{Value as Json, json};

use super::vit::sides;
use super::{DerivedHeads, activation, attention, bias, count, is_class, llama, size, size_or};
use crate::checkpoint::{Config, Family, is_model_type};
use crate::diagnostic::Diagnostic;
use crate::graph::{Activation, Bias, Builder, Formula, Role, Size, Value};

pub static LLAVA: Family = Family {
    name: "llava",
    model_types: &["llava"],
    doc: "Vision-language models: LLaVA and LLaVA-1.5, with CLIP as `vision` and a Llama-type `language`.",
    build,
};

/// What transformers takes where a tower's config is silent.
fn under(config: &Config, key: &str, usual: Json) -> Result<Config, Diagnostic> {
    let mut tower = config.under(key)?;
    if let (Some(fields), Some(usual)) = (tower.value.as_object_mut(), usual.as_object()) {
        for (field, value) in usual {
            if fields.get(field).is_none_or(Json::is_null) {
                fields.insert(field.clone(), value.clone());
            }
        }
    }
    Ok(tower)
}

fn build(config: &Config, m: &mut Builder<'_>) -> Result<(), Diagnostic> {
    let usual = json!({
        "model_type": "clip_vision_model", "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
        "num_attention_heads": 12, "image_size": 224, "patch_size": 32,
    });
    let vision = under(config, "vision_config", usual)?;
    let usual = json!({
        "model_type": "llama", "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008,
        "num_hidden_layers": 32, "num_attention_heads": 32,
    });
    let text = under(config, "text_config", usual)?;
    known_towers(&vision, &text)?;

    let picture = m.tower("vision", "vision_config", |m| tower(config, &vision, m))?;
    let placeholder = placeholder(config)?;
    m.base(&["multi_modal_projector.", "model.multi_modal_projector."], "multi_modal_projector.");
    let picture = m.scope("projector", |m| {
        let activate = activation(config, "projector_hidden_act", "gelu")?;
        let bias = bias(config.bool_or("multimodal_projector_bias", true)?);
        let width = size(&text, "hidden_size")?;
        let inner = m.plain_axis(Role::Neurons, width.extent, None);
        let hidden = m.plain_axis(Role::Hidden, width.extent, None);
        m.fact("text_config.hidden_size", Formula::Product(vec![inner]));
        let x = m.linear("up", "linear_1", picture, inner, bias);
        let x = m.activation(activate, x);
        Ok::<_, Diagnostic>(m.linear("down", "linear_2", x, hidden, bias))
    })?;
    m.tower("language", "text_config", |m| {
        let old = "language_model.model.";
        m.base(&[old, "model.language_model."], old);
        let mut read = llama::read(&text, m)?;
        read.x = m.insert_picture(placeholder, read.x, picture);
        let x = llama::plain_stack(&text, m, read)?;
        m.output("hidden", x);
        head(config, m, x, read)
    })
}

fn head(config: &Config, m: &mut Builder<'_>, x: Value, text: llama::Text) -> Result<(), Diagnostic> {
    let names = ["language_model.lm_head", "lm_head"];
    let (there, name) = m.outside_base(|m| {
        let stored = names.iter().find(|name| m.has(&format!("{name}.weight"), false));
        (stored.is_some(), stored.copied().unwrap_or(names[0]))
    });
    if there || is_class(config, "ForConditionalGeneration") {
        let tied = config.bool_or("tie_word_embeddings", false)?;
        let logits = m.outside_base(|m| m.word_linear("head", text.words, tied, name, &[], x));
        m.output("logits", logits);
    }
    Ok(())
}

fn known_towers(vision: &Config, text: &Config) -> Result<(), Diagnostic> {
    let clip = vision.str("model_type")?;
    if clip != "clip_vision_model" {
        let message = format!("a vision tower of type `{clip}` is not known");
        return Err(vision.field_error("model_type", message).help("there is `clip_vision_model`"));
    }
    if !llama::LLAMA.model_types.iter().any(|it| is_model_type(text, it)) {
        let message = format!("a language model of type `{}` is not known in LLaVA", text.str("model_type")?);
        let help = format!("there is {}", crate::diagnostic::list(llama::LLAMA.model_types));
        return Err(text.field_error("model_type", message).help(help));
    }
    Ok(())
}

/// The token that stands for the picture.
fn placeholder(config: &Config) -> Result<u32, Diagnostic> {
    let key = if config.has("image_token_id") { "image_token_id" } else { "image_token_index" };
    let id = config.usize_or(key, 32000)?;
    u32::try_from(id).map_err(|_| config.field_error(key, format!("`{key}` is {id}, no token's number")))
}

/// CLIP's vision transformer, and the tokens of the layer that the language model reads. As in transformers the layers behind it
/// and the last norm are there too, and nothing reads them.
fn tower(config: &Config, vision: &Config, m: &mut Builder<'_>) -> Result<Value, Diagnostic> {
    let hidden = size(vision, "hidden_size")?;
    let heads = DerivedHeads::read(vision, "num_attention_heads", &hidden)?;
    let neurons = size(vision, "intermediate_size")?;
    let eps = vision.f64_or("layer_norm_eps", 1e-5)?;
    let (picture, patch) = (sides(vision, "image_size", 224)?, sides(vision, "patch_size", 32)?);
    let layers = count(vision, "num_hidden_layers")?;
    let read = Read::of(config, layers.extent)?;
    let quick = vision.str_or("hidden_act", "quick_gelu")? == "quick_gelu";
    let activate = if quick { None } else { Some(activation(vision, "hidden_act", "quick_gelu")?) };

    let names = [
        "vision_tower.vision_model.",
        "vision_tower.",
        "model.vision_tower.vision_model.",
        "model.vision_tower.",
    ];
    m.base(&names, names[0]);
    m.buffers(&["embeddings.position_ids"]);
    let channels = m.axis(Role::Channels, size_or(vision, "num_channels", 3)?);
    let all = layers.extent;
    let layers = m.axis(Role::Layers, layers);
    m.outer_fact("vision_feature_layer", Formula::Numbers { of: layers, all });
    let width = m.axis(Role::Hidden, hidden);
    let pixels = m.pixels(channels, picture);
    let x = m.scope("embeddings", |m| {
        let x = m.patches_with("patches", "embeddings.patch_embedding", pixels, patch, width, Bias::Without);
        let x = m.prepend_vector("cls", "embeddings.class_embedding", x);
        let rows = (picture[0] / patch[0]) * (picture[1] / patch[1]) + 1;
        let rows = m.plain_axis(Role::Positions, rows, Some("image_size"));
        let table = m.table("positions", "embeddings.position_embedding", rows, width);
        m.add_positions(x, table, 0)
    });
    // The name is spelled so in every checkpoint.
    let x = m.layer_norm("norm0", "pre_layrnorm", x, eps);
    let (mut number, mut states) = (0, vec![x]);
    let last = m.layers(layers, "encoder.layers", x, |m, x| {
        let normed = m.layer_norm("norm1", "layer_norm1", x, eps);
        let names = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj"];
        let attended = m.scope("attention", |m| attention(m, &heads, normed, names, Bias::With, false));
        let x = m.add(x, attended);
        let normed = m.layer_norm("norm2", "layer_norm2", x, eps);
        let fed = m.scope("mlp", |m| feed_forward(m, &neurons, activate, normed));
        let x = m.add(x, fed);
        number += 1;
        states.push(x);
        x
    });
    m.layer_norm("norm", "post_layernorm", last, eps);
    let seen = states[read.state];
    Ok(if read.class_token { seen } else { m.behind(1, seen) })
}

/// Two matrices; CLIP's own activation is `x sigmoid(1.702 x)`.
fn feed_forward(m: &mut Builder<'_>, neurons: &Size, activate: Option<Activation>, x: Value) -> Value {
    let hidden = m.features(x);
    let neurons = m.axis(Role::Neurons, neurons.clone());
    let inner = m.linear("up", "mlp.fc1", x, neurons, Bias::With);
    let inner = match activate {
        Some(activate) => m.activation(activate, inner),
        None => {
            let scaled = m.scale(1.702, inner);
            let gate = m.activation(Activation::Sigmoid, scaled);
            m.multiply(inner, gate)
        }
    };
    m.linear("down", "mlp.fc2", inner, hidden, Bias::With)
}

/// Which of the tower's states the language model reads.
struct Read {
    /// 0 is what goes into the first layer.
    state: usize,
    class_token: bool,
}

impl Read {
    fn of(config: &Config, layers: usize) -> Result<Self, Diagnostic> {
        let key = "vision_feature_layer";
        let written = config.get(key).map_or(Some(-2), Json::as_i64);
        let Some(number) = written else {
            let message = format!("`{key}` is no whole number: features of several layers are not known");
            return Err(config.field_error(key, message));
        };
        let states = layers as i64 + 1;
        let state = if number < 0 { states + number } else { number };
        let state = usize::try_from(state).ok().filter(|state| *state < layers + 1);
        let state = state.ok_or_else(|| {
            config.field_error(key, format!("`{key}` is {number}, and the vision tower has {layers} layers"))
        })?;
        let key = "vision_feature_select_strategy";
        let class_token = match config.str_or(key, "default")? {
            "default" => false,
            "full" => true,
            other => {
                let message = format!("`{other}` is no choice of features");
                return Err(config.field_error(key, message).help("there is `default` and `full`"));
            }
        };
        Ok(Self { state, class_token })
    }
}
