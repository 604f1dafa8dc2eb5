//! The `tamis` program: arguments, command, exit code.

fn main() {}
