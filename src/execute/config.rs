//! `config.json` of an output: the fields that changed are replaced where they stand, everything else is kept to the byte.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::checkpoint::Config;
use crate::graph::{Formula, Graph};
use crate::tensor::DType;
use crate::weights::Version;

/// The input's config with what the version needs said. Fields that the config cannot say stay as they are.
pub fn rewritten(config: &Config, input: &Graph, version: &Version) -> String {
    let mut edits: BTreeMap<String, String> = BTreeMap::new();
    edits.extend(changed_fields(config, &version.graph));
    edits.extend(shorter_lists(config, input, version));
    edits.extend(element_type(config, input, &version.graph));
    let mut text = config.text.to_string();
    // From the end, so that earlier places stay true.
    let mut placed: Vec<((usize, usize), String)> = Vec::new();
    let mut new = Vec::new();
    for (key, value) in edits {
        match config.span_of(&key) {
            Some(span) => placed.push((span, value)),
            None => new.push((key, value)),
        }
    }
    placed.sort_unstable();
    for ((start, end), value) in placed.into_iter().rev() {
        text.replace_range(start..end, &value);
    }
    new.into_iter().fold(text, |text, (key, value)| with_field(text, &key, &value))
}

/// Classes of transformers by which models are loaded, and the class in the modeling file that stands for all of them.
const LOADED_BY: [&str; 8] = [
    "AutoModel",
    "AutoModelForCausalLM",
    "AutoModelForMaskedLM",
    "AutoModelForSequenceClassification",
    "AutoModelForTokenClassification",
    "AutoModelForQuestionAnswering",
    "AutoModelForImageClassification",
    "AutoModelForImageTextToText",
];

/// The config with `auto_map`, so that transformers runs the model with the code of a file beside it.
pub fn with_code(text: String, file: &str) -> String {
    let module = file.trim_end_matches(".py");
    let classes = LOADED_BY.iter().map(|loader| format!(", \"{loader}\": \"{module}.TamisModel\""));
    let map = format!("{{\"AutoConfig\": \"{module}.TamisConfig\"{}}}", classes.collect::<String>());
    match Config::parse("config.json", text.as_str()).ok().and_then(|config| config.span_of("auto_map")) {
        Some((start, end)) => format!("{}{map}{}", &text[..start], &text[end..]),
        None => with_field(text, "auto_map", &map),
    }
}

/// Extents that the config does not state yet, as far as it can. A field that it leaves out is derived from others: where one
/// of those changes, it is stated.
fn changed_fields(config: &Config, output: &Graph) -> Vec<(String, String)> {
    let Ok(fields) = output.config_fields() else { return Vec::new() };
    let stated = |key: &str| config.get(key).and_then(Value::as_u64);
    let differs = fields.iter().any(|(key, &value)| stated(key).is_some_and(|stated| stated != value as u64));
    let is_needed = |key: &str, value: usize| stated(key).map_or(differs, |stated| stated != value as u64);
    fields
        .into_iter()
        .filter(|(key, value)| is_needed(key, *value))
        .map(|(key, value)| (key, value.to_string()))
        .collect()
}

/// Lists of which each element of an axis has an entry, without the entries of elements that are gone.
fn shorter_lists(config: &Config, input: &Graph, version: &Version) -> Vec<(String, String)> {
    let mut lists = Vec::new();
    for fact in &input.facts {
        let Formula::Each(axis) = fact.formula else { continue };
        let (Some(kept), Some((start, end))) = (version.kept(axis), config.span_of(&fact.key)) else {
            continue;
        };
        if let Some(list) = shortened(&config.text[start..end], kept) {
            lists.push((fact.key.clone(), list));
        }
    }
    lists
}

/// The entries of a JSON list that are kept, in the layout of the list.
fn shortened(list: &str, kept: &[usize]) -> Option<String> {
    let entries: Vec<Value> = serde_json::from_str(list).ok()?;
    let kept: Vec<String> = kept.iter().filter_map(|&at| entries.get(at)).map(Value::to_string).collect();
    let inner = list.strip_prefix('[')?.strip_suffix(']')?;
    let indent: String = inner.chars().take_while(|char| char.is_whitespace()).collect();
    let close: String = inner.chars().rev().take_while(|char| char.is_whitespace()).collect();
    let close: String = close.chars().rev().collect();
    let gap = if indent.contains('\n') { indent.as_str() } else { " " };
    Some(format!("[{indent}{}{close}]", kept.join(&format!(",{gap}"))))
}

/// The element type, where all weights were of one and are now of another.
fn element_type(config: &Config, input: &Graph, output: &Graph) -> Vec<(String, String)> {
    let (before, after) = (common_type(input), common_type(output));
    let Some(name) = after.filter(|_| before != after).and_then(type_name) else { return Vec::new() };
    let mut keys: Vec<&str> = ["torch_dtype", "dtype"].into_iter().filter(|key| config.has(key)).collect();
    if keys.is_empty() {
        keys.push("torch_dtype");
    }
    keys.into_iter().map(|key| (key.to_string(), format!("\"{name}\""))).collect()
}

fn common_type(graph: &Graph) -> Option<DType> {
    let mut types = graph.weights().map(|(_, param)| param.dtype);
    let first = types.next()?;
    types.all(|other| other == first).then_some(first)
}

/// As torch calls it.
fn type_name(dtype: DType) -> Option<&'static str> {
    match dtype {
        DType::F64 => Some("float64"),
        DType::F32 => Some("float32"),
        DType::F16 => Some("float16"),
        DType::Bf16 => Some("bfloat16"),
        _ => None,
    }
}

/// A further field at the end of the object that its path leads to.
fn with_field(text: String, key: &str, value: &str) -> String {
    let (object, name) = key.rsplit_once('.').map_or((None, key), |(object, name)| (Some(object), name));
    let parsed = Config::parse("config.json", text.as_str());
    let Ok(config) = parsed else { return text };
    let end = match object {
        None => text.rfind('}'),
        Some(object) => config.span_of(object).map(|(_, end)| end - 1),
    };
    let Some(end) = end else { return text };
    let before = text[..end].trim_end();
    let tail = &text[before.len()..end];
    let comma = if before.ends_with('{') { "" } else { "," };
    // The last field's own line begins as the new one has to.
    let indent: String = match before.rfind('\n') {
        Some(at) if tail.contains('\n') => {
            let line = &before[at..];
            line.chars().take_while(|char| char.is_whitespace()).collect()
        }
        _ => " ".into(),
    };
    format!("{before}{comma}{indent}\"{name}\": {value}{tail}{}", &text[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_keep_their_layout() {
        assert_eq!(shortened(r#"["a", "b", "c"]"#, &[0, 2]).unwrap(), r#"["a", "c"]"#);
        assert_eq!(shortened("[\n    1,\n    2,\n    3\n  ]", &[1, 2]).unwrap(), "[\n    2,\n    3\n  ]");
        assert_eq!(shortened("{}", &[0]), None);
    }

    #[test]
    fn a_new_field_stands_at_the_end_of_its_object() {
        let text = |text: &str, key| with_field(text.to_string(), key, "3");
        assert_eq!(text("{\n  \"a\": 1\n}\n", "b"), "{\n  \"a\": 1,\n  \"b\": 3\n}\n");
        assert_eq!(text("{\"a\": {\"x\": 1}}", "a.y"), "{\"a\": {\"x\": 1, \"y\": 3}}");
        assert_eq!(text("{}", "b"), "{ \"b\": 3}");
    }
}
