//! Signature lines: `sparsify weights [of SELECTOR] [by CRITERION = magnitude] to PATTERN`.

use crate::pass::{ClauseSpec, CriterionSpec, FieldSpec, MeasureSpec, PassSpec, ReaderSpec, Type};

/// A step of this pass, with all that it takes. What stands in brackets may be left out.
pub fn pass(spec: &PassSpec) -> String {
    let nouns = spec.nouns.join("|");
    let more = if spec.nouns.len() > 1 { "[, …]" } else { "" };
    let mut parts = vec![format!("{} {nouns}{more}", spec.verb), "[of SELECTOR]".to_string()];
    parts.extend(spec.clauses.iter().map(clause));
    if !spec.options.is_empty() {
        let with = format!("with {{ {} }}", fields(spec.options));
        let required = spec.options.iter().any(|option| option.required);
        parts.push(if required { with } else { format!("[{with}]") });
    }
    parts.join(" ")
}

/// `random(seed: INT)`
pub fn criterion(spec: &CriterionSpec) -> String {
    call(spec.name, &fields(spec.arguments))
}

/// `perplexity(data: DATA)`
pub fn measure(spec: &MeasureSpec) -> String {
    call(spec.name, &fields(spec.arguments))
}

/// `text(path: TEXT, [field: TEXT])`
pub fn reader(spec: &ReaderSpec) -> String {
    call(spec.name, &fields(spec.arguments))
}

/// `shard_size: BYTES`, `scope: layer|global = layer`
pub fn field(spec: &FieldSpec) -> String {
    let named = format!("{}: {}", spec.name, placeholder(&spec.ty));
    match (spec.default, spec.required) {
        (Some(default), _) => format!("{named} = {default}"),
        (None, true) => named,
        (None, false) => format!("[{named}]"),
    }
}

/// What stands for a value: its words where there are finitely many, else its type.
fn placeholder(ty: &Type) -> String {
    match ty.choices {
        [] => ty.name.to_uppercase().replace(" OR ", "|").replace(' ', "_"),
        words => words.join("|"),
    }
}

fn clause(spec: &ClauseSpec) -> String {
    let says = format!("{} {}", spec.kind.keyword(), placeholder(&spec.field.ty));
    match (spec.field.default, spec.field.required) {
        (Some(default), _) => format!("[{says} = {default}]"),
        (None, true) => says,
        (None, false) => format!("[{says}]"),
    }
}

fn fields(specs: &[FieldSpec]) -> String {
    specs.iter().map(field).collect::<Vec<_>>().join(", ")
}

fn call(name: &str, arguments: &str) -> String {
    if arguments.is_empty() { name.to_string() } else { format!("{name}({arguments})") }
}
