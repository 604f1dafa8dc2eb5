//! How long `tamis check` takes on large headers, and how it grows with the recipe.
//!
//! `cargo bench --bench check`. Headers are real, weights are holes in files. On large headers the program itself is run, from
//! its start to its end. The baseline of the same run is parsing the headers alone, as JSON.

#[expect(dead_code, reason = "only headers are written here")]
#[path = "../tests/support/checkpoint.rs"]
mod checkpoint;

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use checkpoint::Decoder;
use tamis::REGISTRY;
use tamis::check::Settings;
use tamis::source::{Source, Sources};
use tamis::tensor::DType;
use tamis::world::Files;

const RUNS: usize = 15;

fn main() {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    println!("{:<28} {:>10} {:>12} {:>8}", "recipe of 30 steps on", "headers", "tamis check", "ratio");
    for (name, decoder) in [("70 B Llama", Decoder::LLAMA_70B), ("8x22B Mixtral", Decoder::MIXTRAL_8X22B)] {
        let model = dir.path().join(name);
        std::fs::create_dir(&model).expect("a directory can be made");
        let made = decoder.synthetic(DType::Bf16);
        made.write_headers(&model, Some(5_000_000_000));
        let path = dir.path().join("recipe.tamis");
        std::fs::write(&path, recipe(&model, 30)).expect("a recipe can be written");
        let headers = median(|| parse_headers(&model));
        let check = median(|| run_check(&path));
        println!(
            "{name:<28} {headers:>10.1?} {check:>12.1?} {:>8.2}",
            check.as_secs_f64() / headers.as_secs_f64()
        );
    }
    growth(dir.path());
}

/// Time a step, for recipes of a hundred to ten thousand steps on a small model.
fn growth(dir: &Path) {
    let small = Decoder { layers: 2, hidden: 64, mlp: 128, heads: 4, kv_heads: 2, vocab: 100, experts: 0 };
    let model = dir.join("small");
    std::fs::create_dir(&model).expect("a directory can be made");
    small.synthetic(DType::Bf16).write_headers(&model, None);
    println!("\n{:<28} {:>10} {:>12}", "steps on a small Llama", "time", "a step");
    for steps in [100, 1_000, 10_000] {
        let recipe = recipe(&model, steps);
        let time = median(|| check(&recipe));
        println!("{steps:<28} {time:>10.1?} {:>12.1?}", time / steps as u32);
    }
}

/// Steps of every kind that a Llama allows, over and over.
fn recipe(model: &Path, steps: usize) -> String {
    let mut text = format!("model input = \"{}\"\n", model.display());
    for step in 0..steps {
        match step % 3 {
            0 => text.push_str("sparsify weights of layers[*].attention by magnitude to 2:4\n"),
            1 => text.push_str("sparsify weights of layers[*].attention by magnitude to 50% zeros\n"),
            _ => {
                let to = if step % 2 == 0 { "f16" } else { "bf16" };
                writeln!(text, "cast weights of layers[*] to {to}").expect("a string grows");
            }
        }
    }
    write!(text, "save \"out\"").expect("a string grows");
    text
}

fn run_check(recipe: &Path) {
    let mut tamis = Command::new(env!("CARGO_BIN_EXE_tamis"));
    let output = tamis.arg("check").arg(recipe).output().expect("tamis starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn check(text: &str) {
    let mut sources = Sources::new();
    let recipe = sources.add(Source::new("recipe.tamis", text));
    let files = Files::new(REGISTRY.families);
    let (typed, diagnostics) = tamis::check(recipe, &Settings::default(), &files, &mut sources);
    assert!(typed.is_some(), "{diagnostics:?}");
}

/// The baseline: every header of a directory, read and parsed.
fn parse_headers(dir: &Path) {
    for entry in std::fs::read_dir(dir).expect("the directory is there") {
        let path = entry.expect("an entry can be read").path();
        if path.extension().is_none_or(|extension| extension != "safetensors") {
            continue;
        }
        let mut file = File::open(path).expect("a shard opens");
        let mut length = [0; 8];
        file.read_exact(&mut length).expect("a header has a length");
        let mut header = vec![0; u64::from_le_bytes(length) as usize];
        file.read_exact(&mut header).expect("a header is there");
        serde_json::from_slice::<serde_json::Value>(&header).expect("a header is JSON");
    }
}

fn median(mut run: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[RUNS / 2]
}
