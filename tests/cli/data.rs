//! Data sets: mistakes are shown at the recipe's `data` line before anything is run.

use crate::program::Place;

/// A recipe with one data set, which nothing uses.
fn recipe(reader: &str) -> String {
    format!("model input = \"models/bert-eras\"\ndata calib = {reader}\ndrop layers[3]\nsave \"out\"\n")
}

fn check(reader: &str) -> crate::program::Ran {
    let place = Place::with(&recipe(reader));
    place.write("one.jsonl", "{\"text\": \"a\", \"label\": 0.5, \"other\": 7}\n");
    place.write("many/a-train.jsonl", "{\"text\": \"a\"}\n");
    place.write("many/b-train.csv", "text\na\n");
    place.write("many/test.txt", "a\n");
    place.write("empty.txt", "\n");
    place.write("broken.jsonl", "{\"text\": \n");
    place.write("packed.jsonl.gz", "");
    place.tamis("check x.tamis")
}

#[test]
fn a_data_set_that_is_as_the_recipe_says_is_no_mistake() {
    for reader in [
        "text(\"models/data/sotu-test.jsonl\", label: \"label_name\")",
        "text(\"models/data/sotu-test.txt\")",
        "text(\"many\", split: \"test\")",
        "image(\"models/data/fashion-mnist\", split: \"test\", samples: 200)",
    ] {
        let ran = check(reader);
        assert_eq!(ran.code, Some(0), "{reader}: {}", ran.stdout);
        assert!(ran.stdout.contains("warning[unused]"), "{}", ran.stdout);
    }
}

#[test]
fn mistakes_are_shown_at_the_data_line() {
    for (reader, exit, code, said) in [
        ("text(\"on.jsonl\")", 3, "data-missing", "there is `one.jsonl`"),
        ("text(\"many\")", 1, "data-split", "`split` says which"),
        ("text(\"many\", split: \"train\")", 1, "data-split", "`a-train.jsonl` and `b-train.csv`"),
        ("text(\"many\", split: \"valid\")", 1, "data-split", "has no `valid`"),
        ("text(\"one.jsonl\", split: \"train\")", 1, "data-split", "is one file"),
        ("text(\"one.jsonl\", field: \"txt\")", 1, "data-field", "did you mean `text`?"),
        ("text(\"one.jsonl\", field: \"other\")", 1, "data-field", "`other` is no text"),
        ("text(\"many/test.txt\", field: \"text\")", 1, "data-field", "plain text"),
        ("text(\"one.jsonl\", label: \"labl\")", 1, "data-label", "did you mean `label`?"),
        ("text(\"one.jsonl\", label: \"label\")", 1, "data-label", "neither a whole number"),
        ("text(\"empty.txt\")", 1, "data-too-few", "holds no text"),
        ("text(\"broken.jsonl\")", 3, "data-invalid", "line 1 of `broken.jsonl`"),
        ("text(\"packed.jsonl.gz\")", 3, "data-invalid", "unpack it"),
        ("tokens(\"one.jsonl\")", 3, "data-invalid", "no list of token ids"),
        ("tokens(\"many/test.txt\", samples: 0)", 1, "out-of-range", "from 1"),
        ("image(\"many\")", 1, "data-split", "neither IDX files nor folders"),
    ] {
        let ran = check(reader);
        assert_eq!(ran.code, Some(exit), "{reader}: {}", ran.stdout);
        for part in ["x.tamis:2:", said, &format!("error[{code}]")] {
            assert!(ran.stdout.contains(part), "{reader}: no {part} in {}", ran.stdout);
        }
    }
}

#[test]
fn a_name_of_refused_data_is_known_all_the_same() {
    let ran = check("text(\"nowhere.jsonl\")");
    assert_eq!((ran.code, ran.stdout.matches("error[").count()), (Some(3), 1), "{}", ran.stdout);
}

#[test]
fn what_was_found_on_data_counts_only_while_the_data_is_the_same() {
    let place = Place::with(
        "model input = \"models/bert-eras\"\n\
         data calib = text(\"calib.jsonl\", samples: 8, tokens: 32)\n\
         sparsify weights of layers[0..2].mlp by wanda(calib) to 2:4\n\
         save \"out\"\n",
    );
    let lines = place.read("models/data/sotu-train.jsonl");
    let calib = |from: usize| lines.lines().skip(from).take(8).collect::<Vec<_>>().join("\n");
    place.write("calib.jsonl", calib(0));
    let run = |more: &str| {
        let ran = place.tamis(&format!("run x.tamis{more}"));
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    };
    run("");
    let digest = |text: &str| {
        let digest = tamis::checkpoint::Digest::sha256(text.as_bytes());
        digest.to_string()
    };
    for name in ["out/tamis.lock", "out/provenance.json"] {
        let text = place.read(name);
        assert!(text.contains(&digest(&calib(0))) && text.contains("calib.jsonl"), "{name}: {text}");
    }
    assert!(place.tamis("verify out").fine().stdout.contains("as the provenance says"));
    // Other data under the same name: nothing of the first run is taken for it.
    place.write("calib.jsonl", calib(100));
    let ran = place.tamis("verify out");
    assert_eq!(ran.code, Some(0));
    assert!(
        ran.stderr.contains("warning[input-changed]") && ran.stderr.contains("calib.jsonl"),
        "{}",
        ran.stderr
    );
    run(" --out second");
    run(" --out third --no-cache");
    let weights = |name: &str| std::fs::read(place.path(name).join("model.safetensors")).unwrap();
    assert!(weights("second") == weights("third"));
    assert!(weights("second") != weights("out"));
    std::fs::remove_file(place.path("calib.jsonl")).unwrap();
    place.tamis("verify second").fine();
}
