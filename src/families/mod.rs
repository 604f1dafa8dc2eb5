//! Architectures, a file each: a function that reads like the model and lowers its config and headers to a graph.

mod bert;
mod deepseek;
mod dinov2;
mod distilbert;
mod gpt2;
mod llama;
mod llava;
mod mixtral;
mod qwen_moe;
mod roberta;
mod switch;
mod vit;

use crate::checkpoint::{Config, Family};
use crate::diagnostic::{Diagnostic, codes};
use crate::graph::{Activation, Attention, Bias, Builder, Dim, Formula, Role, SiteId, Size, Value};

/// Every family there is.
pub static FAMILIES: &[&Family] = &[
    &bert::BERT,
    &roberta::ROBERTA,
    &distilbert::DISTILBERT,
    &vit::VIT,
    &dinov2::DINOV2,
    &gpt2::GPT2,
    &llama::LLAMA,
    &llava::LLAVA,
    &mixtral::MIXTRAL,
    &qwen_moe::QWEN_MOE,
    &deepseek::DEEPSEEK,
    &switch::SWITCH,
];

/// No model is larger in any direction; what claims to be is refused before something is made of it.
const LARGEST: usize = 1 << 28;
/// The same for lists, whose elements are made one by one.
const LONGEST: usize = 4096;

/// An extent that the config says.
fn size(config: &Config, key: &str) -> Result<Size, Diagnostic> {
    bounded(config, key, config.usize(key)?, LARGEST)
}

fn size_or(config: &Config, key: &str, default: usize) -> Result<Size, Diagnostic> {
    bounded(config, key, config.usize_or(key, default)?, LARGEST)
}

/// How many elements a list has.
fn count(config: &Config, key: &str) -> Result<Size, Diagnostic> {
    bounded(config, key, config.usize(key)?, LONGEST)
}

fn bounded(config: &Config, key: &str, extent: usize, largest: usize) -> Result<Size, Diagnostic> {
    match extent {
        0 => Err(config.field_error(key, format!("`{key}` is 0"))),
        _ if extent > largest => {
            Err(config.field_error(key, format!("`{key}` is {extent}, more than any model has")))
        }
        _ => Ok(Size::keyed(key, extent)),
    }
}

/// A width that the config leaves to be derived: `hidden_size / num_attention_heads`.
fn quotient(config: &Config, over: &Size, under: &Size) -> Result<usize, Diagnostic> {
    if over.extent.is_multiple_of(under.extent) {
        return Ok(over.extent / under.extent);
    }
    let (over_key, under_key) = (over.key.as_deref().unwrap_or(""), under.key.as_deref().unwrap_or(""));
    let message =
        format!("`{over_key}` is {}, which is no multiple of `{under_key}`, {}", over.extent, under.extent);
    let error = match config.span(over_key) {
        Some(span) => Diagnostic::at(&codes::CONFIG_DISAGREES, span, message),
        None => Diagnostic::new(&codes::CONFIG_DISAGREES, message),
    };
    let error = error.path(&config.path);
    Err(match config.span(under_key) {
        Some(span) => error.label(span, "has to divide it"),
        None => error,
    })
}

fn activation(config: &Config, key: &str, default: &str) -> Result<Activation, Diagnostic> {
    Ok(match config.str_or(key, default)? {
        "gelu" | "gelu_python" => Activation::Gelu,
        "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" | "gelu_accurate" => Activation::GeluTanh,
        "relu" => Activation::Relu,
        "silu" | "swish" => Activation::Silu,
        "tanh" => Activation::Tanh,
        "sigmoid" => Activation::Sigmoid,
        other => {
            return Err(config
                .field_error(key, format!("`{other}` is an activation that tamis does not know"))
                .help(
                    "there is `gelu`, `gelu_new`, `gelu_pytorch_tanh`, `relu`, `silu`, `tanh` and `sigmoid`",
                ));
        }
    })
}

/// Heads whose width the architecture derives from the hidden width, as BERT, ViT and GPT-2 do.
struct DerivedHeads {
    heads: Size,
    head_dim: usize,
    /// The field of the hidden width.
    hidden: String,
}

impl DerivedHeads {
    fn read(config: &Config, key: &str, hidden: &Size) -> Result<Self, Diagnostic> {
        let heads = size(config, key)?;
        let head_dim = quotient(config, hidden, &heads)?;
        Ok(Self { heads, head_dim, hidden: hidden.key.clone().unwrap_or_default() })
    }

    /// The axes of one layer's heads.
    fn dim(&self, m: &mut Builder<'_>) -> Dim {
        let heads = m.axis(Role::Heads, self.heads.clone());
        let head_dim = m.plain_axis(Role::HeadDim, self.head_dim, None);
        let numerator = self.hidden.clone();
        m.fact(self.heads.key.as_deref().unwrap_or_default(), Formula::Quotient { numerator, of: head_dim });
        [heads, head_dim].into()
    }

