//! Runs that are stopped in the middle.

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ExitStatus, Stdio};

use tamis::tensor::DType;

use crate::program::Place;
use crate::support::Decoder;

const RECIPE: &str = "\
model input = \"model\"
prune neurons of layers[*] keep 50%
sparsify weights of layers[*] by magnitude to 2:4
save \"out\"
";

/// A hundred megabytes: more than a moment's work on any machine.
const MODEL: Decoder =
    Decoder { layers: 16, hidden: 512, mlp: 1536, heads: 8, kv_heads: 2, vocab: 4096, experts: 0 };

/// A run that has begun to write.
fn running() -> (Place, Child) {
    let place = Place::with(RECIPE);
    MODEL.synthetic(DType::Bf16).write(&place.path("model"), 7, None);
    let mut command = place.command(&["run", "x.tamis"]);
    // Who starts the tests in the background may have Ctrl-C ignored, and tamis would keep to that.
    // SAFETY: between fork and exec, `signal` is one of the calls that are allowed.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGINT, libc::SIG_DFL);
            Ok(())
        });
    }
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while partial(&place).is_empty() {
        assert_eq!(child.try_wait().unwrap(), None, "it ended before it could be stopped");
        std::thread::yield_now();
    }
    (place, child)
}

/// Directories in the making.
fn partial(place: &Place) -> Vec<String> {
    place.names(".").into_iter().filter(|name| name.starts_with(".out.")).collect()
}

fn weights(place: &Place) -> Vec<u8> {
    std::fs::read(place.path("model/model.safetensors")).unwrap()
}

#[test]
fn a_killed_run_leaves_no_output_and_the_next_one_clears_up() {
    let (place, mut child) = running();
    let input = weights(&place);
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    assert!(!place.path("out").exists());
    assert_eq!(partial(&place).len(), 1, "a stale directory, and nothing else");
    assert_eq!(weights(&place), input);
    place.tamis("run x.tamis").fine();
    assert!(partial(&place).is_empty());
    place.tamis("verify out").fine();
    assert_eq!(weights(&place), input, "the input is not touched");
}

#[test]
fn an_interrupted_run_takes_back_what_it_has_begun() {
    // A run that was done when the signal came was not interrupted, and says nothing.
    let (place, ended) = (0..5).map(|_| interrupted()).find(|(_, ended)| !ended.success()).unwrap();
    assert_eq!(ended.signal(), Some(libc::SIGINT), "{ended}");
    assert!(!place.path("out").exists() && partial(&place).is_empty(), "{:?}", place.names("."));
}

fn interrupted() -> (Place, ExitStatus) {
    let (place, mut child) = running();
    let pid = i32::try_from(child.id()).unwrap();
    // SAFETY: a signal to a child that was not waited for, so the number is its own.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGINT) }, 0);
    let ended = child.wait().unwrap();
    (place, ended)
}
