//! Files stay small enough to be read in one sitting.

use crate::files::{File, files, none, rust_files};

const LONGEST: usize = 600;
const LONG: usize = 400;
const MEDIAN: usize = 150;

#[test]
fn no_file_is_longer_than_600_lines() {
    let mut faults = Vec::new();
    for file in rust_files() {
        match file.lines() {
            lines if lines > LONGEST => faults.push(format!("{}: {lines} lines", file.path)),
            lines if lines > LONG => eprintln!("long: {} has {lines} lines", file.path),
            _ => {}
        }
    }
    none(&faults);
}

#[test]
fn half_the_files_have_150_lines_at_most_and_nine_in_ten_400() {
    let mut sizes: Vec<usize> = files(&["src"], &[".rs"]).iter().map(File::lines).collect();
    sizes.sort_unstable();
    let share = |percent: usize| sizes[(sizes.len() - 1) * percent / 100];
    assert!(share(50) <= MEDIAN, "the median file has {} lines, the budget is {MEDIAN}", share(50));
    assert!(share(90) <= LONG, "the file at 90 % has {} lines, the budget is {LONG}", share(90));
}
