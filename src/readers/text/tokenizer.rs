//! The model's tokenizer, with nothing of truncation and padding that its file asks for.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tokenizers::{Encoding, PostProcessor, TruncationParams};

use crate::diagnostic::{Diagnostic, codes};

const FILE: &str = "tokenizer.json";

/// Larger files are refused before memory is taken for them.
const LARGEST: u64 = 1 << 30;

#[derive(Debug, Clone)]
pub struct Tokenizer {
    path: PathBuf,
    inner: tokenizers::Tokenizer,
    /// Whether a text may be given to it in pieces: see [`is_local`].
    pub is_local: bool,
}

impl Tokenizer {
    /// # Errors
    /// Where the model has none, or one that cannot be used.
    pub fn open(model: &Path) -> Result<Self, Diagnostic> {
        let path = model.join(FILE);
        let unfit = |why: String| {
            let message = format!("`{}` {why}", path.display());
            Diagnostic::new(&codes::TOKENIZER_INVALID, message).path(&path)
        };
        let bytes = match std::fs::metadata(&path) {
            Ok(found) if found.len() > LARGEST => return Err(unfit(format!("has {} bytes", found.len()))),
            Ok(_) => std::fs::read(&path).map_err(|error| unfit(format!("cannot be read: {error}")))?,
            Err(_) => {
                let message = format!("`{}` has no `{FILE}`, and text has to be tokenized", model.display());
                let help = "write one: `AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR)`";
                return Err(Diagnostic::new(&codes::TOKENIZER_MISSING, message).path(model).help(help));
            }
        };
        let description: Value =
            serde_json::from_slice(&bytes).map_err(|error| unfit(format!("is not JSON: {error}")))?;
        let mut inner = tokenizers::Tokenizer::from_bytes(&bytes)
            .map_err(|error| unfit(format!("is no tokenizer: {error}")))?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|error| unfit(error.to_string()))?;
        Ok(Self { path, inner, is_local: is_local(&description) })
    }

    /// Cuts sentences to so many tokens, special ones among them.
    ///
    /// # Errors
    /// Where not even the special tokens find room.
    pub fn truncate(&mut self, most: usize) -> Result<(), Diagnostic> {
        let special = self.inner.get_post_processor().map_or(0, |processor| processor.added_tokens(false));
        if most <= special {
            let message = format!("a sample of {most} tokens has no room beside {special} special ones");
            return Err(Diagnostic::new(&codes::DATA_UNFIT, message));
        }
        let truncation = TruncationParams { max_length: most, ..TruncationParams::default() };
        match self.inner.with_truncation(Some(truncation)) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.failed(&error.to_string())),
        }
    }

    /// The tokens of a sentence, special ones among them.
    ///
    /// # Errors
    /// Where the tokenizer fails.
    pub fn sentence(&self, text: &str) -> Result<Vec<u32>, Diagnostic> {
        let encoded = self.inner.encode_fast(text, true).map_err(|error| self.failed(&error.to_string()))?;
        Ok(encoded.get_ids().to_vec())
    }

    /// The tokens of running text, without special ones, with their places.
    ///
    /// # Errors
    /// Where the tokenizer fails.
    pub fn running(&self, text: &str) -> Result<Encoding, Diagnostic> {
        self.inner.encode(text, false).map_err(|error| self.failed(&error.to_string()))
    }

    fn failed(&self, why: &str) -> Diagnostic {
        let message = format!("`{}` cannot tokenize: {why}", self.path.display());
        Diagnostic::new(&codes::TOKENIZER_INVALID, message).path(&self.path)
    }
}

/// Whether the tokens before a place between two words depend on nothing far behind it, and those after it on nothing before it.
///
/// So it is where the text is normalized character by character, and split into words from left to right by rules that
/// look neither back nor for the start of the text. What is not known to be so counts as not so.
fn is_local(tokenizer: &Value) -> bool {
    let normalizes_characters = |step: &Value| {
        let kind = step["type"].as_str().unwrap_or_default();
        ["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "BertNormalizer"].contains(&kind)
    };
    let splits_words = |step: &Value| match step["type"].as_str().unwrap_or_default() {
        "ByteLevel" => step["add_prefix_space"] == false,
        "Split" => match (&step["pattern"]["Regex"], &step["pattern"]["String"]) {
            (Value::String(regex), _) => looks_ahead_only(regex),
            (_, pattern) => pattern.is_string(),
        },
        "BertPreTokenizer" | "Whitespace" | "WhitespaceSplit" | "Punctuation" | "Digits" => true,
        _ => false,
    };
    let splitters = steps(&tokenizer["pre_tokenizer"], "pretokenizers");
    !splitters.is_empty()
        && splitters.into_iter().all(splits_words)
        && steps(&tokenizer["normalizer"], "normalizers").into_iter().all(normalizes_characters)
}

/// The steps of a sequence, or the one step.
fn steps<'v>(value: &'v Value, key: &str) -> Vec<&'v Value> {
    match (value, value["type"].as_str()) {
        (Value::Null, _) => Vec::new(),
        (_, Some("Sequence")) => {
            value[key].as_array().into_iter().flatten().flat_map(|step| steps(step, key)).collect()
        }
        _ => vec![value],
    }
}

/// Whether a regular expression has no look behind, anchor or word boundary.
fn looks_ahead_only(regex: &str) -> bool {
    let is_class = |at: usize| regex[..at].ends_with('[');
    let anchored = regex.match_indices('^').any(|(at, _)| !is_class(at));
    !anchored && !["(?<", "\\b", "\\B", "\\A", "\\G", "\\K"].iter().any(|sign| regex.contains(sign))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const GPT_2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

    #[test]
    fn known_tokenizers_may_be_given_pieces() {
        let bytes = json!({ "type": "ByteLevel", "add_prefix_space": false, "use_regex": true });
        let split = json!({ "type": "Split", "pattern": { "Regex": GPT_2 }, "behavior": "Isolated" });
        let sequence = json!({ "type": "Sequence", "pretokenizers": [split, bytes] });
        assert!(is_local(&json!({ "normalizer": null, "pre_tokenizer": bytes })));
        assert!(is_local(&json!({ "normalizer": { "type": "NFC" }, "pre_tokenizer": sequence })));
    }

    #[test]
    fn tokenizers_that_see_the_start_of_the_text_may_not() {
        let bytes = |prefix: bool| json!({ "type": "ByteLevel", "add_prefix_space": prefix });
        let metaspace = json!({ "type": "Metaspace", "prepend_scheme": "first" });
        let prepend = json!({ "type": "Sequence", "normalizers": [{ "type": "Prepend", "prepend": "▁" }] });
        assert!(!is_local(&json!({ "normalizer": null, "pre_tokenizer": bytes(true) })));
        assert!(!is_local(&json!({ "normalizer": null, "pre_tokenizer": metaspace })));
        assert!(!is_local(&json!({ "normalizer": prepend, "pre_tokenizer": bytes(false) })));
        assert!(!is_local(&json!({ "normalizer": null, "pre_tokenizer": null })));
        for regex in ["(?<=a)b", "^a", r"\ba"] {
            let split = json!({ "type": "Split", "pattern": { "Regex": regex } });
            assert!(!is_local(&json!({ "normalizer": null, "pre_tokenizer": split })), "{regex}");
        }
    }
}
