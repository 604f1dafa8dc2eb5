//! As much of Rust's lexis as the other tests need: identifiers and punctuation without comments and strings.

/// An identifier, a number, `::` or one other character. Strings and characters are a single quote mark.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Token<'a> {
    pub text: &'a str,
    pub line: usize,
}

pub fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < text.len() {
        let (token, length) = lex(&text[at..]);
        tokens.extend(token.map(|text| Token { text, line }));
        line += text[at..at + length].matches('\n').count();
        at += length;
    }
    tokens
}

/// The tokens of a file that are compiled into the program: without items under `#[cfg(test)]`.
pub fn without_tests<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    const ATTRIBUTE: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if is(&tokens[at..], &ATTRIBUTE) {
            at += ATTRIBUTE.len() + item(&tokens[at + ATTRIBUTE.len()..]);
        } else {
            kept.push(tokens[at]);
            at += 1;
        }
    }
    kept
}

/// Whether the tokens begin with these.
pub fn is(tokens: &[Token], texts: &[&str]) -> bool {
    tokens.len() >= texts.len() && tokens.iter().zip(texts).all(|(token, text)| token.text == *text)
}

/// The lines where these tokens follow each other.
pub fn lines_with(tokens: &[Token], texts: &[&str]) -> Vec<usize> {
    (0..tokens.len()).filter(|&at| is(&tokens[at..], texts)).map(|at| tokens[at].line).collect()
}

/// How many tokens the next item has: up to its `;` or the end of its braces.
fn item(tokens: &[Token]) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token.text {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth -= 1,
            _ => {}
        }
        if depth == 0 && matches!(token.text, ";" | "}") {
            return at + 1;
        }
    }
    tokens.len()
}

/// The first token, if it is one for us, and its length in bytes.
fn lex(rest: &str) -> (Option<&str>, usize) {
    let word = rest.find(|char: char| !(char.is_alphanumeric() || char == '_')).unwrap_or(rest.len());
    if rest.starts_with("//") {
        (None, rest.find('\n').unwrap_or(rest.len()))
    } else if rest.starts_with("/*") {
        (None, comment(rest))
    } else if let Some(length) = string(rest, word).or_else(|| character(rest)) {
        (Some("\""), length)
    } else if word > 0 {
        (Some(&rest[..word]), word)
    } else if rest.starts_with("::") {
        (Some(&rest[..2]), 2)
    } else {
        let length = rest.chars().next().map_or(1, char::len_utf8);
        (Some(&rest[..length]).filter(|text| !text.trim().is_empty()), length)
    }
}

/// Block comments nest.
fn comment(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        match &rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] if depth == 1 => return at + 2,
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    rest.len()
}

/// The length of a string with the prefix that is `word` bytes long.
fn string(rest: &str, word: usize) -> Option<usize> {
    let (prefix, body) = rest.split_at(word);
    if !["", "b", "c", "r", "br", "cr"].contains(&prefix) {
        return None;
    }
    if prefix.ends_with('r') {
        let hashes = body.len() - body.trim_start_matches('#').len();
        let inner = body[hashes..].strip_prefix('"')?;
        let close = format!("\"{}", "#".repeat(hashes));
        return Some(inner.find(&close).map_or(rest.len(), |end| word + hashes + 1 + end + close.len()));
    }
    let inner = body.strip_prefix('"')?;
    Some(quoted(inner, b'"').map_or(rest.len(), |end| word + 1 + end))
}

/// The length of a character, not of a lifetime.
fn character(rest: &str) -> Option<usize> {
    let inner = rest.strip_prefix('\'')?;
    let mut chars = inner.chars();
    match (chars.next()?, chars.next()?) {
        ('\\', _) => quoted(inner, b'\'').map(|end| 1 + end),
        (char, '\'') => Some(2 + char.len_utf8()),
        _ => None,
    }
}

/// The bytes up to and with the closing quote mark.
fn quoted(inner: &str, close: u8) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in inner.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            _ if byte == close => return Some(at + 1),
            _ => {}
        }
    }
    None
}

fn words(text: &str) -> Vec<&str> {
    tokens(text).into_iter().map(|token| token.text).collect()
}

#[test]
fn comments_and_strings_are_no_code() {
    let text = "/* a /* b */ c */ d // e\nf(\"g \\\" h\", r#\"i \" j\"#, b'k', '\\'', '\"') 'l n";
    let all = ["d", "f", "(", "\"", ",", "\"", ",", "b", "\"", ",", "\"", ",", "\"", ")", "'", "l", "n"];
    assert_eq!(words(text), all);
}

#[test]
fn lines_are_counted_through_strings() {
    assert_eq!(lines_with(&tokens("\"a\nb\"\nc::d"), &["c", "::", "d"]), [3]);
}

#[test]
fn tests_are_taken_out_with_their_braces() {
    let text = "a; #[cfg(test)] mod tests { fn b() {} } c #[cfg(test)] use d::e; f";
    let all: Vec<&str> = without_tests(&tokens(text)).into_iter().map(|token| token.text).collect();
    assert_eq!(all, ["a", ";", "c", "f"]);
}
