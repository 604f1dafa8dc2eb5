//! Windows of a text in pieces are those of the text tokenized whole.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use proptest::prelude::{Just, Strategy, prop_oneof};
use proptest::{prop_assert_eq, proptest};
use serde_json::{Value, json};

use super::*;

/// What large models split words by, beside GPT-2's rule: a word may take a character before it, punctuation its newlines.
const LLAMA_3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models")
}

/// The tokenizer of a test model with other rules for words.
fn with_rules(normalizer: Value, pre_tokenizer: Value) -> Tokenizer {
    let text = std::fs::read(models().join("llama-sotu/tokenizer.json")).unwrap();
    let mut tokenizer: Value = serde_json::from_slice(&text).unwrap();
    tokenizer["normalizer"] = normalizer;
    tokenizer["pre_tokenizer"] = pre_tokenizer;
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    Tokenizer::open(dir.path()).unwrap()
}

static TOKENIZERS: LazyLock<Vec<Tokenizer>> = LazyLock::new(tokenizers);

/// Tokenizers that may be given pieces.
fn tokenizers() -> Vec<Tokenizer> {
    let bytes = |regex: bool| json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": regex });
    let sequence = |steps: Value| json!({ "type": "Sequence", "pretokenizers": steps });
    let split =
        json!({ "type": "Split", "pattern": { "Regex": LLAMA_3 }, "behavior": "Isolated", "invert": false });
    let digits = json!({ "type": "Digits", "individual_digits": true });
    vec![
        with_rules(Value::Null, bytes(true)),
        with_rules(Value::Null, sequence(json!([split, bytes(false)]))),
        with_rules(json!({ "type": "NFC" }), sequence(json!([digits, bytes(true)]))),
        with_rules(json!({ "type": "Lowercase" }), sequence(json!([{ "type": "Whitespace" }, bytes(false)]))),
    ]
}

fn text_of(text: &str, size: usize) -> Items<String> {
    let letters: Vec<char> = text.chars().collect();
    let pieces: Vec<_> = letters.chunks(size).map(|piece| Ok(piece.iter().collect())).collect();
    Box::new(pieces.into_iter())
}

fn in_pieces(tokenizer: &Tokenizer, text: &str, piece: usize) -> Vec<u32> {
    let windows = Windows::new(tokenizer.clone(), 1, text_of(text, 7.max(piece / 3)));
    let windows = Windows { piece, ..windows };
    windows.flat_map(|window| window.unwrap()).collect()
}

#[test]
fn real_text_in_pieces_is_the_text_tokenized_whole() {
    for name in ["sotu-train.txt", "sotu-test.jsonl"] {
        let text = std::fs::read_to_string(models().join("data").join(name)).unwrap();
        for (number, tokenizer) in TOKENIZERS.iter().enumerate() {
            let whole = tokenizer.running(&text).unwrap().get_ids().to_vec();
            assert!(tokenizer.is_local);
            for piece in [300, 5_000, PIECE] {
                assert_eq!(in_pieces(tokenizer, &text, piece), whole, "{name}, {piece}, tokenizer {number}");
            }
        }
    }
}

#[test]
fn a_tokenizer_that_sees_the_start_is_given_the_whole_text() {
    let rule =
        json!({ "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true });
    let tokenizer = with_rules(Value::Null, rule);
    assert!(!tokenizer.is_local);
    let text = "one two three four\nfive six ".repeat(40);
    let whole = tokenizer.running(&text).unwrap().get_ids().to_vec();
    let windows = Windows::new(tokenizer, 1, text_of(&text, 16));
    assert_eq!(windows.flat_map(|window| window.unwrap()).collect::<Vec<_>>(), whole);
}

/// Words, runs of blanks, numbers, punctuation, other scripts and the special token, in any order.
fn text() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        "[a-zA-Z]{1,8}",
        "[ \t\n\r]{1,4}",
        "[0-9]{1,6}",
        "[.,;'!?-]{1,3}",
        "(don't|we'll|naïve|e\u{301}|你好。|ΟΔΟΣ|🙂|<\\|endoftext\\|>)",
        Just(" ".to_owned()),
    ];
    proptest::collection::vec(word, 0..120).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 48, ..Default::default() })]
    #[test]
    fn any_text_in_pieces_is_the_text_tokenized_whole(text in text(), piece in 1..200_usize) {
        for (number, tokenizer) in TOKENIZERS.iter().enumerate() {
            let whole = tokenizer.running(&text).unwrap().get_ids().to_vec();
            prop_assert_eq!(in_pieces(tokenizer, &text, piece), whole, "tokenizer {}", number);
        }
    }
}

#[test]
fn what_fills_no_window_is_left_out() {
    let tokenizer = &TOKENIZERS[0];
    let text = "the people of the United States ".repeat(40);
    let all = tokenizer.running(&text).unwrap().len();
    let windows: Vec<Vec<u32>> =
        Windows::new(tokenizer.clone(), 7, text_of(&text, 64)).map(|window| window.unwrap()).collect();
    assert_eq!(windows.len(), all / 7);
    assert!(windows.iter().all(|window| window.len() == 7));
}

#[test]
fn no_more_is_read_than_needed() {
    let mut windows = Windows::new(TOKENIZERS[0].clone(), 7, text_of(&"one two ".repeat(400), 64));
    windows.piece = 64;
    windows.next().unwrap().unwrap();
    assert!(windows.text.count() > 40);
}
