//! Running text cut into windows of equally many tokens, side by side.
//!
//! The text comes in pieces, and what is tokenized at once ends between two words. The windows are those of the text tokenized
//! whole: a cut is a place where the tokenizer, which saw more of the text, itself began a word, and tokens never cross words.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use tokenizers::Encoding;

use super::tokenizer::Tokenizer;
use crate::diagnostic::Diagnostic;
use crate::readers::draw::Items;

/// Bytes that are tokenized at once.
const PIECE: usize = 1 << 16;

/// Tokens of a text, so many at a time. What fills no window is left out.
pub struct Windows {
    tokenizer: Tokenizer,
    length: usize,
    text: Items<String>,
    /// Text that is not tokenized yet.
    pending: String,
    /// How much text is waited for before the next piece is tokenized.
    piece: usize,
    ended: bool,
    tokens: VecDeque<u32>,
}

impl Windows {
    pub fn new(tokenizer: Tokenizer, length: usize, text: Items<String>) -> Self {
        let piece = if tokenizer.is_local { PIECE } else { usize::MAX };
        Self { tokenizer, length, text, pending: String::new(), piece, ended: false, tokens: VecDeque::new() }
    }

    /// Tokenizes a piece more.
    fn advance(&mut self) -> Result<(), Diagnostic> {
        let mut wanted = self.piece;
        loop {
            while self.pending.len() < wanted && !self.ended {
                match self.text.next() {
                    Some(text) => self.pending.push_str(&text?),
                    None => self.ended = true,
                }
            }
            let encoded = self.tokenizer.running(&self.pending)?;
            if self.ended {
                self.tokens.extend(encoded.get_ids());
                self.pending.clear();
                return Ok(());
            }
            if let Some((tokens, end)) = last_cut(&self.pending, &encoded) {
                self.tokens.extend(&encoded.get_ids()[..tokens]);
                self.pending.drain(..end);
                return Ok(());
            }
            // A text without words: more of it may have some.
            wanted = self.pending.len().saturating_mul(2);
        }
    }
}

impl Iterator for Windows {
    type Item = Result<Vec<u32>, Diagnostic>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.tokens.len() < self.length && !self.ended {
            if let Err(error) = self.advance() {
                self.ended = true;
                self.tokens.clear();
                return Some(Err(error));
            }
        }
        (self.tokens.len() >= self.length).then(|| Ok(self.tokens.drain(..self.length).collect()))
    }
}

/// The last place where the text may be cut: how many tokens stand before it, and its bytes.
///
/// It is before a single space between two letters, or after a newline and before a letter, where a word begins. Behind it
/// stands at least a word more, whose end the tokenizer has seen too.
fn last_cut(text: &str, encoded: &Encoding) -> Option<(usize, usize)> {
    let (words, places) = (encoded.get_word_ids(), encoded.get_offsets());
    let mut seen = 0;
    for at in (1..words.len()).rev() {
        if words[at] == words[at - 1] {
            continue;
        }
        // The end of the piece may have cut the last words short.
        seen += 1;
        let (before, after) = (places[at - 1].1, places[at].0);
        if seen > 2
            && before <= after
            && let Some(cut) = cut_between(text, before, after)
        {
            return Some((at, cut));
        }
    }
    None
}

/// A place between the end of one token and the beginning of the next, of which either may leave spaces out.
fn cut_between(text: &str, before: usize, after: usize) -> Option<usize> {
    let letter = |letter: Option<char>| letter.is_some_and(char::is_alphabetic);
    let is_cut = |at: usize| {
        let (left, right) = (text.get(..at)?, text.get(at..)?);
        let at_space =
            letter(left.chars().next_back()) && right.starts_with(' ') && letter(right[1..].chars().next());
        let at_line = left.ends_with('\n') && letter(right.chars().next());
        (at_space || at_line).then_some(at)
    };
    (before..=after).find_map(is_cut)
}
