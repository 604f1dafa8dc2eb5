//! A JSON schema of steps, for programs that write recipes or offer a form for them.
//!
//! A step is an object: `verb`, `nouns`, a member for each clause, and `with`. Values of types that JSON has are JSON
//! values; all others are texts in the recipe language.

use serde_json::{Map, Value, json};

use super::markdown::one_line;
use super::signature;
use crate::pass::{FieldSpec, PassSpec, Registry, summary};
use crate::syntax::ast::ClauseKind;

/// The schema of a list of steps.
pub fn schema(registry: &Registry) -> Value {
    let definitions: Map<String, Value> =
        registry.passes.iter().map(|spec| (key(spec, registry), step(spec, registry))).collect();
    let references: Vec<Value> =
        definitions.keys().map(|key| json!({ "$ref": format!("#/$defs/{key}") })).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Steps of a tamis recipe",
        "description": "Values that JSON has no type for are texts in the recipe language.",
        "type": "array",
        "items": { "oneOf": references },
        "$defs": definitions,
    })
}

/// The verb; with its nouns where several passes have it.
fn key(spec: &PassSpec, registry: &Registry) -> String {
    match registry.passes_of(spec.verb).count() {
        1 => spec.verb.to_string(),
        _ => format!("{}-{}", spec.verb, spec.nouns.join("-")),
    }
}

fn step(spec: &PassSpec, registry: &Registry) -> Value {
    let mut properties = Map::new();
    let mut required = vec!["verb", "nouns"];
    properties.insert("verb".into(), json!({ "const": spec.verb }));
    properties.insert("nouns".into(), nouns(spec));
    for kind in [ClauseKind::Of, ClauseKind::At] {
        properties.insert(kind.keyword().into(), json!({ "type": "string", "description": "A selector." }));
    }
    for clause in spec.clauses {
        properties.insert(clause.kind.keyword().into(), field(&clause.field, registry));
        if clause.field.required {
            required.push(clause.kind.keyword());
        }
    }
    if !spec.options.is_empty() {
        properties.insert("with".into(), options(spec.options, registry));
        if spec.options.iter().any(|option| option.required) {
            required.push("with");
        }
    }
    json!({
        "title": signature::pass(spec),
        "description": one_line(summary(spec.doc)),
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn nouns(spec: &PassSpec) -> Value {
    let pattern = format!("^({})(\\[.*\\])?$", spec.nouns.join("|"));
    let items = json!({ "type": "string", "pattern": pattern, "examples": spec.nouns });
    json!({ "type": "array", "minItems": 1, "items": items })
}

fn options(specs: &[FieldSpec], registry: &Registry) -> Value {
    let properties: Map<String, Value> =
        specs.iter().map(|spec| (spec.name.to_string(), field(spec, registry))).collect();
    let required: Vec<&str> = specs.iter().filter(|spec| spec.required).map(|spec| spec.name).collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn field(spec: &FieldSpec, registry: &Registry) -> Value {
    let mut schema = of_type(spec, registry);
    schema.insert("title".into(), json!(spec.ty.name.to_lowercase()));
    schema.insert("description".into(), json!(one_line(spec.doc)));
    if let Some(default) = spec.default {
        let parsed = serde_json::from_str(default).ok().filter(|value: &Value| !value.is_object());
        schema.insert("default".into(), parsed.unwrap_or_else(|| json!(default)));
    }
    Value::Object(schema)
}

/// What JSON knows of a type.
fn of_type(spec: &FieldSpec, registry: &Registry) -> Map<String, Value> {
    let schema = match (spec.ty.name, spec.ty.choices) {
        ("bool", _) => json!({ "type": "boolean" }),
        (_, words @ [_, ..]) => json!({ "enum": words }),
        ("int", _) => json!({ "type": "integer", "minimum": 0 }),
        ("count", _) => json!({ "type": "integer", "minimum": 1 }),
        ("float", _) => json!({ "type": "number" }),
        ("criterion", _) => {
            let names: Vec<&str> = registry.criteria.iter().map(|spec| spec.name).collect();
            json!({ "type": "string", "pattern": format!("^({})(\\(.*\\))?$", names.join("|")) })
        }
        _ => json!({ "type": "string" }),
    };
    match schema {
        Value::Object(schema) => schema,
        _ => Map::new(),
    }
}
