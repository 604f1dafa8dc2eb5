//! Recipes of llm-compressor: stages of modifiers. Those that prune have their like here; those that quantize have none.

use std::collections::BTreeMap;

use serde_json::Value;
use tamis::diagnostic::Diagnostics;

use super::{File, Made, name};

/// What a modifier is in tamis.
const MODIFIERS: [(&str, &str); 3] = [
    ("SparseGPTModifier", "sparsegpt(calib)"),
    ("WandaPruningModifier", "wanda(calib)"),
    ("MagnitudePruningModifier", "magnitude"),
];

/// Fields that say how a run goes, not what comes out, or that have a fixed like here.
const OF_THE_RUN: [&str; 12] = [
    "sequential_targets",
    "sequential_update",
    "block_size",
    "offload_hessians",
    "start",
    "end",
    "update_frequency",
    "initialize",
    "finalize",
    "leave_enabled",
    "index",
    "group",
];

/// Fields that are read.
const READ: [&str; 9] = [
    "targets",
    "ignore",
    "sparsity",
    "final_sparsity",
    "init_sparsity",
    "mask_structure",
    "dampening_frac",
    "owl_m",
    "apply_globally",
];

/// Modifiers of all stages: each its name and its fields. A recipe may be one stage without saying so.
pub(super) fn stages(root: &Value) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    let Value::Object(root) = root else { return found };
    for (key, value) in root {
        match value {
            Value::Object(fields) if key.ends_with("Modifier") => {
                found.push((key.clone(), Value::Object(fields.clone())));
            }
            Value::Object(_) if key.ends_with("_stage") || key.ends_with("_modifiers") => {
                found.extend(stages(value));
            }
            _ => {}
        }
    }
    found
}

pub(super) fn import(file: &File<'_>, modifiers: &[(String, Value)], model: Option<&str>) -> Made {
    let mut made = Made { model: model.map(String::from), ..Made::default() };
    let mut methods = Vec::new();
    for (modifier, fields) in modifiers {
        let Some((_, criterion)) = MODIFIERS.iter().find(|(name, _)| name == modifier) else {
            let message =
                match modifier.contains("Quant") || modifier.contains("GPTQ") || modifier.contains("AWQ") {
                    true => format!("`{modifier}` quantizes, which tamis does not"),
                    false => format!("`{modifier}` has no equivalent"),
                };
            made.remarks.push(file.no_equivalent(modifier, modifier, message));
            continue;
        };
        if let Some(step) = step(file, modifier, fields, criterion, &mut made.remarks) {
            made.needs_data |= criterion.contains("calib");
            methods.push(criterion.trim_end_matches("(calib)"));
            made.steps.push(step);
        }
    }
    methods.dedup();
    made.about = match methods.as_slice() {
        [] => "Nothing of the file has an equivalent.".into(),
        methods => format!("Weights made sparse by {}.", methods.join(", ")),
    };
    made
}

fn step(
    file: &File<'_>,
    modifier: &str,
    fields: &Value,
    criterion: &str,
    remarks: &mut Diagnostics,
) -> Option<String> {
    for (field, _) in fields.as_object().into_iter().flatten() {
        if !READ.contains(&field.as_str()) && !OF_THE_RUN.contains(&field.as_str()) {
            remarks.push(file.no_equivalent(
                modifier,
                field,
                format!("`{modifier}` has no equivalent for `{field}`"),
            ));
        }
    }
    for field in ["owl_m", "init_sparsity"] {
        let told = fields.get(field).is_some_and(|value| value.as_f64().is_none_or(|number| number != 0.0));
        if told && fields[field] != fields["final_sparsity"] {
            let message = format!("`{field}`: the same share is taken of every layer, at once");
            remarks.push(file.no_equivalent(modifier, field, message));
        }
    }
    let to = target(file, modifier, fields, remarks)?;
    let of = place(file, modifier, fields, remarks);
    let criterion = match fields.get("dampening_frac").and_then(Value::as_f64) {
        Some(share) if criterion.starts_with("sparsegpt") => {
            format!("sparsegpt(calib, damping: {}%)", round(share * 100.0))
        }
        _ => criterion.to_owned(),
    };
    let globally = fields.get("apply_globally").and_then(Value::as_bool).unwrap_or(false);
    let with = if globally { "\n  with { scope: global }" } else { "" };
    Some(format!("sparsify weights{of}\n  by {criterion}\n  to {to}{with}"))
}

/// `2:4`, or a share.
fn target(file: &File<'_>, modifier: &str, fields: &Value, remarks: &mut Diagnostics) -> Option<String> {
    let structure = fields.get("mask_structure").map(text).unwrap_or_default();
    let pattern = structure.split_once(':').filter(|(keep, of)| keep != of && *keep != "0");
    if let Some((keep, of)) = pattern {
        return Some(format!("{keep}:{of}"));
    }
    if !matches!(structure.as_str(), "" | "0:0" | "unstructured") {
        let message = format!("masks of structure `{structure}` have no equivalent: patterns as `2:4` have");
        remarks.push(file.no_equivalent(modifier, "mask_structure", message));
    }
    let share = fields.get("sparsity").or_else(|| fields.get("final_sparsity"));
    match share.and_then(Value::as_f64).filter(|share| (0.0..=1.0).contains(share)) {
        Some(share) => Some(format!("{}% zeros", round(share * 100.0))),
        None => {
            let field = if fields.get("sparsity").is_some() { "sparsity" } else { modifier };
            let message = format!("`{modifier}` says no single sparsity");
            remarks.push(file.no_equivalent(modifier, field, message));
            None
        }
    }
}

/// ` of SELECTOR except SELECTOR`; nothing for all weights.
fn place(file: &File<'_>, modifier: &str, fields: &Value, remarks: &mut Diagnostics) -> String {
    let mut selectors = |field: &str| -> Vec<String> {
        let mut found: BTreeMap<String, ()> = BTreeMap::new();
        for target in texts(fields.get(field)) {
            match name::selector(&target) {
                Ok(selector) => drop(found.insert(selector, ())),
                Err(why) => remarks.push(file.no_equivalent(modifier, &target, why)),
            }
        }
        found.into_keys().collect()
    };
    let (targets, ignored) = (selectors("targets"), selectors("ignore"));
    let everything = targets.is_empty() || targets.iter().any(|target| target == "**");
    let of = if everything { "**".into() } else { targets.join(", ") };
    match (everything, ignored.as_slice()) {
        (true, []) => String::new(),
        (_, []) => format!(" of {of}"),
        (_, ignored) => format!(" of {of} except {}", ignored.join(", ")),
    }
}

fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Array(items)) => items.iter().map(text).collect(),
        // `re:.*lm_head` and lists in a text, as older recipes write them.
        Some(Value::String(text)) => text
            .trim_matches(['[', ']'])
            .split(',')
            .map(|it| it.trim().trim_matches(['"', '\'']).to_owned())
            .collect(),
        _ => Vec::new(),
    }
}

/// A text as it was written: YAML 1.1 reads an unquoted `2:4` as a number of seconds.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.as_u64().is_some_and(|number| number > 60) => {
            let seconds = number.as_u64().unwrap_or_default();
            format!("{}:{}", seconds / 60, seconds % 60)
        }
        other => other.to_string(),
    }
}

/// A percentage without the noise of binary fractions.
fn round(percent: f64) -> f64 {
    (percent * 1e8).round() / 1e8
}
