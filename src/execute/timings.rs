//! `timings.json`: what the tasks of a run took.
//!
//! A file of its own, and not among those whose digests are attested: clocks do not repeat themselves, and all else of an
//! output is the same on every run.

use std::time::Duration;

use serde::Serialize;

/// The file's name.
pub const TIMINGS: &str = "timings.json";

/// The tasks that were done when the output was finished, in their order.
#[derive(Debug, Clone, Serialize)]
pub struct Timings {
    pub schema: u32,
    pub threads: usize,
    pub tasks: Vec<Timing>,
}

/// One task.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Timing {
    pub task: String,
    pub seconds: f64,
    /// Whether an earlier run had found it out, so that it was only read.
    pub remembered: bool,
}

impl Timings {
    pub fn new() -> Self {
        Self { schema: 1, threads: rayon::current_num_threads(), tasks: Vec::new() }
    }

    /// Milliseconds are as much as a clock of a busy machine says.
    pub fn add(&mut self, task: String, took: Duration, remembered: bool) {
        self.tasks.push(Timing { task, seconds: took.as_millis() as f64 / 1000.0, remembered });
    }
}
