//! Places as the protocol counts them: lines from 0, and UTF-16 units within a line.

use gen_lsp_types::{Position, Range};

/// Where the lines of a text begin.
#[derive(Debug, Clone)]
pub struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    /// Lines end with a line feed, a carriage return, or both.
    pub fn of(text: &str) -> Self {
        let bytes = text.as_bytes();
        let ends =
            |&(at, byte): &(usize, u8)| byte == b'\n' || (byte == b'\r' && bytes.get(at + 1) != Some(&b'\n'));
        let after = bytes.iter().copied().enumerate().filter(ends).map(|(at, _)| at + 1);
        Self { starts: std::iter::once(0).chain(after).collect() }
    }

    /// The byte of a position; what lies behind the end of a line or of the text is its end.
    pub fn offset(&self, text: &str, position: Position) -> usize {
        let Some(&start) = self.starts.get(position.line as usize) else { return text.len() };
        let end = self.starts.get(position.line as usize + 1).copied().unwrap_or(text.len());
        let line = text[start..end].trim_end_matches(['\n', '\r']);
        let mut units = 0;
        for (at, letter) in line.char_indices() {
            units += letter.len_utf16();
            if units > position.character as usize {
                return start + at;
            }
        }
        start + line.len()
    }

    /// The position of a byte.
    pub fn position(&self, text: &str, offset: usize) -> Position {
        let mut offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = self.starts.partition_point(|&start| start <= offset) - 1;
        let units = text[self.starts[line]..offset].chars().map(char::len_utf16).sum::<usize>();
        Position { line: as_u32(line), character: as_u32(units) }
    }

    pub fn range(&self, text: &str, start: usize, end: usize) -> Range {
        Range { start: self.position(text, start), end: self.position(text, end) }
    }
}

pub fn as_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(line: u32, character: u32) -> Position {
        Position { line, character }
    }

    #[test]
    fn characters_beyond_16_bits_count_twice() {
        let text = "a😀é\r\nb\rc";
        let lines = Lines::of(text);
        assert_eq!(lines.position(text, 5), at(0, 3));
        assert_eq!(lines.position(text, 7), at(0, 4));
        assert_eq!(lines.offset(text, at(0, 3)), 5);
        assert_eq!(lines.offset(text, at(0, 2)), 1, "the middle of a pair is its begin");
        assert_eq!(lines.offset(text, at(0, 99)), 7);
        assert_eq!(lines.offset(text, at(2, 0)), 11);
        assert_eq!(lines.offset(text, at(9, 9)), text.len());
    }

    proptest! {
        #[test]
        fn every_place_between_characters_comes_back(text in "(?s)[a-b😀é\n\r]{0,40}") {
            let lines = Lines::of(&text);
            for (offset, _) in text.char_indices().chain([(text.len(), ' ')]) {
                // Between a carriage return and its line feed there is no position.
                if text.as_bytes().get(offset) == Some(&b'\n') && offset > 0 && text.as_bytes()[offset - 1] == b'\r' {
                    continue;
                }
                prop_assert_eq!(lines.offset(&text, lines.position(&text, offset)), offset);
            }
        }

        #[test]
        fn any_position_is_a_place_in_the_text(text in "(?s).{0,30}", line in 0_u32..9, character in 0_u32..40) {
            let lines = Lines::of(&text);
            prop_assert!(text.is_char_boundary(lines.offset(&text, at(line, character))));
        }
    }
}
