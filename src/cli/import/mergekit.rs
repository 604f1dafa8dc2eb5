//! Merges of mergekit that only leave layers out: slices of one model, in its order, passed through.

use serde_json::Value;

use super::{File, Made};

/// The model that the first slice is of.
pub(super) fn model(slices: &[Value]) -> Option<String> {
    let model = &slices.first()?["sources"][0]["model"];
    model.as_str().or_else(|| model["model"]["path"].as_str()).map(String::from)
}

/// `layers` is how many the model has, where that is known.
pub(super) fn import(
    file: &File<'_>,
    slices: &[Value],
    model: Option<String>,
    layers: Option<usize>,
) -> Made {
    let mut made = Made { about: "Layers left out.".into(), model, ..Made::default() };
    let method = file.root["merge_method"].as_str().unwrap_or("passthrough");
    if method != "passthrough" {
        let message = format!("merges by `{method}` have no equivalent: only slices that are passed through");
        made.remarks.push(file.no_equivalent("merge_method", method, message));
    }
    let mut next = 0;
    let mut gaps = Vec::new();
    for slice in slices {
        let sources = slice["sources"].as_array().map(Vec::as_slice).unwrap_or_default();
        let [source] = sources else {
            made.remarks.push(file.no_equivalent(
                "slices",
                "sources",
                "a slice of several models has no equivalent",
            ));
            continue;
        };
        if source["model"].as_str().is_some_and(|other| model_differs(other, slices)) {
            let other = source["model"].as_str().unwrap_or_default();
            let message = format!("a slice of another model, `{other}`, has no equivalent");
            made.remarks.push(file.no_equivalent("slices", other, message));
            continue;
        }
        let bound = |at: usize| source["layer_range"][at].as_u64().map(|bound| bound as usize);
        let (Some(start), Some(end)) = (bound(0), bound(1)) else {
            made.remarks.push(file.no_equivalent(
                "slices",
                "layer_range",
                "a slice without bounds of its layers",
            ));
            continue;
        };
        if start < next {
            let message =
                format!("layers {start} to {} come a second time, or out of order", next.min(end) - 1);
            made.remarks.push(file.no_equivalent("slices", &format!("{start}"), message));
        } else if start > next {
            gaps.push(format!("layers[{next}..{start}]"));
        }
        next = next.max(end);
    }
    match layers {
        Some(layers) if layers > next => gaps.push(format!("layers[{next}..]")),
        Some(_) => {}
        None => {
            let message = format!(
                "whether there are layers from {next} on is not known: name the model with `--model`"
            );
            made.remarks.push(file.no_equivalent("slices", "layer_range", message));
        }
    }
    // From the end, so that the numbers in the file stay those of the model.
    made.steps.extend(gaps.iter().rev().map(|gap| format!("drop {gap}")));
    cast(file, &mut made);
    for key in ["tokenizer_source", "chat_template", "parameters", "base_model"] {
        if !file.root[key].is_null() && key != "base_model" {
            made.remarks.push(file.no_equivalent(key, key, format!("`{key}` has no equivalent")));
        }
    }
    made
}

fn model_differs(other: &str, slices: &[Value]) -> bool {
    model(slices).is_some_and(|first| first != other)
}

fn cast(file: &File<'_>, made: &mut Made) {
    let Some(dtype) = file.root["dtype"].as_str().or_else(|| file.root["out_dtype"].as_str()) else { return };
    let known = [("float32", "f32"), ("float16", "f16"), ("bfloat16", "bf16")];
    match known.iter().find(|(name, _)| *name == dtype) {
        Some((_, to)) => made.steps.push(format!("cast weights to {to}")),
        None => {
            let message = format!("the type `{dtype}` has no equivalent");
            made.remarks.push(file.no_equivalent("dtype", dtype, message));
        }
    }
}
