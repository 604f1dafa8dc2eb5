//! The `tamis` program: arguments, command, exit code.

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod cli;
mod lsp;

use std::process::ExitCode;

fn main() -> ExitCode {
    keep_freed_memory();
    keep_candle_to_one_thread();
    cli::main(std::env::args_os())
}

/// Buffers come and go by the megabyte. glibc would hand each back to the system and pay for its pages anew.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn keep_freed_memory() {
    // SAFETY: these calls set parameters of the allocator, and no other thread is there yet.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 30);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn keep_freed_memory() {}

/// Our operations are spread over rayon's threads. candle has a pool of its own beside, for its sums of elements, whose threads wait for
/// work in a busy loop: a step of training takes a fifth less without it. Who sets the variable has the last word.
#[expect(clippy::disallowed_methods, reason = "the first lines of the program: there is no other thread")]
fn keep_candle_to_one_thread() {
    const THREADS: &str = "CANDLE_NUM_THREADS";
    if std::env::var_os(THREADS).is_none() {
        // SAFETY: no other thread is there yet that could read the environment.
        unsafe { std::env::set_var(THREADS, "1") };
    }
}
