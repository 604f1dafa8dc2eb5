//! The program from outside: what it prints, where, and how it ends.

mod bad_input;
mod calibrated;
mod changed;
mod data;
mod editor;
mod export;
mod full_disk;
mod hostile;
mod latency;
mod models;
mod papers;
mod program;
mod recipes;
mod runs;
mod stopped;
mod usage;

#[path = "../support/checkpoint.rs"]
#[expect(dead_code, reason = "other tests make other models")]
mod support;
