//! Outputs that find no place: a disk without the room, one that fills up, a directory that may not be written to.

use std::os::unix::process::CommandExt;

use tamis::tensor::DType;

use crate::program::{Place, ran};
use crate::support::Decoder;

const RECIPE: &str = "model input = \"model\"\ndrop layers[0]\nsave \"out\"\n";

/// Some megabytes.
const SMALL: Decoder =
    Decoder { layers: 3, hidden: 256, mlp: 512, heads: 4, kv_heads: 2, vocab: 1024, experts: 0 };

/// 300 TB, of holes.
const HUGE: Decoder =
    Decoder { layers: 120, hidden: 1 << 19, mlp: 1 << 20, heads: 64, kv_heads: 64, vocab: 1024, experts: 0 };

#[test]
fn what_cannot_fit_is_refused_before_a_byte_is_written() {
    let place = Place::with(RECIPE);
    HUGE.synthetic(DType::Bf16).write_headers(&place.path("model"), Some(1 << 42));
    let ran = place.tamis("run x.tamis --no-cache").fails(4, "disk-full");
    assert!(ran.stderr.contains("`out` needs ") && ran.stderr.contains(" are free"), "{}", ran.stderr);
    assert_eq!(place.names("."), ["model", "models", "x.tamis"]);
}

#[test]
fn a_file_that_cannot_grow_ends_the_run_and_leaves_nothing() {
    let place = Place::with(RECIPE);
    SMALL.synthetic(DType::Bf16).write(&place.path("model"), 7, None);
    let mut command = place.command(&["run", "x.tamis", "--no-cache"]);
    // SAFETY: both calls may be made between fork and exec; they touch nothing but the child's own limits.
    unsafe {
        command.pre_exec(|| {
            let limit = libc::rlimit { rlim_cur: 1 << 20, rlim_max: 1 << 20 };
            libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit);
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            Ok(())
        });
    }
    let ran = ran(command.output().unwrap()).fails(4, "write-failed");
    assert!(ran.stderr.contains("out/model.safetensors"), "the path is named: {}", ran.stderr);
    assert_eq!(place.names("."), ["model", "models", "x.tamis"]);
}
