//! Test cases in markdown: a heading a case, prose for people, fenced blocks for the machine.
//!
//! The words behind a fence say what its block is. A block that says what comes out of another one is rewritten by
//! `UPDATE=1`; all others are the author's.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// A fenced block.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// The words behind the opening fence: `plan after merge-observations`.
    pub info: String,
    pub text: String,
    /// The line of the file that holds the first line of `text`, from 1.
    pub line: usize,
}

impl Block {
    /// The first word behind the fence.
    pub fn kind(&self) -> &str {
        self.info.split_whitespace().next().unwrap_or_default()
    }
}

/// What stands under one heading, and what was found wrong with it.
#[derive(Debug, Default)]
pub struct Case {
    pub heading: String,
    pub blocks: Vec<Block>,
    failures: Vec<String>,
    rewritten: Vec<(usize, String)>,
}

impl Case {
    /// Notes that the case does not hold. `line` counts in the file.
    pub fn fail(&mut self, line: usize, message: impl std::fmt::Display) {
        self.failures.push(format!("line {line}: {message}"));
    }

    /// Compares the text of a block with what came out, or rewrites it.
    pub fn expect(&mut self, block: usize, actual: &str) {
        let Block { info, text, line } = &self.blocks[block];
        if text == actual {
            return;
        }
        if std::env::var_os("UPDATE").is_some() {
            self.rewritten.push((block, actual.to_owned()));
        } else {
            let message =
                format!("`{info}` is\n{actual}\nbut the fixture says\n{text}\n(UPDATE=1 rewrites it)");
            self.fail(*line, message);
        }
    }
}

/// Runs `check` on every case of every markdown file of a directory beside this file.
pub fn run(directory: &str, check: fn(&mut Case)) {
    let mut report = String::new();
    let mut count = 0;
    for path in markdown_files(directory) {
        let text = std::fs::read_to_string(&path).expect("a fixture can be read");
        let mut cases = cases(&text);
        for case in &mut cases {
            check(case);
            for failure in &case.failures {
                writeln!(report, "{}, `{}`, {failure}\n", path.display(), case.heading)
                    .expect("a string grows");
            }
        }
        count += cases.iter().filter(|case| !case.blocks.is_empty()).count();
        rewrite(&path, &text, &cases);
    }
    assert!(count > 0, "no case in {directory}");
    assert!(report.is_empty(), "{report}");
}

fn markdown_files(directory: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite").join(directory);
    let entries = std::fs::read_dir(&directory).expect("the directory of the fixtures exists");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry can be read").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    paths.sort();
    paths
}

/// The cases of a file. What stands above the first heading is prose.
pub fn cases(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((_, line)) = lines.next() {
        if line.starts_with('#') {
            let heading = line.trim_start_matches('#').trim().to_owned();
            cases.push(Case { heading, ..Case::default() });
        }
        let ticks = line.bytes().take_while(|&byte| byte == b'`').count();
        if ticks < 3 {
            continue;
        }
        let fence = &line[..ticks];
        let mut block = Block { info: line[ticks..].trim().to_owned(), text: String::new(), line: 0 };
        for (number, line) in lines.by_ref() {
            block.line = if block.line == 0 { number + 1 } else { block.line };
            if line == fence {
                break;
            }
            block.text.push_str(line);
            block.text.push('\n');
        }
        cases.last_mut().expect("a block stands below a heading").blocks.push(block);
    }
    cases
}

/// Writes the blocks that `UPDATE=1` rewrites. Their lines are counted from the end of the file, so that they stay true.
fn rewrite(path: &Path, text: &str, cases: &[Case]) {
    let mut lines: Vec<&str> = text.lines().collect();
    let rewritten: Vec<(&Block, &String)> = cases
        .iter()
        .flat_map(|case| case.rewritten.iter().map(|(block, text)| (&case.blocks[*block], text)))
        .collect();
    if rewritten.is_empty() {
        return;
    }
    for (block, text) in rewritten.iter().rev() {
        let start = block.line - 1;
        lines.splice(start..start + block.text.lines().count(), text.lines());
    }
    std::fs::write(path, lines.join("\n") + "\n").expect("a fixture can be written");
}

#[test]
fn a_file_is_cut_into_cases_and_blocks() {
    let cases =
        cases("# Top\nprose\n## One\n```tamis\na\n# no heading\n```\ntext\n````plan after x\n```\n````\n");
    assert_eq!(cases.iter().map(|case| case.heading.as_str()).collect::<Vec<_>>(), ["Top", "One"]);
    let [first, second] = cases[1].blocks.as_slice() else { panic!("two blocks") };
    assert_eq!((first.kind(), first.text.as_str(), first.line), ("tamis", "a\n# no heading\n", 5));
    assert_eq!((second.info.as_str(), second.text.as_str(), second.line), ("plan after x", "```\n", 10));
}
