//! What methods do to the trained models of the repository, as the table of `docs/results.md`.
//!
//! `cargo bench --bench results [-- MODEL TRAIN TEST]`. With a language model and two texts (a real one, say) the language
//! models' methods are run on that as well; `-- tokens PICTURES` is what fewer tokens do, on all of Fashion-MNIST's held-out
//! pictures in a directory, say. Every number is of the run that printed it.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// A method on a model: what the table calls it, its step, and what is measured.
struct Case<'a> {
    method: &'a str,
    model: &'a str,
    data: String,
    step: String,
    measure: &'a str,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    println!("| model | method | step | measure | before | after | seconds | peak memory |");
    println!("|---|---|---|---|---|---|---|---|");
    match arguments.as_slice() {
        [what, pictures] if what == "tokens" => tokens(pictures).iter().for_each(row),
        [model, train, test] => language(model, train, test).iter().for_each(row),
        _ => {
            let data = "tests/models/data";
            language(
                "tests/models/llama-sotu",
                &format!("{data}/sotu-train.txt"),
                &format!("{data}/sotu-test.txt"),
            )
            .iter()
            .for_each(row);
            classifiers().iter().for_each(row);
        }
    }
}

fn language<'a>(model: &'a str, train: &str, test: &str) -> Vec<Case<'a>> {
    let data = format!(
        "data calib = text({train:?}, samples: 32, tokens: 256)\ndata test = text({test:?}, samples: 32, tokens: 256)\n"
    );
    let case = |method, step: &str| Case {
        method,
        model,
        data: data.clone(),
        step: step.to_string(),
        measure: "perplexity(test)",
    };
    vec![
        case("magnitude", "sparsify weights of layers[*] by magnitude to 2:4"),
        case("Wanda", "sparsify weights of layers[*] by wanda(calib) to 2:4"),
        case("SparseGPT", "sparsify weights of layers[*] by sparsegpt(calib) to 2:4"),
        case("magnitude", "sparsify weights of layers[*] by magnitude to 50% zeros"),
        case("Wanda", "sparsify weights of layers[*] by wanda(calib) to 50% zeros"),
        case("SparseGPT", "sparsify weights of layers[*] by sparsegpt(calib) to 50% zeros"),
        case("random", "prune neurons of layers[*] by random keep 75%"),
        case("magnitude", "prune neurons of layers[*] by magnitude keep 75%"),
        case("Minitron", "prune neurons of layers[*] by activation(calib) keep 75%"),
        case("Fisher", "prune neurons of layers[*] by fisher(calib) keep 75%"),
        case("Taylor", "prune neurons of layers[*] by taylor(calib) keep 75%"),
        case("magnitude", "drop layers by magnitude remove 1"),
        case("ShortGPT", "drop layers by block_influence(calib) remove 1"),
    ]
}

fn classifiers() -> Vec<Case<'static>> {
    let texts = "data train = text(\"tests/models/data/sotu-train.jsonl\", label: \"label\")\n\
                 data test = text(\"tests/models/data/sotu-test.jsonl\", label: \"label\")\n";
    let pictures = "data train = image(\"tests/models/data/fashion-mnist\", split: \"train\")\n\
                    data test = image(\"tests/models/data/fashion-mnist\", split: \"t10k\")\n";
    let methods = [
        ("random", "random"),
        ("magnitude", "magnitude"),
        ("Taylor", "taylor(train)"),
        ("Fisher", "fisher(train)"),
        ("OPTIN", "optin(train, samples: 8, rows: 256)"),
    ];
    let mut cases = Vec::new();
    for (model, data) in [("tests/models/bert-eras", texts), ("tests/models/vit-fashion", pictures)] {
        for (method, criterion) in methods {
            let step = format!("prune heads, neurons of layers[*] by {criterion} to 60% flops");
            cases.push(Case { method, model, data: data.to_string(), step, measure: "accuracy(test)" });
        }
    }
    cases
}

