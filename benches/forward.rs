//! A forward pass over windows of a language model, against PyTorch on the same cores in the same run.
//!
//! `cargo bench --bench forward -- MODEL [TOKENS WINDOWS RUNS [PYTHON]]`; 3 runs of 128 windows of 512 tokens without numbers. With
//! a Python that has torch and transformers, `forward.py` beside this file is timed in turn. Token ids are made up: products
//! take the same time whatever is multiplied.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use tamis::REGISTRY;
use tamis::checkpoint::{Checkpoint, read_graph};
use tamis::observe::run_once;
use tamis::pass::{Input, Sample};
use tamis::runtime::{Batch, Model, batches};
use tamis::weights::Version;

/// Rows that go through at once, on both sides.
const ROWS: usize = 2048;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let Some(model) = arguments.first().map(PathBuf::from) else {
        println!(
            "forward: name a model: cargo bench --bench forward -- MODEL [TOKENS WINDOWS RUNS [PYTHON]]"
        );
        return;
    };
    let number = |at: usize, usual: usize| arguments.get(at).and_then(|it| it.parse().ok()).unwrap_or(usual);
    let (tokens, windows, runs) = (number(1, 512), number(2, 128), number(3, 3));
    let ours = tamis(&model, tokens, windows, runs);
    println!("tamis    {ours:>8.2} s  ({windows} windows of {tokens} tokens)");
    let Some(python) = arguments.get(4) else { return };
    match pytorch(python, &model, [tokens, windows, runs]) {
        Some(theirs) => println!("PyTorch  {theirs:>8.2} s  ratio {:.2}", ours / theirs),
        None => println!("PyTorch  could not be run"),
    }
}

/// The median of some runs after a batch that is not counted, in seconds.
fn tamis(dir: &Path, tokens: usize, windows: usize, runs: usize) -> f64 {
    let checkpoint = Arc::new(Checkpoint::open(dir).expect("a checkpoint"));
    let graph = read_graph(REGISTRY.families, &checkpoint).expect("a graph");
    let version = Version::open(graph, &checkpoint);
    let model = Model::new(&version);
    let weights = model.load().expect("weights");
    let window = |window: usize| {
        let ids = (0..tokens).map(|at| ((window * tokens + at) * 2_654_435_761 % 30_000) as u32).collect();
        Ok(Sample { input: Input::Tokens(ids), label: None })
    };
    let made = batches((0..windows).map(window), ROWS.max(tokens), 1);
    let made: Vec<Batch> = made.collect::<Result<_, _>>().expect("batches");
    let pass = |some: usize| {
        let begun = Instant::now();
        made.iter().take(some).for_each(|batch| run_once(&model, &weights, batch).expect("it runs"));
        begun.elapsed().as_secs_f64()
    };
    pass(1);
    let mut times: Vec<f64> = (0..runs.max(1)).map(|_| pass(made.len())).collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn pytorch(python: &str, model: &Path, [tokens, windows, runs]: [usize; 3]) -> Option<f64> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/forward.py");
    let threads = rayon::current_num_threads();
    let numbers = [tokens, windows, (ROWS / tokens).max(1), threads, runs].map(|number| number.to_string());
    let ran = Command::new(python).arg(script).arg(model).args(numbers).output().ok()?;
    let answer: serde_json::Value = serde_json::from_slice(&ran.stdout).ok()?;
    answer["seconds"].as_f64()
}
