//! Checkpoints through the library's front door: large headers, copies, and processes that are killed.

#[path = "support/checkpoint.rs"]
mod support;

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rayon::prelude::*;
use support::Decoder;
use tamis::checkpoint::{Checkpoint, Existing, OutputDir, TensorSpec, sha256_files};
use tamis::tensor::DType;

const SMALL: Decoder =
    Decoder { layers: 2, hidden: 32, mlp: 48, heads: 4, kv_heads: 2, vocab: 64, experts: 0 };

#[test]
fn the_largest_headers_are_read_without_their_weights() {
    let dir = tempfile::tempdir().unwrap();
    for (model, tensors, params) in
        [(Decoder::LLAMA_70B, 723, 68_976_648_192), (Decoder::MIXTRAL_8X22B, 1739, 140_630_071_296_u64)]
    {
        let dir = dir.path().join(tensors.to_string());
        model.synthetic(DType::Bf16).write_headers(&dir, None);
        let checkpoint = Checkpoint::open(&dir).unwrap();
        assert_eq!(checkpoint.tensors.len(), tensors);
        let bytes: u64 = checkpoint.tensors.values().map(|stored| stored.bytes).sum();
        assert_eq!(bytes / 2, params);
    }
}

/// Copies a checkpoint tensor by tensor, in pieces, on as many threads as are asked for.
fn copy(from: &Path, to: &Path, threads: usize, shard_size: Option<u64>) {
    let checkpoint = Checkpoint::open(from).unwrap();
    let output = OutputDir::create(to, Existing::Refuse, &[from.to_owned()]).unwrap();
    let spec = |(name, stored): (&String, &tamis::checkpoint::Stored)| TensorSpec {
        name: name.clone(),
        dtype: stored.dtype,
        shape: stored.shape.clone(),
    };
    let plan: Vec<TensorSpec> = checkpoint.tensors.iter().map(spec).collect();
    let files = output.tensors(&plan, shard_size).unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        plan.par_iter().enumerate().for_each(|(index, spec)| {
            let stored = &checkpoint.tensors[&spec.name];
            for at in (0..stored.bytes).step_by(100) {
                let mut piece = vec![0; (stored.bytes - at).min(100) as usize];
                checkpoint.read_at(stored, at, &mut piece).unwrap();
                files.write_at(index, at, &piece).unwrap();
            }
        });
    });
    output.copy_file(&from.join("config.json"), Path::new("config.json")).unwrap();
    output.finish().unwrap();
}

fn content(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.map(|path| (path.file_name().unwrap().into(), fs::read(path).unwrap())).collect();
    files.sort();
    files
}

#[test]
fn a_copy_is_equal_whatever_the_threads_and_shards() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    SMALL.synthetic(DType::Bf16).write(&at("model"), 7, Some(10_000));
    let before = content(&at("model"));
    assert!(before.len() > 3, "several shards, an index and a config");
    copy(&at("model"), &at("one"), 1, None);
    copy(&at("model"), &at("four"), 4, None);
    assert_eq!(content(&at("one")), content(&at("four")));
    copy(&at("one"), &at("shards"), 2, Some(9_000));
    let (model, shards) = (Checkpoint::open(&at("model")).unwrap(), Checkpoint::open(&at("shards")).unwrap());
    assert!(model.tensors.keys().eq(shards.tensors.keys()));
    for (name, stored) in &model.tensors {
        let other = &shards.tensors[name];
        assert_eq!(model.read(stored).unwrap(), shards.read(other).unwrap(), "{name}");
    }
    assert_eq!(content(&at("model")), before, "inputs are not touched");
    let files: Vec<PathBuf> = model.files().iter().map(|file| file.path.clone()).collect();
    assert_eq!(sha256_files(&files).unwrap(), sha256_files(&files).unwrap());
}

/// Runs in a process of its own, started by the next test; does nothing otherwise.
#[test]
fn child_that_is_killed() {
    let Some(target) = env::var_os("TAMIS_TEST_KILLED") else { return };
    let output = OutputDir::create(Path::new(&target), Existing::Replace, &[]).unwrap();
    let plan = [TensorSpec { name: "a".into(), dtype: DType::F32, shape: vec![1 << 16] }];
    let files = output.tensors(&plan, None).unwrap();
    files.write_at(0, 0, &[1; 1000]).unwrap();
    println!("\nhalf way");
    let _ = std::io::stdin().read(&mut [0]);
}

#[test]
fn a_killed_process_leaves_no_output_and_the_next_one_clears_up() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("out");
    fs::create_dir(&target).unwrap();
    fs::write(target.join("tamis.lock"), "old").unwrap();
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "child_that_is_killed", "--nocapture"])
        .env("TAMIS_TEST_KILLED", &target)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "half way"));
    let there = || fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(there(), 2, "the old output and the one in the making");

    // While it lives, another run does not disturb it.
    drop(OutputDir::create(&target, Existing::Replace, &[]).unwrap());
    assert_eq!(there(), 2);

    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(fs::read_to_string(target.join("tamis.lock")).unwrap(), "old");
    let output = OutputDir::create(&target, Existing::Replace, &[]).unwrap();
    assert_eq!(there(), 2, "the old output and the new one in the making");
    output.put("tamis.lock", b"new").unwrap();
    output.finish().unwrap();
    assert_eq!(there(), 1);
    assert_eq!(fs::read_to_string(target.join("tamis.lock")).unwrap(), "new");
}
