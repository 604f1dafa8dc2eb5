//! Where statements end: a copy of the text at the same length in which every newline left ends a statement.
//!
//! ```text
//! prune heads        # by size          prune heads
//!   of layers[           ->               of layers[ 0 ]
//!     0 ]                               save "out"
//! save "out"
//! ```
//! Comments and newlines that end nothing become spaces, brackets balance, and what a diagnostic found here already
//! covers becomes [`POISON`], so that the grammar sees that something is there and that it has been reported.

mod characters;
mod words;

use super::ast::Comment;
use crate::diagnostic::{Diagnostic, Diagnostics, codes};
use crate::source::{SourceId, Span};

pub(super) use words::is_ident_byte;
pub use words::{is_clause_word, is_statement_word, statement_words};

/// Stands for text that is at fault and reported. No rule of the grammar takes it.
pub(super) const POISON: u8 = 0;

/// How deep brackets and blocks may nest: far beyond any use, far below what would exhaust the stack.
pub(super) const MAX_DEPTH: usize = 64;

/// Bytes that pest is given at a time, at least: its pairs are a hundred times as large, and should stay in the cache.
const PIECE: usize = 4 * 1024;

/// A text ready for the grammar.
pub(super) struct Layout {
    pub text: String,
    /// Where the text can be cut into pieces: 0, and then begins of statements that stand in no block.
    pub cuts: Vec<usize>,
    pub comments: Vec<Comment>,
}

/// Lays out `text`. Linear: at most two runs.
pub(super) fn lay_out(source: SourceId, text: &str, diagnostics: &mut Diagnostics) -> Layout {
    // Where every bracket is closed, brackets say which newlines count. Where one is not, its opener must not swallow
    // the rest of the file, so the second run also believes lines that look like statements.
    let mut scan = Scan::new(source, text, Trust::Brackets);
    scan.run();
    if !scan.balanced {
        scan = Scan::new(source, text, Trust::Lines);
        scan.run();
    }
    diagnostics.extend(scan.diagnostics);
    let text = String::from_utf8(scan.out).expect("whole characters are replaced by ASCII");
    Layout { text, cuts: scan.cuts, comments: scan.comments }
}

/// What decides whether a newline inside of brackets ends a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    Brackets,
    Lines,
}

/// The token before the current one, as far as it decides on continuation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Previous {
    /// None: a statement begins.
    Start,
    Operand,
    Comma,
    Operator,
    Other,
}

/// A bracket that waits for its closer.
#[derive(Debug, Clone, Copy)]
struct Open {
    at: usize,
    closer: u8,
    /// Of the line that opened it.
    indent: usize,
    /// The body of a `sweep`, where newlines end statements.
    block: bool,
}

struct Scan<'a> {
    source: SourceId,
    text: &'a str,
    trust: Trust,
    at: usize,
    /// Where the current line begins.
    line: usize,
    /// Columns before the first token of the current statement.
    indent: usize,
    out: Vec<u8>,
    cuts: Vec<usize>,
    comments: Vec<Comment>,
    diagnostics: Diagnostics,
    open: Vec<Open>,
    previous: Previous,
    last_token_end: usize,
    /// The first newline since the last token.
    line_break: Option<usize>,
    /// In the head of a `sweep`, whose first brace opens a block.
    expects_block: bool,
    too_deep: bool,
    balanced: bool,
}

impl<'a> Scan<'a> {
    fn new(source: SourceId, text: &'a str, trust: Trust) -> Self {
        Self {
            source,
            text,
            trust,
            at: 0,
            line: 0,
            indent: 0,
            out: text.as_bytes().to_vec(),
            cuts: vec![0],
            comments: Vec::new(),
            diagnostics: Diagnostics::new(),
            open: Vec::new(),
            previous: Previous::Start,
            last_token_end: 0,
            line_break: None,
            expects_block: false,
            too_deep: false,
            balanced: true,
        }
    }

    fn run(&mut self) {
        while let Some(byte) = self.peek(0) {
            match byte {
                b' ' => self.at += 1,
                b'\t' | b'\r' => {
                    self.out[self.at] = b' ';
                    self.at += 1;
                }
                b'\n' => {
                    self.line_break.get_or_insert(self.at);
                    self.at += 1;
                    self.line = self.at;
                }
                b'#' => self.comment(),
                _ => {
                    self.begin_token(byte);
                    self.token(byte);
                    self.last_token_end = self.at;
                }
            }
            // The second run starts over.
            if !self.balanced && self.trust == Trust::Brackets {
                return;
            }
        }
        if !self.open.is_empty() {
            self.unclosed(0, self.text.len());
        }
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span::new(self.source, start, end)
    }

