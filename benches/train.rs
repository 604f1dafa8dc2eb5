//! Steps of a training, against PyTorch on the same cores in the same run.
//!
//! `cargo bench --bench train -- [PYTHON]`: the ViT of tests/models on batches of 64 pictures, and with a Python that has torch and
//! transformers a Llama of 4 layers of width 256 on 8 windows of 128 tokens, each by AdamW. `train.py` beside this file makes the
//! Llama and is timed in turn. A step is the difference between a training of many steps and one of few, so that what comes
//! before the first step does not count. On either side the fastest of some rounds counts: what else the machine does only adds.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use tamis::REGISTRY;
use tamis::checkpoint::{Checkpoint, read_graph};
use tamis::diagnostic::Diagnostic;
use tamis::observe::{Terms, TrainWeights};
use tamis::pass::{
    Context, Data, DataKind, Factor, For, Input, Length, Optimizer, Pixels, Positive, Quantity, Reader,
    Regimen, Sample, Samples, Schedule, Work,
};
use tamis::source::{Source, Sources, Span};
use tamis::weights::Version;

const FEW: usize = 3;
const MANY: usize = 23;
const ROUNDS: usize = 5;

/// Made-up samples: products take the same time whatever is multiplied.
#[derive(Debug, Clone, Copy)]
enum Made {
    Pictures(usize),
    Windows { count: usize, tokens: usize },
}

impl Reader for Made {
    fn describe(&self) -> String {
        format!("{self:?}")
    }

    fn kind(&self) -> DataKind {
        DataKind::Tokens
    }

    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    fn look(&self) -> Result<(), Diagnostic> {
        Ok(())
    }

    fn has_labels(&self) -> bool {
        true
    }

    fn samples(&self, _: &For<'_>) -> Result<Samples, Diagnostic> {
        let number = |at: usize| at.wrapping_mul(2_654_435_761) % 997;
        Ok(match *self {
            Self::Pictures(count) => Box::new((0..count).map(move |picture| {
                let values = (0..784).map(|at| number(picture * 784 + at) as f32 / 500.0 - 1.0).collect();
                let pixels = Pixels { channels: 1, height: 28, width: 28, values };
                Ok(Sample { input: Input::Pixels(pixels), label: Some(picture % 10) })
            })),
            Self::Windows { count, tokens } => Box::new((0..count).map(move |window| {
                let ids = (0..tokens).map(|at| number(window * tokens + at) as u32).collect();
                Ok(Sample { input: Input::Tokens(ids), label: None })
            })),
        })
    }
}

/// As the program does: buffers come and go by the megabyte, and glibc would hand each back to the system.
fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: these calls set parameters of the allocator, and no other thread is there yet.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 30);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
    }
}

#[expect(clippy::disallowed_methods, reason = "the first lines of the program: there is no other thread")]
fn main() {
    keep_freed_memory();
    // As the program does, whose reason is told there.
    // SAFETY: no other thread is there yet that could read the environment.
    unsafe { std::env::set_var("CANDLE_NUM_THREADS", "1") };
    let python = std::env::args().skip(1).find(|argument| argument != "--bench");
    let vit = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models/vit-fashion");
    compare("vit-fashion, 64 pictures", &vit, Made::Pictures(64), 64, python.as_deref());
    let Some(python) = python else { return };
    let room = tempfile::tempdir().expect("a directory");
    let llama = room.path().join("llama");
    let made = Command::new(&python).arg(script()).arg("make").arg(&llama).status();
    if made.is_ok_and(|status| status.success()) {
        let windows = Made::Windows { count: 8, tokens: 128 };
        compare("a Llama of 4 x 256, 8 x 128 tokens", &llama, windows, 8, Some(&python));
    } else {
        println!("the Llama could not be made");
    }
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/train.py")
}

fn compare(what: &str, model: &Path, data: Made, batch: usize, python: Option<&str>) {
    let fastest =
        |steps: usize| (0..ROUNDS).map(|_| seconds(model, data, batch, steps)).fold(f64::INFINITY, f64::min);
    let ours = (fastest(MANY) - fastest(FEW)) / (MANY - FEW) as f64;
    println!("{what}\n  tamis    {:>8.1} ms a step, {:.0} MB at most", ours * 1e3, peak() / 1e6);
    let Some(python) = python else { return };
    let threads = rayon::current_num_threads().to_string();
    let ran = Command::new(python).arg(script()).arg("time").arg(model).arg(threads).output();
    let answer = ran.ok().and_then(|ran| serde_json::from_slice::<serde_json::Value>(&ran.stdout).ok());
    match answer.and_then(|answer| Some((answer["seconds"].as_f64()?, answer["peak_memory"].as_f64()?))) {
        Some((theirs, memory)) => {
            let (step, memory) = (theirs * 1e3, memory / 1e6);
            println!("  PyTorch  {step:>8.1} ms a step, {memory:.0} MB at most  ratio {:.2}", ours / theirs);
        }
        None => println!("  PyTorch  could not be run"),
    }
}

/// A training of so many steps, from opening the model to its last weights.
fn seconds(dir: &Path, made: Made, batch: usize, steps: usize) -> f64 {
    let checkpoint = Arc::new(Checkpoint::open(dir).expect("a checkpoint"));
    let graph = read_graph(REGISTRY.families, &checkpoint).expect("a graph");
    let version = Version::open(graph, &checkpoint);
    let source = Sources::new().add(Source::new("bench", "made"));
    let data = Data { name: "made".into(), span: Span::new(source, 0, 4), reader: Arc::new(made) };
    let regimen = Regimen {
        data,
        length: Length::Steps(steps),
        optimizer: Optimizer::AdamW {
            rate: Positive(1e-4),
            beta1: Factor(0.9),
            beta2: Factor(0.999),
            eps: Positive(1e-8),
            decay: Factor(0.01),
        },
        schedule: Schedule::Constant,
        warmup: Quantity::Count(0),
        batch,
        accumulate: 1,
        clip: 0.0,
        seed: 0,
        checkpoint: usize::MAX,
        held_out: None,
    };
    let graph = &version.graph;
    let sites: Vec<String> = graph.sites.iter().map(|(_, site)| graph.tree.path(site.node)).collect();
    let work = TrainWeights::new(graph, regimen, Terms::of_labels(0.0), &sites);
    let room = tempfile::tempdir().expect("a directory");
    let at = Context { room: &room.path().join("trained"), ..Context::of(&version, dir) };
    let begun = Instant::now();
    work.run(&at).expect("it trains");
    begun.elapsed().as_secs_f64()
}

/// The most memory that this process had, in bytes.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.unwrap_or(0.0) * 1024.0
}
