//! The `tamis` program: arguments, command, exit code.

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod cli;
mod lsp;

use std::process::ExitCode;

fn main() -> ExitCode {
    keep_freed_memory();
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