/// Fewer tokens of pictures and texts, to some budgets. `curve.py` draws them.
fn tokens(pictures: &str) -> Vec<Case<'static>> {
    let train = format!("data train = image({pictures:?}, split: \"train\", samples: 2000)\n");
    let pictures = format!("data test = image({pictures:?}, split: \"t10k\")\n");
    let learned =
        "reduce tokens at layers[1..] on train for 2 epochs with { rate: 0.05, last_rate: 0.005, batch: 20 }";
    let texts =
        "data test = text(\"tests/models/data/sotu-test.jsonl\", label: \"label\", tokens: 128)\n".to_owned();
    let methods = [
        ("ToMe", "merge tokens at layers[*] by key_similarity"),
        ("ToMe", "merge tokens at layers[*] by key_similarity with { proportional_attention: false }"),
        ("PiToMe", "merge tokens at layers[*] by energy"),
        ("EViT", "drop tokens at layers[*] by cls_attention"),
        ("EViT, fused", "drop tokens at layers[*] by cls_attention(fuse: true)"),
        ("DiffRate, learned", learned),
        ("Zero-TPrune", "drop tokens at layers[*] by pagerank"),
        ("attention mass", "drop tokens at layers[*] by attention_mass"),
        ("random", "drop tokens at layers[*] by random"),
    ];
    let models = [
        ("tests/models/vit-fashion-50", &pictures, &["85%", "70%", "50%", "40%"][..]),
        ("tests/models/bert-eras", &texts, &["80%", "65%", "50%"]),
    ];
    let mut cases = Vec::new();
    for (model, data, budgets) in models {
        for (method, step) in methods {
            let learns = step.contains("on train");
            if learns && model.contains("bert") {
                continue; // numbers are learned for pictures alone
            }
            let data = if learns { format!("{data}{train}") } else { data.clone() };
            for budget in budgets {
                let step = match step.split_once(" with") {
                    Some((step, with)) => format!("{step} to {budget} macs with{with}"),
                    None => format!("{step} to {budget} macs"),
                };
                cases.push(Case { method, model, data: data.clone(), step, measure: "accuracy(test)" });
            }
        }
    }
    cases
}

fn row(case: &Case<'_>) {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let recipe = dir.path().join("recipe.tamis");
    let out = dir.path().join("out");
    let Case { method, model, data, step, measure } = case;
    let text = format!(
        "model input = {model:?}\n{data}\nmeasure {measure}\n{step}\nmeasure {measure}\nsave {:?}\n",
        out.display().to_string()
    );
    std::fs::write(&recipe, text).expect("a recipe can be written");
    let begun = std::time::Instant::now();
    let ran = Command::new("/usr/bin/time")
        .args(["-f", "peak %M", env!("CARGO_BIN_EXE_tamis"), "run", "--no-cache", "--format", "json"])
        .arg(&recipe)
        .output()
        .expect("tamis runs");
    let seconds = begun.elapsed().as_secs_f64();
    let errors = String::from_utf8_lossy(&ran.stderr).into_owned();
    let peak = errors.lines().rev().find_map(|line| line.strip_prefix("peak ")?.parse::<u64>().ok());
    let report = std::fs::read(out.join("report.json")).ok();
    let report: Option<Value> = report.and_then(|report| serde_json::from_slice(&report).ok());
    let name =
        Path::new(model).file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    match report.as_ref().map(values).as_deref() {
        Some([before, .., after]) => println!(
            "| {name} | {method} | `{step}` | {measure} | {before:.4} | {after:.4} | {seconds:.1} | {} MB |",
            peak.unwrap_or(0) / 1024
        ),
        _ => println!(
            "| {name} | {method} | `{step}` | {measure} | | failed: {} | | |",
            errors.replace('\n', " ")
        ),
    }
}

/// What was measured, in order.
fn values(report: &Value) -> Vec<f64> {
    let measures = report.get("measures").and_then(Value::as_array);
    measures.into_iter().flatten().filter_map(|measure| measure.get("value")?.as_f64()).collect()
}
