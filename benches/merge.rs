//! Merging the experts of one layer, neurons aligned, against NumPy and SciPy in the same run.
//!
//! `cargo bench --bench merge -- [PYTHON [HIDDEN NEURONS EXPERTS INTO]]`; without numbers a layer of Mixtral-8x7B, 8 experts of 4096 x
//! 14336 into 4. The checkpoint is random bf16 weights in a temporary directory (TMPDIR says where). With a Python that has NumPy and
//! SciPy, `merge.py` beside this file does the same: it is given the groups that tamis found, and both read and write files.

#[expect(dead_code, reason = "sizes of published models are for other users")]
#[path = "../tests/support/checkpoint.rs"]
mod checkpoint;

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use checkpoint::Decoder;
use serde_json::Value;
use tamis::tensor::DType;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let number = |at: usize, usual: usize| arguments.get(at).and_then(|it| it.parse().ok()).unwrap_or(usual);
    let (hidden, mlp, experts, into) = (number(1, 4096), number(2, 14336), number(3, 8), number(4, 4));
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let (model, out) = (dir.path().join("model"), dir.path().join("out"));
    let heads = hidden.div_ceil(128);
    Decoder { layers: 1, hidden, mlp, heads, kv_heads: heads, vocab: 64, experts }
        .synthetic(DType::Bf16)
        .write(&model, 7, None);
    println!("{experts} experts of {hidden} x {mlp} into {into}, bf16, neurons aligned");
    let recipe = dir.path().join("recipe.tamis");
    let text = format!(
        "model input = {:?}\nmerge experts of layers[*] by random(seed: 1) into {into}\nsave {:?}\n",
        model.display().to_string(),
        out.display().to_string()
    );
    std::fs::write(&recipe, text).expect("a recipe can be written");
    let (ours, peak) =
        timed(Command::new(env!("CARGO_BIN_EXE_tamis")).args(["run", "--no-cache"]).arg(&recipe));
    println!("tamis          {ours:>8.1} s, {peak:>6} MB at the peak");
    let Some(python) = arguments.first().filter(|python| !python.is_empty()) else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/merge.py");
    let groups = groups(&out).iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    let mut reference = Command::new(python);
    // What some machines set to make OpenBLAS slow.
    reference.env_remove("OPENBLAS_CORETYPE").env_remove("OPENBLAS_L2_SIZE");
    reference.arg(script).arg(&model).arg(&out).arg(groups);
    let (theirs, peak) = timed(&mut reference);
    println!("NumPy, SciPy   {theirs:>8.1} s, {peak:>6} MB at the peak, {:.2} times as long", theirs / ours);
}

/// Seconds, and megabytes that were resident at the peak.
fn timed(command: &mut Command) -> (f64, u64) {
    let mut timed = Command::new("/usr/bin/time");
    timed.args(["-f", "peak %M"]).arg(command.get_program()).args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => timed.env(key, value),
            None => timed.env_remove(key),
        };
    }
    let begun = Instant::now();
    let ran = timed.output().expect("it can be run");
    let seconds = begun.elapsed().as_secs_f64();
    let errors = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.success(), "{errors}");
    print!(
        "{}",
        String::from_utf8_lossy(&ran.stdout)
            .lines()
            .filter(|it| it.starts_with("  "))
            .map(|it| format!("{it}\n"))
            .collect::<String>()
    );
    let peak = errors.lines().rev().find_map(|line| line.strip_prefix("peak ")?.parse::<u64>().ok());
    (seconds, peak.unwrap_or(0) / 1024)
}

/// Where rows of the router lead, as the saved graph says.
fn groups(out: &Path) -> Vec<usize> {
    let graph = std::fs::read(out.join("tamis.graph.json")).expect("a merged model has a graph file");
    let graph: Value = serde_json::from_slice(&graph).expect("it is JSON");
    let ops = graph["graph"]["ops"]["nodes"].as_array().expect("operations are a list");
    let experts = ops.iter().find_map(|node| node["op"].get("experts")).expect("there are experts");
    serde_json::from_value(experts["routes"]["to"].clone()).expect("rows lead to experts")
}
