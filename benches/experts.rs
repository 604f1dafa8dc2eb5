//! What merging and dropping experts leave of a language model, as a table of `docs/results.md`.
//!
//! `cargo bench --bench experts [-- MODEL TRAIN TEST]`; without arguments the upcycled model of the repository. Every number is of the run
//! that printed it: perplexity on 64 windows of 128 tokens of TEST, after a step that looks at 64 of TRAIN. Random choices are
//! means of three seeds.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// What stays of eight experts.
const SHARES: [&str; 3] = ["75%", "50%", "25%"];
const SEEDS: [usize; 3] = [1, 2, 3];

/// A row: what it is called, and its step with holes for the share and a seed.
const ROWS: [(&str, &str); 12] = [
    ("merge by `output_clusters`", "merge experts of layers[*] by output_clusters(calib) into {share}"),
    ("merge by `routing`", "merge experts of layers[*] by routing(calib) into {share}"),
    (
        "merge by `routing`, `align: none`",
        "merge experts of layers[*] by routing(calib) into {share} with { align: none }",
    ),
    (
        "merge by `routing`, `weights: uniform`",
        "merge experts of layers[*] by routing(calib) into {share} with { weights: uniform }",
    ),
    (
        "merge by `routing`, `router: average`",
        "merge experts of layers[*] by routing(calib) into {share} with { router: average }",
    ),
    ("merge by `weights`", "merge experts of layers[*] by weights into {share} with { counts: calib }"),
    (
        "merge by `random`",
        "merge experts of layers[*] by random(seed: {seed}) into {share} with { counts: calib }",
    ),
    ("drop by `reconstruction`", "drop experts of layers[*] by reconstruction(calib) keep {share}"),
    ("drop by `reap`", "drop experts of layers[*] by reap(calib) keep {share}"),
    ("drop by `frequency`", "drop experts of layers[*] by frequency(calib) keep {share}"),
    ("drop by `evolution`", "drop experts of layers[*] by evolution(few, seed: 7) keep {share}"),
    ("drop by `random`", "drop experts of layers[*] by random(seed: {seed}) keep {share}"),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let texts = "tests/models/data";
    let [model, train, test] = match arguments.as_slice() {
        [model, train, test] => [model.clone(), train.clone(), test.clone()],
        _ => [
            "tests/models/mixtral-upcycled".into(),
            format!("{texts}/sotu-train.txt"),
            format!("{texts}/sotu-test.txt"),
        ],
    };
    let run = |step: &str| perplexity(&model, &train, &test, step);
    println!("dense: {}", shown(run("")));
    println!("| step | 75 % | 50 % | 25 % |\n|---|---|---|---|");
    for (name, step) in ROWS {
        let cell = |share: &str| {
            let step = step.replace("{share}", share);
            let seeds = if step.contains("{seed}") { &SEEDS[..] } else { &SEEDS[..1] };
            let found: Option<Vec<f64>> =
                seeds.iter().map(|seed| run(&step.replace("{seed}", &seed.to_string()))).collect();
            shown(found.map(|found| found.iter().sum::<f64>() / found.len() as f64))
        };
        println!("| {name} | {} |", SHARES.map(cell).join(" | "));
    }
}

fn shown(value: Option<f64>) -> String {
    value.map_or_else(|| "failed".into(), |value| format!("{value:.2}"))
}

/// Of a model after a step.
fn perplexity(model: &str, train: &str, test: &str, step: &str) -> Option<f64> {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let (recipe, out) = (dir.path().join("recipe.tamis"), dir.path().join("out"));
    let mut text = format!("model input = {model:?}\ndata test = text({test:?}, samples: 64, tokens: 128)\n");
    for (name, samples) in [("calib", 64), ("few", 16)] {
        if step.contains(name) {
            text += &format!("data {name} = text({train:?}, samples: {samples}, tokens: 128)\n");
        }
    }
    text += &format!("{step}\nmeasure perplexity(test)\nsave {:?}\n", out.display().to_string());
    std::fs::write(&recipe, text).expect("a recipe can be written");
    let ran = Command::new(env!("CARGO_BIN_EXE_tamis"))
        .args(["run", "--no-cache", "--format", "json"])
        .arg(Path::new(&recipe))
        .output()
        .expect("tamis runs");
    if !ran.status.success() {
        eprintln!("{step}\n{}", String::from_utf8_lossy(&ran.stderr));
        return None;
    }
    let report: Value = serde_json::from_slice(&std::fs::read(out.join("report.json")).ok()?).ok()?;
    report.get("measures")?.as_array()?.last()?.get("value")?.as_f64()
}
