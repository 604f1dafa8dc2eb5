//! The page, the card, the summary and the JSON of one small run.

use serde_json::json as object;

use super::*;

/// Two layers of four heads: half the heads went, then half of the weights of an MLP.
fn provenance() -> Provenance {
    let cost = |params: u64, macs: u64| object!({ "params": params, "macs": macs, "flops": 2 * macs, "bytes": 4 * params });
    let exact = |number: u64| object!({ "min": number, "max": number });
    let known = |params: u64, macs: u64| object!({ "params": exact(params), "macs": exact(macs), "flops": exact(2 * macs), "bytes": exact(4 * params) });
    let totals = |params: u64, macs: u64, zeros: u64| {
        let mut totals = cost(params, macs);
        totals["zeros"] = zeros.into();
        totals
    };
    let kept = |layer: usize, kept: &[usize], scores: [f64; 4]| {
        object!({
            "axis": format!("layers[{layer}].attention.heads"), "role": "heads", "of": 4, "kept": kept, "scores": scores
        })
    };
    let layer = |number: usize, heads: usize| {
        object!({
            "place": format!("layers[{number}]"), "now": format!("layers[{number}]"),
            "before": totals(50_000, 1_000_000, 0), "after": totals(40_000, 800_000, 8_000),
            "axes": [
                { "axis": "attention.heads", "role": "heads", "before": 4, "after": heads },
                { "axis": "mlp.neurons", "role": "neurons", "before": 64, "after": 64 },
            ],
        })
    };
    let tensor = |name: &str, place: &str, shape: &[usize], zeros: u64| {
        object!({
            "name": name, "place": place, "dtype": "f32", "shape": shape, "axes": "", "zeros": zeros, "rank": null, "buffer": false
        })
    };
    let mut planned = known(120_000, 2_300_000);
    planned["macs"] = object!({ "min": 1_900_000, "max": 2_300_000 });
    let provenance = object!({
        "schema": 1,
        "tool": { "name": "tamis", "version": "0.1.0" },
        "recipe": {
            "title": "half", "doc": "Half the heads, then two of four.",
            "header": [["paper", "arXiv:2403.17921"], ["license", "Apache-2.0"]],
            "params": [["share", "50%"], ["name", "\"it's\""]],
            "branch": [], "text": "model input\nprune heads keep 50%\n",
        },
        "input": {
            "name": "input", "path": "models/small", "family": "bert",
            "files": [{ "name": "model.safetensors", "bytes": 600_000, "sha256": "ab".repeat(32) }],
        },
        "at": { "tokens": 128, "batch": 1 },
        "before": totals(150_000, 3_000_000, 12), "after": totals(120_000, 2_200_000, 16_012),
        "steps": [
            {
                "number": 1, "verb": "prune", "text": "prune heads of layers[*] by magnitude to 75% flops",
                "before": cost(150_000, 3_000_000), "after": cost(120_000, 2_200_000), "planned": planned,
                "budget": { "measure": "flops", "at_most": 4_500_000 },
                "kept": [kept(0, &[0, 2], [4.0, 1.0, 3.5, 0.5]), kept(1, &[1, 2, 3], [0.1, 2.0, 3.0, 4.0])],
                "factored": [], "sparsified": [], "cast": {},
            },
            {
                "number": 2, "verb": "sparsify", "text": "sparsify weights of layers[*].mlp by magnitude to 2:4",
                "before": cost(120_000, 2_200_000), "after": cost(120_000, 2_200_000), "planned": known(120_000, 2_200_000),
                "budget": null, "kept": [], "factored": [], "cast": {},
                "sparsified": [
                    { "place": "layers[0].mlp.up", "sparsity": { "pattern": { "keep": 2, "of": 4 } } },
                    { "place": "layers[1].mlp.up", "sparsity": { "pattern": { "keep": 2, "of": 4 } } },
                ],
            },
        ],
        "layers": [layer(0, 2), layer(1, 3)],
        "tensors": [
            tensor("l0.up.weight", "layers[0].mlp.up", &[64, 32], 1024),
            tensor("l0.up.bias", "layers[0].mlp.up", &[64], 64),
            tensor("l1.up.weight", "layers[1].mlp.up", &[64, 32], 512),
            tensor("words", "embeddings.words", &[100, 32], 0),
        ],
        "measures": [
            { "text": "zeros of layers[*].mlp", "after_step": 0, "unit": "share", "value": 0.0 },
            { "text": "zeros of layers[*].mlp", "after_step": 2, "unit": "share", "value": 0.5 },
        ],
        "expectations": [
            { "text": "flops <= 75% of input", "after_step": 2, "unit": "count", "value": 4.4e6, "op": "<=", "bound": 4.5e6, "held": true },
            { "text": "params <= 100K", "after_step": 2, "unit": "count", "value": 120000.0, "op": "<=", "bound": 100000.0, "held": false },
        ],
        "notes": [{ "step": 1, "code": "whole-groups", "message": "heads go in groups of 2" }],
        "loads_in": {
            "transformers": false,
            "because": [{ "key": "num_attention_heads", "why": "heads differ by layer" }],
        },
    });
    serde_json::from_value(provenance).expect("the fixture is a provenance")
}

/// The same, with text that would be markup wherever a user can write.
fn hostile() -> Provenance {
    let mut provenance = provenance();
    let text = "<script>alert('x')</script>\"><img src=x onerror=y>`*_|\n---\n# b";
    provenance.recipe.title = Some(text.into());
    provenance.recipe.doc = Some(text.into());
    provenance.recipe.header = vec![(text.into(), text.into()), ("license".into(), text.into())];
    provenance.recipe.header.push(("paper".into(), text.into()));
    provenance.recipe.params = vec![(text.into(), text.into())];
    provenance.recipe.text = text.into();
    provenance.input.path = text.into();
    provenance.input.files[0].name = text.into();
    provenance.steps[0].text = text.into();
    provenance.steps[0].kept[0].axis = text.into();
    provenance.measures[0].text = text.into();
    provenance.expectations[0].text = text.into();
    provenance.notes[0].message = text.into();
    provenance.loads_in.because[0].why = text.into();
    provenance
}

