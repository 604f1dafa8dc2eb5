//! `config.json`: typed fields whose errors name the file, the key and what was found, and where each stands in the text.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;

use super::text;
use crate::diagnostic::{Diagnostic, codes, nearest};
use crate::source::{Source, SourceId, Sources, Span};

/// A model's configuration, or one object inside it (see [`Config::under`]).
///
/// Keys may be paths: `rope_scaling.factor`. A field that is `null` counts as absent, as it does to transformers.
#[derive(Debug, Clone)]
pub struct Config {
    pub path: PathBuf,
    pub text: Arc<str>,
    /// The object that keys are looked up in.
    pub value: Value,
    /// The keys that lead from the text's root to `value`.
    prefix: Vec<String>,
    source: Option<SourceId>,
}

impl Config {
    pub fn read(path: &Path) -> Result<Self, Diagnostic> {
        Self::parse(path, text::read(path, &codes::CONFIG_INVALID)?)
    }

    pub fn parse(path: impl Into<PathBuf>, text: impl Into<Arc<str>>) -> Result<Self, Diagnostic> {
        let (path, text) = (path.into(), text.into());
        let refuse = |message: String| {
            let message = format!("{} {message}", text::named(&path));
            Diagnostic::new(&codes::CONFIG_INVALID, message).path(&path)
        };
        let value: Value =
            serde_json::from_str(&text).map_err(|error| refuse(format!("is not JSON: {error}")))?;
        if !value.is_object() {
            return Err(refuse(format!("is {}, not an object", found(&value))));
        }
        Ok(Self { path, text, value, prefix: Vec::new(), source: None })
    }

    /// Makes the text one that diagnostics can point into: from now on errors of the getters do.
    pub fn register(&mut self, sources: &mut Sources) -> SourceId {
        let name = self.path.display().to_string();
        *self.source.get_or_insert_with(|| sources.add(Source::new(name, self.text.clone())))
    }

    pub fn get(&self, key: &str) -> Option<&Value> {
        key.split('.').try_fold(&self.value, |value, key| value.get(key)).filter(|value| !value.is_null())
    }

    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    pub fn usize(&self, key: &str) -> Result<usize, Diagnostic> {
        self.needed(key, as_usize, "a whole number")
    }

    pub fn usize_or(&self, key: &str, default: usize) -> Result<usize, Diagnostic> {
        Ok(self.optional(key, as_usize, "a whole number")?.unwrap_or(default))
    }

    pub fn f64(&self, key: &str) -> Result<f64, Diagnostic> {
        self.needed(key, Value::as_f64, "a number")
    }

    pub fn f64_or(&self, key: &str, default: f64) -> Result<f64, Diagnostic> {
        Ok(self.optional(key, Value::as_f64, "a number")?.unwrap_or(default))
    }

    pub fn bool_or(&self, key: &str, default: bool) -> Result<bool, Diagnostic> {
        Ok(self.optional(key, Value::as_bool, "`true` or `false`")?.unwrap_or(default))
    }

    pub fn str(&self, key: &str) -> Result<&str, Diagnostic> {
        self.needed(key, Value::as_str, "a string")
    }

    pub fn str_or<'a>(&'a self, key: &str, default: &'a str) -> Result<&'a str, Diagnostic> {
        Ok(self.optional(key, Value::as_str, "a string")?.unwrap_or(default))
    }

    /// The elements of a list; none where the key is absent.
    pub fn list(&self, key: &str) -> Result<&[Value], Diagnostic> {
        Ok(self.optional(key, |value| value.as_array().map(Vec::as_slice), "a list")?.unwrap_or_default())
    }

    pub fn usizes(&self, key: &str) -> Result<Vec<usize>, Diagnostic> {
        let numbers = |value: &Value| value.as_array()?.iter().map(as_usize).collect();
        Ok(self.optional(key, numbers, "a list of whole numbers")?.unwrap_or_default())
    }

    pub fn strs(&self, key: &str) -> Result<Vec<&str>, Diagnostic> {
        let texts = |value| Value::as_array(value)?.iter().map(Value::as_str).collect();
        Ok(self.optional(key, texts, "a list of strings")?.unwrap_or_default())
    }

    /// The nested object of that key as a config of its own, for models of more than one tower.
    pub fn under(&self, key: &str) -> Result<Config, Diagnostic> {
        let value = self.needed(key, |value| value.is_object().then(|| value.clone()), "an object")?;
        let prefix =
            self.prefix.iter().map(String::as_str).chain(key.split('.')).map(str::to_owned).collect();
        Ok(Self { value, prefix, ..self.clone() })
    }

    /// The bytes of the text that hold the value of a key.
    pub fn span_of(&self, key: &str) -> Option<(usize, usize)> {
        let mut range = 0..self.text.len();
        for key in self.prefix.iter().map(String::as_str).chain(key.split('.')) {
            range = member(&self.text, range, key)?;
        }
        Some((range.start, range.end))
    }

    /// The place of a key's value, once the config is registered.
    pub fn span(&self, key: &str) -> Option<Span> {
        let (start, end) = self.span_of(key)?;
        Some(Span::new(self.source?, start, end))
    }

    /// An error about one field: it points at the value where it can.
    pub fn field_error(&self, key: &str, message: impl Into<String>) -> Diagnostic {
        let error = match self.span(key) {
            Some(span) => Diagnostic::at(&codes::CONFIG_FIELD, span, message),
            None => Diagnostic::new(&codes::CONFIG_FIELD, message),
        };
        error.path(&self.path)
    }

    fn needed<'a, T>(
        &'a self,
        key: &str,
        read: impl Fn(&'a Value) -> Option<T>,
        expected: &str,
    ) -> Result<T, Diagnostic> {
        self.optional(key, read, expected)?.ok_or_else(|| self.missing(key, expected))
    }