    /// Attention that knows no positions.
    fn attention(&self, causal: bool) -> Attention {
        Attention::new(causal, (self.head_dim as f64).sqrt().recip())
    }
}

/// Query, key, value and output by their names.
fn attention(
    m: &mut Builder<'_>,
    heads: &DerivedHeads,
    x: Value,
    [query, key, value, output]: [&str; 4],
    bias: Bias,
    causal: bool,
) -> Value {
    let (dim, hidden) = (heads.dim(m), m.features(x));
    let query = m.linear("query", query, x, dim.clone(), bias);
    let key = m.linear("key", key, x, dim.clone(), bias);
    let value = m.linear("value", value, x, dim, bias);
    let context = m.attention(heads.attention(causal), query, key, value);
    m.linear("output", output, context, hidden, Bias::With)
}

/// Two matrices with an activation between them.
fn feed_forward(
    m: &mut Builder<'_>,
    neurons: &Size,
    activate: Activation,
    x: Value,
    [up, down]: [&str; 2],
) -> Value {
    let hidden = m.features(x);
    let neurons = m.axis(Role::Neurons, neurons.clone());
    let inner = m.linear("up", up, x, neurons, Bias::With);
    let inner = m.activation(activate, inner);
    m.linear("down", down, inner, hidden, Bias::With)
}

/// A head that predicts masked tokens: its names, and what it computes with.
struct Masked<'a> {
    dense: &'a str,
    norm: &'a str,
    output: &'a str,
    /// Under which of these names the bias is stored depends on who wrote the file.
    biases: &'a [&'a str],
    activate: Activation,
    eps: f64,
    /// Whether the table of words is the output matrix.
    tied: bool,
}

fn masked_head(m: &mut Builder<'_>, x: Value, words: SiteId, head: &Masked<'_>) {
    m.scope("head", |m| {
        let hidden = m.features(x);
        let x = m.linear("dense", head.dense, x, hidden, Bias::With);
        let x = m.activation(head.activate, x);
        let x = m.layer_norm("norm", head.norm, x, head.eps);
        let logits = m.word_linear("output", words, head.tied, head.output, head.biases, x);
        m.output("logits", logits);
    });
}

/// The first token through a square matrix. Its outputs are an axis of their own, as wide as the config's hidden one.
fn pooler(m: &mut Builder<'_>, x: Value, width: Size, activate: Activation) -> Value {
    let first = m.token(0, x);
    let pooled = m.scope("pooler", |m| m.axis(Role::Hidden, width));
    let pooled = m.linear("pooler", "pooler.dense", first, pooled, Bias::With);
    let pooled = m.activation(activate, pooled);
    m.output("pooled", pooled);
    pooled
}

/// A head of two matrices that reads the first token.
fn dense_classifier(
    m: &mut Builder<'_>,
    x: Value,
    width: Size,
    activate: Activation,
    [dense, output]: [&str; 2],
    classes: &Size,
) {
    let first = m.token(0, x);
    m.scope("head", |m| {
        let width = m.axis(Role::Hidden, width);
        let x = m.linear("dense", dense, first, width, Bias::With);
        let x = m.activation(activate, x);
        classifier(m, "output", output, x, classes, Bias::With);
    });
}

fn bias(there: bool) -> Bias {
    if there { Bias::With } else { Bias::Without }
}

/// Whether the config names a class with that ending: `ForMaskedLM`.
fn is_class(config: &Config, ending: &str) -> bool {
    config.strs("architectures").is_ok_and(|classes| classes.iter().any(|class| class.ends_with(ending)))
}

/// The prefix of names where only the config is there: classes with a head have it, bare models have not.
fn prefix<'a>(config: &Config, prefix: &'a str) -> &'a str {
    if is_bare(config) { "" } else { prefix }
}

fn is_bare(config: &Config) -> bool {
    let is_bare = |class: &&str| class.ends_with("Model") && !class.contains("Head");
    config.strs("architectures").unwrap_or_default().iter().all(is_bare)
}

/// Outputs of a classifier.
fn classes(config: &Config) -> Result<Size, Diagnostic> {
    let labels =
        config.get("id2label").and_then(serde_json::Value::as_object).map_or(2, serde_json::Map::len);
    let key = if config.has("num_labels") { "num_labels" } else { "id2label" };
    bounded(config, key, config.usize_or("num_labels", labels)?, LARGEST)
}

/// A linear classifier, whose result is the model's.
fn classifier(m: &mut Builder<'_>, node: &str, name: &str, x: Value, classes: &Size, bias: Bias) {
    let classes = m.plain_axis(Role::Classes, classes.extent, classes.key.as_deref());
    let logits = m.linear(node, name, x, classes, bias);
    m.output("logits", logits);
}