    fn poison(&mut self, start: usize, end: usize) {
        self.out[start..end].fill(POISON);
    }

    fn blank(&mut self, start: usize, end: usize) {
        self.out[start..end].fill(b' ');
    }

    fn comment(&mut self) {
        let rest = &self.text[self.at..];
        let line = &rest[..rest.find('\n').unwrap_or(rest.len())];
        let text = line.trim_end();
        self.comments.push(Comment { text: text.into(), span: self.span(self.at, self.at + text.len()) });
        self.blank(self.at, self.at + line.len());
        self.at += line.len();
    }

    /// Decides whether the newline before this token, if there is one, ends a statement.
    fn begin_token(&mut self, byte: u8) {
        let word = words::word_at(self.text, self.at);
        if let Some(newline) = self.line_break.take() {
            if self.trust == Trust::Lines && self.in_brackets() && self.leaves_brackets(byte, word) {
                self.unclosed(self.blocks(), newline);
            }
            if self.in_brackets() || self.continues(byte, word) {
                self.blank_newlines(newline);
            } else {
                self.previous = Previous::Start;
                if self.open.is_empty() && self.cuts.last().is_none_or(|cut| self.line - cut >= PIECE) {
                    self.cuts.push(self.line);
                }
            }
        }
        if self.previous == Previous::Start {
            self.indent = self.at - self.line;
            self.expects_block = word == "sweep";
        }
    }

    fn blank_newlines(&mut self, from: usize) {
        for byte in &mut self.out[from..self.at] {
            if *byte == b'\n' {
                *byte = b' ';
            }
        }
    }

    fn in_brackets(&self) -> bool {
        self.open.last().is_some_and(|open| !open.block)
    }

    /// How many blocks are open. No block stands inside of brackets, so they come first.
    fn blocks(&self) -> usize {
        self.open.partition_point(|open| open.block)
    }

    fn continues(&self, byte: u8, word: &str) -> bool {
        match self.previous {
            Previous::Start => false,
            _ if is_clause_word(word) || (self.expects_block && byte == b'{') => true,
            Previous::Comma | Previous::Operator => byte != b'}' && !is_statement_word(word),
            Previous::Operand | Previous::Other => false,
        }
    }

    /// Whether a line inside of brackets looks like one that stands outside, as after a forgotten closer.
    fn leaves_brackets(&self, byte: u8, word: &str) -> bool {
        let column = self.at - self.line;
        if byte == b'}' {
            let block = self.blocks().checked_sub(1).map(|index| self.open[index]);
            return block.is_some_and(|block| column <= block.indent && column < self.indent);
        }
        let next = words::after_word(self.text, self.at + word.len());
        if is_clause_word(word) || is_statement_word(word) {
            return !matches!(next, Some(b':' | b',' | b')' | b']' | b'}' | b'.' | b'\n'));
        }
        byte.is_ascii_alphabetic()
            && column <= self.indent
            && next.is_some_and(|byte| byte.is_ascii_alphabetic())
    }

    fn token(&mut self, byte: u8) {
        match byte {
            b'"' => self.text_literal(),
            b'(' => self.bracket(b')'),
            b'[' => self.bracket(b']'),
            b'{' => self.bracket(b'}'),
            b')' | b']' | b'}' => self.close(byte),
            _ if is_ident_byte(byte) => {
                let word = words::word_at(self.text, self.at);
                let operand = !is_clause_word(word);
                self.advance(word.len(), if operand { Previous::Operand } else { Previous::Other });
            }
            b'%' => self.advance(1, Previous::Operand),
            b',' => self.advance(1, Previous::Comma),
            // After anything but a value, `*` is a wildcard and `-` a sign.
            b'+' | b'-' | b'*' | b'/' if self.previous == Previous::Operand => {
                self.advance(1, Previous::Operator);
            }
            _ => self.character(),
        }
    }

    fn advance(&mut self, bytes: usize, previous: Previous) {
        self.at += bytes;
        self.previous = previous;
    }

    fn text_literal(&mut self) {
        let start = self.at;
        self.at += 1;
        while let Some(byte) = self.peek(0) {
            match byte {
                b'"' => return self.advance(1, Previous::Operand),
                b'\n' => break,
                b'\\' if self.peek(1).is_some_and(|next| next != b'\n') => self.at += 2,
                _ => self.at += 1,
            }
        }
        let end = start + self.text[start..self.at].trim_end().len();
        let opener = self.span(start, start + 1);
        self.diagnostics.push(
            Diagnostic::at(&codes::UNCLOSED, opener, "this text is not closed")
                .says("opened here")
                .help("a text ends with `\"` on the line where it begins")
                .fix(self.span(end, end), "\""),
        );
        self.poison_line(start, end);
    }