/// Tags of a page that are left open, or closed without being open.
fn unbalanced(html: &str) -> Vec<String> {
    const VOID: [&str; 3] = ["meta", "!doctype", "wbr"];
    let mut open: Vec<&str> = Vec::new();
    let mut faults = Vec::new();
    for tag in html.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap_or_default();
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap_or_default();
        if tag.starts_with('/') {
            if open.pop() != Some(name) {
                faults.push(format!("</{name}> closes nothing"));
            }
        } else if !VOID.contains(&name) && !tag.ends_with('/') {
            open.push(name);
        }
    }
    faults.extend(open.into_iter().map(|name| format!("<{name}> stays open")));
    faults
}

#[test]
fn the_page_is_well_formed() {
    for provenance in [provenance(), hostile()] {
        assert_eq!(unbalanced(&html(&provenance)), [""; 0]);
    }
    assert_eq!(unbalanced("<p><b></p>").len(), 2);
}

#[test]
fn the_page_needs_no_network_and_no_script() {
    let page = html(&provenance());
    for foreign in ["http:", "https:", "//", "<script", "src=", "href=", "url(", "@import", "onload", "<link"]
    {
        assert!(!page.contains(foreign), "{foreign}");
    }
}

#[test]
fn what_users_write_is_text_on_the_page() {
    let page = html(&hostile());
    let tags: Vec<&str> =
        page.split('<').skip(1).map(|tag| tag.split(['>', ' ', '/']).next().unwrap_or("")).collect();
    assert!(!tags.contains(&"script") && !tags.contains(&"img"), "{tags:?}");
    assert!(page.contains("&lt;script&gt;alert("), "{page}");
}

#[test]
fn the_page_shows_what_went_and_why() {
    let page = html(&provenance());
    for part in [
        "<title>half</title>",
        "1 of 2 expectations held",
        "5 of 8 heads stay: 2-3 of 4 in each of 2 places",
        "scores 0.5 to 4",
        "<b>went</b> 1, 3",
        "foreseen 1.90-2.30 M",
        "num_attention_heads: heads differ by layer",
        "--set share=50%",
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
}

#[test]
fn only_axes_that_lost_something_have_a_column() {
    let table = layers::widths(&provenance()).expect("there are layers");
    assert_eq!(table.columns, ["parameters", "attention.heads"]);
    let zeros = layers::zeros(&provenance()).expect("there are zeros");
    let texts: Vec<&str> = zeros
        .layers
        .rows
        .iter()
        .flat_map(|row| &row.cells)
        .flatten()
        .map(|cell| cell.text.as_str())
        .collect();
    assert_eq!((zeros.layers.columns, texts), (vec!["mlp.up".to_string()], vec!["50 %", "25 %"]));
    assert_eq!(zeros.elsewhere, []);
}

#[test]
fn the_card_states_what_was_done_and_how_to_load_it() {
    insta::assert_snapshot!(card(&provenance(), Some("mit")));
}

#[test]
fn a_card_for_transformers_says_how() {
    let mut provenance = provenance();
    provenance.loads_in.transformers = true;
    provenance.loads_in.because.clear();
    provenance.recipe.header = vec![("base_model".into(), "org/small".into())];
    let card = card(&provenance, Some("mit"));
    let front = "---\nlibrary_name: transformers\nlicense: mit\nbase_model: org/small\ntags:\n- tamis\n- compression\n";
    assert!(card.starts_with(front), "{card}");
    assert!(card.contains("```python\nfrom transformers import AutoModel\n"), "{card}");
}

#[test]
fn what_users_write_is_text_on_the_card() {
    let card = card(&hostile(), None);
    let front = card.split("\n---\n").next().unwrap_or_default();
    assert!(front.ends_with("- sparse"), "{front}");
    let outside: String = card.split("\n```").step_by(2).collect();
    assert!(!outside.contains("\n<script") && !outside.contains(" <img"), "{outside}");
}

#[test]
fn the_summary_has_a_row_for_each_step() {
    insta::assert_snapshot!(summary(&provenance(), "out/half"));
}

#[test]
fn the_json_of_a_run_has_measures_by_their_text() {
    let one = json(&[("out/half".into(), &provenance())]);
    assert_eq!(one["output"], "out/half");
    assert_eq!(
        one["before"],
        object!({ "params": 150_000, "macs": 3_000_000, "flops": 6_000_000, "bytes": 600_000, "zeros": 12 })
    );
    assert_eq!(
        one["measures"],
        object!({ "zeros of layers[*].mlp after step 0": 0.0, "zeros of layers[*].mlp": 0.5 })
    );
    assert_eq!(one["expectations"][1]["held"], false);
    let two = json(&[("a".into(), &provenance()), ("b".into(), &provenance())]);
    assert_eq!(two["outputs"][1]["output"], "b");
}

#[test]
fn a_run_without_layers_steps_or_zeros_has_a_report_too() {
    let mut provenance = provenance();
    provenance.steps.clear();
    provenance.layers.clear();
    provenance.tensors.clear();
    provenance.measures.clear();
    provenance.expectations.clear();
    provenance.recipe.title = None;
    assert_eq!(unbalanced(&html(&provenance)), [""; 0]);
    assert!(card(&provenance, None).contains("Nothing: the weights are those of the input."));
    assert!(!summary(&provenance, "out").contains("\n\n"));
}
