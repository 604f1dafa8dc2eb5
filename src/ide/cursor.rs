//! What stands before a cursor, as words: it holds for a text that does not parse, and most texts under a cursor do not.
//!
//! ```text
//! prune heads of layers[*].att|
//! tokens: prune heads of layers [ * ] .        prefix: att
//! ```

use crate::syntax::{is_clause_word, is_statement_word};

/// A token of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub text: &'a str,
    pub start: usize,
    pub kind: TokenKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    Word,
    Number,
    /// With its quotes; the last one may lack its end.
    Text,
    /// Brackets, commas, operators.
    Sign,
}

/// The place of a cursor.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    /// What stands before it in its statement, without the word that it is in.
    pub tokens: Vec<Token<'a>>,
    /// The statement above, where the cursor begins a line that might go on with it.
    pub above: Vec<Token<'a>>,
    /// The begin of the word or text that the cursor is in.
    pub prefix: &'a str,
    pub start: usize,
    pub inside: Inside,
    /// Numbers of the tokens that opened brackets which are open here, the innermost last.
    pub open: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inside {
    Words,
    Text,
    Comment,
}

impl<'a> Cursor<'a> {
    pub fn at(text: &'a str, offset: usize) -> Self {
        let before = &text[..offset];
        let mut statements = statements(before);
        let mut tokens = statements.pop().unwrap_or_default();
        let nothing = Self {
            tokens: Vec::new(),
            above: Vec::new(),
            prefix: "",
            start: offset,
            inside: Inside::Words,
            open: Vec::new(),
        };
        if is_in_comment(before) {
            return Self { inside: Inside::Comment, ..nothing };
        }
        if let Some(last) = tokens.last().copied() {
            let touches = last.start + last.text.len() == offset;
            if touches && last.kind == TokenKind::Text && !is_closed(last.text) {
                tokens.pop();
                let open = open_brackets(&tokens);
                let start = last.start + 1;
                return Self {
                    tokens,
                    prefix: &before[start..],
                    start,
                    inside: Inside::Text,
                    open,
                    ..nothing
                };
            }
            if touches && last.kind == TokenKind::Word {
                tokens.pop();
                let above = if tokens.is_empty() { statements.pop().unwrap_or_default() } else { Vec::new() };
                let open = open_brackets(&tokens);
                return Self { tokens, above, prefix: last.text, start: last.start, open, ..nothing };
            }
        }
        let line = before.rfind('\n').map_or(0, |at| at + 1);
        let begins = tokens.last().is_some_and(|last| last.start < line) && before[line..].trim().is_empty();
        if begins && goes_on_alone(&tokens) && open_brackets(&tokens).is_empty() {
            return Self { above: tokens, ..nothing };
        }
        let open = open_brackets(&tokens);
        Self { tokens, open, ..nothing }
    }

    /// The token before the prefix.
    pub fn last(&self) -> Option<Token<'a>> {
        self.tokens.last().copied()
    }

    /// The words that begin and lead the statement.
    pub fn word(&self, at: usize) -> &'a str {
        self.tokens.get(at).map_or("", |token| token.text)
    }
}

/// Whether a statement's last token lets it end with its line: no comma and no operator.
fn goes_on_alone(tokens: &[Token<'_>]) -> bool {
    tokens.last().is_none_or(|last| !matches!(last.text, "," | "+" | "-" | "/" | "="))
}

/// Tokens that opened brackets which are not closed.
fn open_brackets(tokens: &[Token<'_>]) -> Vec<usize> {
    let mut open = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        match token.text {
            "(" | "[" | "{" => open.push(at),
            ")" | "]" | "}" => drop(open.pop()),
            _ => {}
        }
    }
    open
}

/// The statements of a text. What a sweep's braces hold are statements of their own.
pub(super) fn statements(text: &str) -> Vec<Vec<Token<'_>>> {
    let mut statements: Vec<Vec<Token<'_>>> = Vec::new();
    let mut current: Vec<Token<'_>> = Vec::new();
    let mut depth = 0_usize;
    let mut line_break = false;
    let mut line = 0;
    for lexed in lex(text) {
        let token = match lexed {
            Lexed::Newline(at) => {
                line_break = true;
                line = at + 1;
                continue;
            }
            Lexed::Token(token) => token,
        };
        let leaves =
            depth > 0 && token.start - line <= indent(text, &current) && begins_statement(text, &token);
        let ends = match current.last() {
            None => false,
            Some(_) if leaves => true,
            Some(_) if depth > 0 => false,
            Some(last) => !is_clause_word(token.text) && !matches!(last.text, "," | "+" | "-" | "/" | "="),
        };
        if line_break && ends {
            statements.push(std::mem::take(&mut current));
            depth = 0;
        }
        line_break = false;
        let is_sweep = current.first().is_some_and(|first| first.text == "sweep");
        match token.text {
            "{" if is_sweep && depth == 0 => {
                current.push(token);
                statements.push(std::mem::take(&mut current));
                continue;
            }
            "}" if depth == 0 => {
                if !current.is_empty() {
                    statements.push(std::mem::take(&mut current));
                }
                continue;
            }
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        current.push(token);
    }
    statements.push(current);
    statements
}

/// Whether a line that begins with this token looks like a statement, though a bracket above is open: a word before a word.
fn begins_statement(text: &str, token: &Token<'_>) -> bool {
    let behind = text[token.start + token.text.len()..].trim_start_matches([' ', '\t']);
    let is_followed = behind.starts_with(|first: char| first.is_ascii_alphabetic());
    token.kind == TokenKind::Word
        && (is_followed || (is_statement_word(token.text) && behind.starts_with('"')))
}

/// Columns before the first token of a statement.
fn indent(text: &str, tokens: &[Token<'_>]) -> usize {
    let Some(first) = tokens.first() else { return 0 };
    first.start - text[..first.start].rfind('\n').map_or(0, |at| at + 1)
}

enum Lexed<'a> {
    Newline(usize),
    Token(Token<'a>),
}

fn lex(text: &str) -> impl Iterator<Item = Lexed<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let rest = &text[at..];
            let first = rest.chars().next()?;
            let start = at;
            let (len, kind) = match first {
                '\n' => {
                    at += 1;
                    return Some(Lexed::Newline(start));
                }
                '#' => {
                    at += rest.find('\n').unwrap_or(rest.len());
                    continue;
                }
                '"' => (text_len(rest), TokenKind::Text),
                _ if first.is_ascii_alphabetic() || first == '_' => (run(rest, is_word), TokenKind::Word),
                // `0..6` is a number, two points and a number.
                _ if first.is_ascii_digit() => (number_len(rest), TokenKind::Number),
                _ if first.is_whitespace() => {
                    at += first.len_utf8();
                    continue;
                }
                _ => (first.len_utf8(), TokenKind::Sign),
            };
            at += len;
            return Some(Lexed::Token(Token { text: &rest[..len], start, kind }));
        }
    })
}

fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

fn run(text: &str, fits: impl Fn(char) -> bool) -> usize {
    text.find(|letter| !fits(letter)).unwrap_or(text.len())
}

fn number_len(text: &str) -> usize {
    let whole = run(text, is_word);
    let rest = &text[whole..];
    let fraction = match rest.strip_prefix('.') {
        Some(digits) if digits.starts_with(|digit: char| digit.is_ascii_digit()) => 1 + run(digits, is_word),
        _ => 0,
    };
    let percent = usize::from(text[whole + fraction..].starts_with('%'));
    whole + fraction + percent
}

/// A text up to its closing quote, or to the end of its line.
fn text_len(text: &str) -> usize {
    let mut escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            '\n' => return at,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn is_closed(text: &str) -> bool {
    let inner = &text[1..];
    let Some(body) = inner.strip_suffix('"') else { return false };
    body.chars().rev().take_while(|&letter| letter == '\\').count().is_multiple_of(2)
}

/// Whether a comment is open at the end of a text.
fn is_in_comment(text: &str) -> bool {
    let line = &text[text.rfind('\n').map_or(0, |at| at + 1)..];
    let mut at = 0;
    while let Some(found) = line[at..].find(['"', '#']) {
        at += found;
        if line[at..].starts_with('#') {
            return true;
        }
        at += text_len(&line[at..]);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> (String, String, String) {
        let cursor = Cursor::at(text, text.len());
        let join = |tokens: &[Token<'_>]| tokens.iter().map(|token| token.text).collect::<Vec<_>>().join(" ");
        (join(&cursor.tokens), join(&cursor.above), cursor.prefix.to_owned())
    }

    #[test]
    fn the_word_under_the_cursor_is_no_token() {
        let (tokens, above, prefix) = words("let a = 1\nprune heads of layers[*].att");
        assert_eq!(
            (tokens.as_str(), above.as_str(), prefix.as_str()),
            ("prune heads of layers [ * ] .", "", "att")
        );
    }

    #[test]
    fn a_line_that_begins_may_go_on_with_the_statement_above() {
        assert_eq!(words("prune heads\n  b"), (String::new(), "prune heads".into(), "b".into()));
        assert_eq!(words("prune heads\n  "), (String::new(), "prune heads".into(), String::new()));
        assert_eq!(words("prune heads\n  by m"), ("prune heads by".into(), String::new(), "m".into()));
        assert_eq!(words("prune heads,\n  "), ("prune heads ,".into(), String::new(), String::new()));
    }

    #[test]
    fn statements_of_a_sweep_are_statements() {
        let (tokens, above, _) = words("sweep r in [1, 2] {\n  drop layers remove r\n  sa");
        assert_eq!((tokens.as_str(), above.as_str()), ("", "drop layers remove r"));
    }

    #[test]
    fn an_open_bracket_does_not_swallow_what_comes_below() {
        assert_eq!(words("data x = text(\nsave \"a\" wi").0, "save \"a\"");
        assert_eq!(words("data x = text(\"a\nprune heads of lay").0, "prune heads of");
        assert_eq!(words("data x = text(\nfield: \"a\", se").0, "data x = text ( field : \"a\" ,");
    }

    #[test]
    fn texts_and_comments_are_told_apart() {
        let inside = |text: &str| Cursor::at(text, text.len()).inside;
        assert_eq!(inside("save \"a # b"), Inside::Text);
        assert_eq!(inside("save \"a\" # b"), Inside::Comment);
        assert_eq!(inside("save \"a\\\" # b"), Inside::Text);
        assert_eq!(inside("save \"a\" "), Inside::Words);
        let cursor = Cursor::at("use \"../com", 11);
        assert_eq!((cursor.prefix, cursor.start), ("../com", 5));
        assert_eq!(inside("use \"a\nuse "), Inside::Words, "a text ends with its line");
    }
}
