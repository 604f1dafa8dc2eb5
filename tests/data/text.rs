//! Tokens of text.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tamis::pass::For;

use crate::support::{data, file, golden, model, refused, samples, takes, tokens};

fn told(rows: &[Vec<u32>]) -> Value {
    let bytes: Vec<u8> = rows.iter().flatten().flat_map(|token| token.to_le_bytes()).collect();
    let sha256: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let first: Vec<u32> = rows[0].iter().take(40).copied().collect();
    json!({ "count": rows.len(), "tokens": bytes.len() / 4, "sha256": sha256, "first": first })
}

#[test]
fn a_language_models_windows_are_those_of_the_text_tokenized_whole() {
    let dir = file("llama-sotu");
    let model = For { causal: true, positions: Some(256), ..model(dir.as_ref()) };
    for (name, length, golden_name) in [("sotu-train.txt", 128, "txt"), ("sotu-train.jsonl", 64, "jsonl")] {
        let call =
            |more: &str| format!("text(\"{}\", tokens: {length}{more})", file(&format!("data/{name}")));
        let all = tokens(samples(&data(&call("")), &model).unwrap());
        assert_eq!(told(&all), golden()["windows"][golden_name]);
        let some = tokens(samples(&data(&call(", samples: 5")), &model).unwrap());
        assert_eq!(some, all[..5]);
    }
}

#[test]
fn windows_are_as_long_as_the_model_takes_where_nothing_is_said() {
    let (dir, text) = (file("llama-sotu"), file("data/sotu-train.txt"));
    let of = |positions| {
        let model = For { causal: true, positions, ..model(dir.as_ref()) };
        tokens(samples(&data(&format!("text(\"{text}\", samples: 1)")), &model).unwrap())[0].len()
    };
    assert_eq!([of(Some(256)), of(Some(2048)), of(None)], [256, 512, 512]);
}

#[test]
fn an_encoders_sentences_have_special_tokens_and_are_cut() {
    let dir = file("bert-eras");
    let call = |more: &str| format!("text(\"{}\"{more})", file("data/sotu-test.jsonl"));
    let model = For { positions: Some(128), ..model(dir.as_ref()) };
    let short = samples(&data(&call(", tokens: 32, label: \"label\"")), &model).unwrap();
    let labels: Vec<usize> = short.iter().take(40).map(|sample| sample.label.unwrap()).collect();
    assert_eq!(json!(labels), golden()["sentences"]["labels"]);
    assert_eq!(told(&tokens(short)), golden()["sentences"]["short"]);
    let whole = samples(&data(&call("")), &model).unwrap();
    assert!(whole.iter().all(|sample| sample.label.is_none()));
    assert_eq!(told(&tokens(whole)), golden()["sentences"]["whole"]);
}

