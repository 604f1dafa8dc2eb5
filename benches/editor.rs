//! How long the language server takes from a change to its diagnostics, and how much memory.
//!
//! `cargo bench --bench editor`. A recipe of 200 lines for a Llama of 70 B parameters (real headers, holes for weights) is
//! edited 500 times over standard input and output: letters typed into steps and taken back, lines put in and out. The time
//! is from writing the change to reading the diagnostics of its version; memory is the most that the server ever held.

#[path = "../tests/support/checkpoint.rs"]
#[expect(dead_code, reason = "only headers are written here")]
mod checkpoint;
#[path = "../tests/editor/client.rs"]
#[expect(dead_code, reason = "a session asks for less than the tests do")]
mod client;

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use checkpoint::Decoder;
use client::{Client, Text};
use serde_json::json;
use tamis::tensor::DType;

const EDITS: usize = 500;
const LINES: usize = 200;

fn main() {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let model = dir.path().join("llama-70b");
    Decoder::LLAMA_70B.synthetic(DType::Bf16).write_headers(&model, Some(5_000_000_000));
    let text = recipe(&model);
    println!("{} lines, {EDITS} edits, Llama of 70 B parameters", text.lines().count());
    let mut client = Client::start(dir.path());
    client.initialize(json!(null));
    let uri = format!("file://{}/recipe.tamis", dir.path().display());
    let begin = Instant::now();
    client.open(&uri, &text);
    let found = client.diagnostics(&uri, 0);
    println!(
        "first check      {:>10.1?}   {} diagnostics",
        begin.elapsed(),
        found.as_array().map_or(0, Vec::len)
    );
    let mut times = session(&mut client, &uri, &text);
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    println!("median           {:>10.1?}", at(0.5));
    println!("90 %             {:>10.1?}", at(0.9));
    println!("slowest          {:>10.1?}", at(1.0));
    println!("memory at most   {:>7} MB", peak(client.id()) / 1000);
    assert!(client.end().success());
}

/// Four edits at a place: a letter too much, taken back; a line more, taken out.
fn session(client: &mut Client, uri: &str, begin: &str) -> Vec<Duration> {
    let mut text = Text::of(begin);
    let mut times = Vec::new();
    for number in 0..EDITS {
        // The place moves over all steps; the same one for the four edits of a round.
        let round = number / 4;
        let steps: Vec<usize> = begin.match_indices("sparsify").map(|(at, _)| at).collect();
        let at = steps[round * 7 % steps.len()];
        let line = "cast weights of layers[*] to bf16\n";
        let change = match number % 4 {
            0 => text.edit(at + 4, at + 4, "x"),
            1 => text.edit(at + 4, at + 5, ""),
            2 => text.edit(at, at, line),
            _ => text.edit(at, at + line.len(), ""),
        };
        let version = number as i64 + 1;
        let start = Instant::now();
        client.notify(
            "textDocument/didChange",
            json!({ "textDocument": { "uri": uri, "version": version }, "contentChanges": [change] }),
        );
        client.diagnostics(uri, version);
        times.push(start.elapsed());
    }
    times
}

/// Steps as people write them, each of which every version of the model can take.
fn recipe(model: &Path) -> String {
    let mut text =
        format!("## A long one.\nmodel input = \"{}\"\n\nparam share: ratio = 50%\n\n", model.display());
    let mut layer = 0;
    while text.lines().count() < LINES - 2 {
        writeln!(text, "# layer {layer}").expect("a string grows");
        writeln!(text, "sparsify weights of layers[{layer}].attention by magnitude to 2:4")
            .expect("a string grows");
        writeln!(text, "sparsify weights of layers[{layer}].mlp\n  by magnitude\n  to share zeros")
            .expect("a string grows");
        layer = (layer + 1) % 80;
    }
    text.push_str("\nsave \"out\"\n");
    text
}

/// The most memory that a process held, in KB.
fn peak(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or(0)
}
