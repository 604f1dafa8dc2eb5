//! Characters that the language has no use for: typographic quotes, `≤`, letters with accents.

use super::{Previous, Scan, is_ident_byte};
use crate::diagnostic::{Diagnostic, codes};

/// What was meant by a character that word processors and papers use. No longer than the character itself.
fn meant(character: char) -> Option<&'static str> {
    Some(match character {
        '≤' | '⩽' => "<=",
        '≥' | '⩾' => ">=",
        '–' | '—' | '−' | '‐' | '‑' => "-",
        '×' | '·' | '⋅' => "*",
        '÷' => "/",
        '…' => "..",
        ';' | '\u{200b}' | '\u{feff}' => "",
        _ if character.is_whitespace() => " ",
        _ => return None,
    })
}

/// The quote that closes what this one opens.
fn closing_quote(character: char) -> Option<char> {
    match character {
        '“' | '”' | '„' => Some('”'),
        '‘' | '’' | '‚' => Some('’'),
        '«' => Some('»'),
        '\'' | '`' => Some(character),
        _ => None,
    }
}

impl Scan<'_> {
    /// Any character that is part of no word, bracket, text or comment.
    pub(super) fn character(&mut self) {
        let character = self.text[self.at..].chars().next().expect("the caller peeked");
        let len = character.len_utf8();
        if character == '\u{feff}' && self.at == 0 {
            self.blank(0, len);
            self.at = len;
        } else if let Some(replacement) = meant(character) {
            self.replace(character, replacement);
        } else if let Some(closing) = closing_quote(character) {
            self.wrong_quotes(character, closing);
        } else if character.is_ascii() && !character.is_ascii_control() {
            self.advance(len, Previous::Other);
        } else {
            self.unknown(character);
        }
    }

    fn replace(&mut self, character: char, replacement: &str) {
        let place = self.span(self.at, self.at + character.len_utf8());
        let (message, help) = match replacement {
            "" if character == ';' => {
                ("no `;` ends a statement".to_owned(), "the end of the line does".to_owned())
            }
            "" | " " => {
                let message = format!("an invisible character, U+{:04X}", u32::from(character));
                (message, "delete it, or write a space".to_owned())
            }
            _ => (format!("`{character}` is not of the language"), format!("write `{replacement}`")),
        };
        self.diagnostics
            .push(Diagnostic::at(&codes::BAD_CHARACTER, place, message).help(help).fix(place, replacement));
        self.blank(place.start, place.end);
        self.out[self.at..self.at + replacement.len()].copy_from_slice(replacement.as_bytes());
        let previous = if matches!(replacement, "" | " ") { self.previous } else { Previous::Other };
        self.advance(character.len_utf8(), previous);
    }

    fn wrong_quotes(&mut self, opening: char, closing: char) {
        let rest = &self.text[self.at..];
        let line = rest[..rest.find('\n').unwrap_or(rest.len())].trim_end();
        let inner = &line[opening.len_utf8()..];
        let end = inner.find([closing, opening, '"']);
        let message = format!("a text stands in `\"`, not in `{opening}`");
        let Some(end) = end else {
            let place = self.span(self.at, self.at + opening.len_utf8());
            self.diagnostics.push(Diagnostic::at(&codes::BAD_TEXT, place, message));
            return self.poison_line(self.at, self.at + line.len());
        };
        let closing = inner[end..].chars().next().map_or(0, char::len_utf8);
        let place = self.span(self.at, self.at + opening.len_utf8() + end + closing);
        let mended = format!("\"{}\"", &inner[..end]);
        self.diagnostics.push(
            Diagnostic::at(&codes::BAD_TEXT, place, message)
                .help(format!("write `{mended}`"))
                .fix(place, mended),
        );
        self.poison(place.start, place.end);
        self.advance(place.len(), Previous::Operand);
    }

    /// Takes the whole word that the character stands in, so that `größe` is one mistake.
    fn unknown(&mut self, character: char) {
        let word = |c: char| if c.is_ascii() { is_ident_byte(c as u8) } else { c.is_alphanumeric() };
        let rest = &self.text[self.at..];
        let len = rest.find(|c| !word(c)).unwrap_or(rest.len()).max(character.len_utf8());
        let start = self.text[..self.at].trim_end_matches(word).len();
        let place = self.span(start, self.at + len);
        let diagnostic = if character.is_control() {
            let message = format!("a control character, U+{:04X}", u32::from(character));
            Diagnostic::at(&codes::BAD_CHARACTER, place, message)
        } else {
            let message = format!("`{character}` can stand in texts and comments only");
            Diagnostic::at(&codes::BAD_CHARACTER, place, message)
                .help("names are made of the letters a to z, digits and `_`")
        };
        self.diagnostics.push(diagnostic);
        self.poison(place.start, place.end);
        self.advance(len, Previous::Operand);
    }
}