    fn optional<'a, T>(
        &'a self,
        key: &str,
        read: impl Fn(&'a Value) -> Option<T>,
        expected: &str,
    ) -> Result<Option<T>, Diagnostic> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let wrong = || {
            let message = format!("{} is {}, not {expected}", self.full(key), found(value));
            self.field_error(key, message).says(format!("expected {expected}"))
        };
        read(value).map(Some).ok_or_else(wrong)
    }

    fn missing(&self, key: &str, expected: &str) -> Diagnostic {
        let error = self.field_error(key, format!("{} is missing: {expected} is needed", self.full(key)));
        let keys = self.value.as_object().into_iter().flat_map(|members| members.keys());
        match nearest(key, keys.map(String::as_str).filter(|&there| there != key)) {
            Some(like) => error.help(format!("there is `{}`", text::shown(like))),
            None => error,
        }
    }

    /// "`rope_scaling.factor` in `config.json`".
    fn full(&self, key: &str) -> String {
        let path: Vec<&str> = self.prefix.iter().map(String::as_str).chain([key]).collect();
        format!("`{}` in {}", path.join("."), text::named(&self.path))
    }
}

/// Where a member's value stands; `object` is the range of an object. Of equal keys the last counts, as for every reader.
fn member(text: &str, object: Range<usize>, key: &str) -> Option<Range<usize>> {
    let members: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(&text[object]).ok()?;
    let value = members.get(key)?.get();
    let start = value.as_ptr() as usize - text.as_ptr() as usize;
    Some(start..start + value.len())
}

fn as_usize(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|number| usize::try_from(number).ok())
}

/// A value as a message shows it.
fn found(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "an object".into(),
        scalar => format!("`{}`", text::shown(&scalar.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{
  "model_type": "llama", "hidden_size": 64, "layers": "two", "head_dim": null, "eps": 1e-5,
  "rope_scaling": { "factor": 8.0, "type": "yarn" }, "sizes": [3, 4], "architectures": ["A", "B"],
  "esc\u0061pe": true, "negative": -1, "half": 0.5
}"#;

    fn config() -> Config {
        Config::parse("models/x/config.json", TEXT).unwrap()
    }

    #[test]
    fn reads_each_type() {
        let config = config();
        assert_eq!(config.usize("hidden_size").unwrap(), 64);
        assert_eq!(config.usize_or("kv_heads", 8).unwrap(), 8);
        assert_eq!(config.f64("eps").unwrap(), 1e-5);
        assert_eq!(config.f64_or("hidden_size", 0.0).unwrap(), 64.0);
        assert_eq!(config.str("model_type").unwrap(), "llama");
        assert_eq!(config.str_or("act", "gelu").unwrap(), "gelu");
        assert!(config.bool_or("escape", false).unwrap());
        assert_eq!(config.usizes("sizes").unwrap(), [3, 4]);
        assert_eq!(config.strs("architectures").unwrap(), ["A", "B"]);
        assert_eq!(config.list("sizes").unwrap().len(), 2);
        assert!(config.list("absent").unwrap().is_empty());
    }

    #[test]
    fn null_counts_as_absent() {
        assert_eq!(config().usize_or("head_dim", 16).unwrap(), 16);
        assert!(!config().has("head_dim"));
    }

    #[test]
    fn nested_objects_are_reached_by_path_or_as_their_own_config() {
        let config = config();
        assert_eq!(config.f64("rope_scaling.factor").unwrap(), 8.0);
        let rope = config.under("rope_scaling").unwrap();
        assert_eq!(rope.str("type").unwrap(), "yarn");
        assert_eq!(rope.span_of("type"), config.span_of("rope_scaling.type"));
    }

    #[test]
    fn errors_name_file_key_and_value() {
        let error = config().usize("layers").unwrap_err();
        assert_eq!(error.code, &codes::CONFIG_FIELD);
        assert_eq!(error.message, "`layers` in `config.json` is `\"two\"`, not a whole number");
        assert_eq!(error.path.unwrap(), Path::new("models/x/config.json"));
        for key in ["negative", "half", "rope_scaling"] {
            assert!(config().usize(key).is_err(), "{key}");
        }
    }

    #[test]
    fn a_missing_field_suggests_the_one_that_is_like_it() {
        let error = config().usize("hiden_size").unwrap_err();
        assert_eq!(error.message, "`hiden_size` in `config.json` is missing: a whole number is needed");
        assert_eq!(error.help.unwrap(), "there is `hidden_size`");
    }

    #[test]
    fn spans_hold_the_value_as_written() {
        let config = config();
        let at = |key| config.span_of(key).map(|(start, end)| &TEXT[start..end]);
        assert_eq!(at("hidden_size"), Some("64"));
        assert_eq!(at("escape"), Some("true"));
        assert_eq!(at("rope_scaling"), Some(r#"{ "factor": 8.0, "type": "yarn" }"#));
        assert_eq!(at("rope_scaling.type"), Some("\"yarn\""));
        assert_eq!(at("nothing"), None);
        assert_eq!(at("hidden_size.x"), None);
    }

    #[test]
    fn errors_of_a_registered_config_point_into_it() {
        let (mut config, mut sources) = (config(), Sources::new());
        config.register(&mut sources);
        let place = config.usize("layers").unwrap_err().place.unwrap();
        assert_eq!(sources.text(place.span), "\"two\"");
        assert_eq!(config.register(&mut sources), place.span.source);
    }

    #[test]
    fn what_is_no_object_is_no_config() {
        for text in ["", "[1]", "{\"a\": }", "\"x\"", &"[".repeat(100_000)] {
            assert_eq!(Config::parse("c", text).unwrap_err().code, &codes::CONFIG_INVALID);
        }
    }
}