    /// Poisons text up to the end of its line, with the brackets that this line opened: their closers are in it.
    fn poison_line(&mut self, start: usize, end: usize) {
        let mut start = start;
        while let Some(open) = self.open.last().filter(|open| !open.block && open.at >= self.line) {
            start = open.at;
            self.open.pop();
        }
        self.poison(start, end);
        self.at = end;
        self.previous = Previous::Operand;
    }

    fn bracket(&mut self, closer: u8) {
        let deep = self.open.len() >= MAX_DEPTH;
        if deep && !self.too_deep {
            self.too_deep = true;
            let place = self.span(self.at, self.at + 1);
            let message = format!("brackets nest more than {MAX_DEPTH} deep");
            self.diagnostics.push(Diagnostic::at(&codes::TOO_DEEP, place, message));
        }
        let block = self.expects_block && !self.in_brackets() && closer == b'}' && !deep;
        self.expects_block &= !block;
        self.open.push(Open { at: self.at, closer, indent: self.indent, block });
        self.advance(1, if block { Previous::Start } else { Previous::Other });
    }

    fn close(&mut self, byte: u8) {
        // Looking no deeper than brackets may nest keeps a file of mismatches linear.
        let near = self.open.iter().rev().take(2 * MAX_DEPTH);
        let inner = near.take_while(|open| open.closer != byte && !open.block).count();
        let Some(matching) = self.open.len().checked_sub(inner + 1).filter(|&i| self.open[i].closer == byte)
        else {
            return self.stray_closer(byte);
        };
        if inner > 0 {
            self.unclosed(matching + 1, self.at);
        }
        let open = self.open.pop().expect("`matching` is an index of it");
        self.at += 1;
        self.previous = Previous::Operand;
        self.expects_block &= !open.block;
        if self.too_deep && !self.in_brackets() {
            self.too_deep = false;
            self.poison(open.at, self.at);
        }
    }

    fn stray_closer(&mut self, byte: u8) {
        self.balanced = false;
        let place = self.span(self.at, self.at + 1);
        let message = format!("`{}` closes nothing", char::from(byte));
        self.diagnostics.push(Diagnostic::at(&codes::UNCLOSED, place, message).fix(place, ""));
        self.poison(self.at, self.at + 1);
        self.advance(1, Previous::Operand);
    }

    /// Reports the openers from index `first` on as one mistake, and poisons up to `end`.
    fn unclosed(&mut self, first: usize, end: usize) {
        self.balanced = false;
        let opens = self.open.split_off(first);
        let Some((innermost, outer)) = opens.split_last() else { return };
        if !std::mem::take(&mut self.too_deep) {
            self.report_unclosed(innermost, outer);
        }
        // The body of a sweep is fine without its closer; the grammar lets it end with the file.
        if let Some(bracket) = opens.iter().find(|open| !open.block) {
            self.poison(bracket.at, end);
        }
        self.previous = Previous::Operand;
    }

    /// Where on its line what stands in a bracket ends, because a clause begins behind it: `layers[* keep 2`.
    fn clause_in(&self, bracket: usize) -> Option<usize> {
        let line = &self.text[bracket..self.last_token_end];
        let line = &line[..line.find('\n').unwrap_or(line.len())];
        let begins = |at: &usize| line.as_bytes().get(at.wrapping_sub(1)) == Some(&b' ');
        let words = (1..line.len()).filter(|&at| line.is_char_boundary(at)).filter(begins);
        let mut clauses = words.filter(|&at| {
            let word = words::word_at(self.text, bracket + at);
            let next = words::after_word(self.text, bracket + at + word.len());
            is_clause_word(word) && !matches!(next, Some(b':' | b',' | b')' | b']' | b'}' | b'"'))
        });
        let inside = clauses.next()?;
        Some(bracket + line[..inside].trim_end().len())
    }

    fn report_unclosed(&mut self, innermost: &Open, outer: &[Open]) {
        let opener = &self.text[innermost.at..=innermost.at];
        let place = self.span(innermost.at, innermost.at + 1);
        let message = format!("this `{opener}` is not closed");
        let mut diagnostic = Diagnostic::at(&codes::UNCLOSED, place, message).says("opened here");
        for open in outer.iter().rev().take(2) {
            diagnostic = diagnostic.label(self.span(open.at, open.at + 1), "nor is this one");
        }
        let closers =
            std::iter::once(innermost).chain(outer.iter().rev()).map(|open| char::from(open.closer));
        let end = match outer {
            [] => self.clause_in(innermost.at).unwrap_or(self.last_token_end),
            _ => self.last_token_end,
        };
        self.diagnostics.push(diagnostic.fix(self.span(end, end), closers.collect::<String>()));
    }
}

#[cfg(test)]
mod tests;
