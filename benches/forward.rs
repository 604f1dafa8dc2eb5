//! A forward pass over windows of a language model, against PyTorch on the same cores in the same run.
//!
//! `cargo bench --bench forward -- MODEL [TOKENS WINDOWS [PYTHON]]`; 512 tokens and 128 windows without numbers. With a Python
//! that has torch and transformers, `forward.py` beside this file is timed in turn. Token ids are made up: products take
//! the same time whatever is multiplied.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use tamis::REGISTRY;
use tamis::checkpoint::{Checkpoint, read_graph};
use tamis::observe::run_once;
use tamis::pass::{Input, Sample};
use tamis::runtime::{Model, batches};
use tamis::weights::Version;

const RUNS: usize = 3;
/// Rows that go through at once, on both sides.
const ROWS: usize = 2048;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let Some(model) = arguments.first().map(PathBuf::from) else {
        println!("forward: name a model: cargo bench --bench forward -- MODEL [TOKENS WINDOWS [PYTHON]]");
        return;
    };
    let number = |at: usize, usual: usize| arguments.get(at).and_then(|it| it.parse().ok()).unwrap_or(usual);
    let (tokens, windows) = (number(1, 512), number(2, 128));
    let ours = tamis(&model, tokens, windows);
    println!("tamis    {ours:>8.2} s  ({windows} windows of {tokens} tokens)");
    let Some(python) = arguments.get(3) else { return };
    match pytorch(python, &model, tokens, windows) {
        Some(theirs) => println!("PyTorch  {theirs:>8.2} s  ratio {:.2}", ours / theirs),
        None => println!("PyTorch  could not be run"),
    }
}

/// The median of some runs after one that is not counted, in seconds.
fn tamis(dir: &Path, tokens: usize, windows: usize) -> f64 {
    let checkpoint = Arc::new(Checkpoint::open(dir).expect("a checkpoint"));
    let graph = read_graph(REGISTRY.families, &checkpoint).expect("a graph");
    let version = Version::open(graph, &checkpoint);
    let model = Model::new(&version);
    let weights = model.load().expect("weights");
    let window = |window: usize| {
        let ids = (0..tokens).map(|at| ((window * tokens + at) * 2_654_435_761 % 30_000) as u32).collect();
        Ok(Sample { input: Input::Tokens(ids), label: None })
    };
    let made = batches((0..windows).map(window), ROWS.max(tokens), 1).expect("batches");
    let pass = || {
        let begun = Instant::now();
        made.iter().for_each(|batch| run_once(&model, &weights, batch).expect("it runs"));
        begun.elapsed().as_secs_f64()
    };
    pass();
    let mut times: Vec<f64> = (0..RUNS).map(|_| pass()).collect();
    times.sort_by(f64::total_cmp);
    times[RUNS / 2]
}

fn pytorch(python: &str, model: &Path, tokens: usize, windows: usize) -> Option<f64> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/forward.py");
    let threads = rayon::current_num_threads();
    let numbers = [tokens, windows, (ROWS / tokens).max(1), threads].map(|number| number.to_string());
    let ran = Command::new(python).arg(script).arg(model).args(numbers).output().ok()?;
    let answer: serde_json::Value = serde_json::from_slice(&ran.stdout).ok()?;
    answer["seconds"].as_f64()
}