#[test]
fn a_label_may_be_a_name_that_the_config_knows() {
    let dir = file("bert-eras");
    let of = |label: &str| {
        let call = format!("text(\"{}\", label: \"{label}\", tokens: 8)", file("data/sotu-test.jsonl"));
        let samples = samples(&data(&call), &model(dir.as_ref())).unwrap();
        samples.into_iter().map(|sample| sample.label.unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(of("label_name"), of("label"));
    // Another model knows no such names.
    let other = file("llama-sotu");
    let call = format!("text(\"{}\", label: \"label_name\")", file("data/sotu-test.jsonl"));
    let error = refused(&data(&call), &model(other.as_ref()));
    assert_eq!(error.code.name, "data-label");
    assert!(error.message.contains("in line 1 of"), "{}", error.message);
}

#[test]
fn the_form_of_a_file_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let bert = file("bert-eras");
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let json =
        write("x.jsonl", "{\"s\": \"one \\\"two\\\"\", \"y\": 1}\r\n\n{\"y\": \"2\", \"s\": \"three\"}");
    let csv = write("x.csv", "\u{feff}y,s\n1,\"one \"\"two\"\"\"\n2,three\n");
    let tsv = write("x.tsv", "s\ty\none \"\"two\"\"\t1\nthree\t2\n");
    let plain = write("x.txt", "one \"two\"\n\n  \nthree\r\n");
    let of = |call: &str| samples(&data(call), &model(bert.as_ref())).unwrap();
    let expected = of(&format!("text(\"{json}\", field: \"s\", label: \"y\")"));
    assert_eq!(expected.iter().map(|sample| sample.label).collect::<Vec<_>>(), [Some(1), Some(2)]);
    assert_eq!(of(&format!("text(\"{csv}\", field: \"s\", label: \"y\")")), expected);
    assert_eq!(tokens(of(&format!("text(\"{plain}\")"))), tokens(expected.clone()));
    let shuffled =
        |path: &str| of(&format!("text(\"{path}\", field: \"s\", label: \"y\", shuffle: true, seed: 3)"));
    assert_eq!(shuffled(&json), shuffled(&csv));
    assert_eq!(shuffled(&json).len(), 2);
    assert!(data(&format!("text(\"{tsv}\", field: \"s\", label: \"y\")")).reader.look().is_ok());
}

#[test]
fn what_does_not_fit_the_model_is_refused_at_the_argument() {
    let (llama, bert) = (file("llama-sotu"), file("bert-eras"));
    let path = file("data/sotu-train.jsonl");
    let causal = For { causal: true, positions: Some(256), ..model(llama.as_ref()) };
    let encoder = For { positions: Some(128), ..model(bert.as_ref()) };
    let pictures = For { picture: Some(takes(1)), ..model(bert.as_ref()) };
    let without = For { dir: "nowhere".as_ref(), ..encoder };
    for (call, model, code, said) in [
        (format!("text(\"{path}\", tokens: 257)"), causal, "data-unfit", "256 tokens"),
        (format!("text(\"{path}\", tokens: 129)"), encoder, "data-unfit", "128 tokens"),
        (format!("text(\"{path}\", tokens: 2)"), encoder, "data-unfit", "special"),
        (format!("text(\"{path}\")"), pictures, "data-unfit", "pictures"),
        (format!("text(\"{path}\")"), without, "tokenizer-missing", "tokenizer.json"),
        (format!("text(\"{path}\", samples: 361)"), encoder, "data-too-few", "are 360 samples"),
        (format!("text(\"{path}\", samples: 140, tokens: 256)"), causal, "data-too-few", "are 139 samples"),
        (
            format!("text(\"{path}\", samples: 361, shuffle: true)"),
            encoder,
            "data-too-few",
            "are 360 samples",
        ),
    ] {
        let error = refused(&data(&call), &model);
        assert_eq!(error.code.name, code, "{call}: {}", error.message);
        assert!(error.message.contains(said), "{call}: {}", error.message);
        assert!(error.place.is_some(), "{call}");
    }
}

#[test]
fn damage_is_told_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let bert = file("bert-eras");
    for (name, bytes, code, said) in [
        ("a.jsonl", &b"{\"text\": \"a\"}\n{\"text\": }\n"[..], "data-invalid", "line 2"),
        ("b.jsonl", b"{\"text\": \"a\"}\n\n{\"text\": \"\"}\n", "data-invalid", "line 3 of"),
        ("c.jsonl", b"{\"text\": \"a\"}\n{\"text\": 3}\n", "data-field", "line 2"),
        ("d.jsonl", b"{\"text\": \"a\"}\n{\"txt\": \"b\"}\n", "data-field", "line 2"),
        ("e.txt", b"a\nb\n\xff\n", "data-invalid", "line 3"),
        ("f.csv", b"text,y\na,1\nb\n", "data-invalid", "line 3"),
        ("g.csv", b"text\na\n\xff\n", "data-invalid", "line 3"),
    ] {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let data = data(&format!("text(\"{}\")", path.display()));
        assert!(data.reader.look().is_ok(), "{name}: the first record is fine");
        let error = refused(&data, &model(bert.as_ref()));
        assert_eq!(error.code.name, code, "{name}: {}", error.message);
        assert!(error.message.contains(said), "{name}: {}", error.message);
    }
    let llama = file("llama-sotu");
    let causal = For { causal: true, ..model(llama.as_ref()) };
    let error = refused(&data(&format!("text(\"{}\")", dir.path().join("e.txt").display())), &causal);
    assert!(error.message.contains("line 3"), "{}", error.message);
}
