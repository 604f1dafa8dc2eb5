//! 2:4 over every linear weight of a large checkpoint: wall time against `cp` and `sync`, and peak resident memory.
//!
//! `cargo bench --bench stream [-- GB ...]`; without numbers 1 and 4. The checkpoint is a made-up bf16 Llama in four shards of
//! random weights, in a temporary directory (TMPDIR says where). Needs twice its size of free disk.

#[expect(dead_code, reason = "sizes of published models are for other users")]
#[path = "../tests/support/checkpoint.rs"]
mod checkpoint;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use checkpoint::Decoder;
use tamis::tensor::DType;

const RUNS: usize = 3;

fn main() {
    let sizes: Vec<f64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![1.0, 4.0] } else { sizes };
    println!("{:>6} {:>12} {:>12} {:>7} {:>12}", "GB", "cp + sync", "tamis run", "ratio", "peak memory");
    for size in sizes {
        measure(size);
    }
}

/// One size: a copy and a run in turn, so that both meet the same machine; the median of each.
fn measure(gigabytes: f64) {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let model = dir.path().join("model");
    std::fs::create_dir(&model).expect("a directory can be made");
    let bytes = made(gigabytes, &model);
    let recipe = dir.path().join("recipe.tamis");
    let text = format!(
        "model input = \"{}\"\nsparsify weights by magnitude to 2:4\nsave \"{}\" with {{ shard_size: {} MB }}\n",
        model.display(),
        dir.path().join("out").display(),
        bytes / 4_000_000 + 64
    );
    std::fs::write(&recipe, text).expect("a recipe can be written");
    let (mut copies, mut runs, mut peak) = (Vec::new(), Vec::new(), 0);
    for _ in 0..RUNS {
        copies.push(copy(&model, &dir.path().join("copy")));
        let (time, memory) = run(&recipe, &dir.path().join("out"));
        runs.push(time);
        peak = peak.max(memory);
    }
    let (copy, run) = (median(copies), median(runs));
    println!(
        "{:>6.2} {copy:>12.2?} {run:>12.2?} {:>7.2} {:>9} MB",
        bytes as f64 / 1e9,
        run.as_secs_f64() / copy.as_secs_f64(),
        peak / 1024
    );
}

/// Writes a checkpoint of about that size in four shards; its bytes.
fn made(gigabytes: f64, model: &Path) -> u64 {
    let seven =
        Decoder { layers: 1, hidden: 4096, mlp: 11008, heads: 32, kv_heads: 32, vocab: 32000, experts: 0 };
    let bytes = |layers: usize| -> u64 {
        let tensors = Decoder { layers, ..seven }.synthetic(DType::Bf16).tensors;
        tensors.iter().map(|tensor| 2 * tensor.shape.iter().product::<usize>() as u64).sum()
    };
    let layers = (1..64).find(|&layers| bytes(layers) as f64 >= gigabytes * 1e9).unwrap_or(64);
    let total = bytes(layers);
    Decoder { layers, ..seven }.synthetic(DType::Bf16).write(model, 7, Some(total / 4 + 64_000_000));
    total
}

fn copy(from: &Path, to: &Path) -> Duration {
    let start = Instant::now();
    let copied = Command::new("cp").arg("-r").args([from, to]).status().expect("cp runs");
    assert!(copied.success(), "cp copies");
    Command::new("sync").arg("-f").arg(to).status().expect("sync runs");
    let time = start.elapsed();
    std::fs::remove_dir_all(to).expect("the copy can be removed");
    time
}

/// Wall time, and peak resident memory in KiB.
#[expect(clippy::zombie_processes, reason = "`wait4` waits for it, and says how much memory it took")]
fn run(recipe: &Path, out: &Path) -> (Duration, i64) {
    let start = Instant::now();
    let child = Command::new(env!("CARGO_BIN_EXE_tamis"))
        .args(["run", "--no-cache"])
        .arg(recipe)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("tamis runs");
    let mut status = 0;
    // SAFETY: all zeros is a valid value of this plain C structure.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    let id = libc::pid_t::try_from(child.id()).expect("process ids fit");
    // SAFETY: the child is ours, nobody else waits for it, and both pointers are to live variables.
    let waited = unsafe { libc::wait4(id, &raw mut status, 0, &raw mut usage) };
    let time = start.elapsed();
    assert!(waited == id && status == 0, "tamis succeeds");
    std::fs::remove_dir_all(out).expect("the result can be removed");
    (time, usage.ru_maxrss)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
