//! Steps and measures that look at the model at work: what they leave, and what they say of models and data that do not do.

use crate::program::{Place, ran};

const TEXT: &str = "data calib = text(\"models/data/sotu-train.txt\", samples: 8, tokens: 64)\n\
                    data test = text(\"models/data/sotu-test.txt\", samples: 16, tokens: 64)\n";
const LABELLED: &str = "data train = text(\"models/data/sotu-train.jsonl\", label: \"label\", samples: 64)\n\
                        data test = text(\"models/data/sotu-test.jsonl\", label: \"label\", samples: 128)\n";

/// The measures of a recipe's steps on a model, in order.
fn measured(model: &str, data: &str, steps: &str) -> Vec<f64> {
    let place = Place::with(&format!("model input = \"models/{model}\"\n{data}{steps}\nsave \"out\"\n"));
    let ran = place.tamis("run x.tamis");
    assert_eq!(ran.code, Some(0), "{steps}: {}", ran.stderr);
    let report: serde_json::Value = serde_json::from_str(&place.read("out/report.json")).expect("a report");
    let measures = report["measures"].as_array().expect("measures are listed");
    measures.iter().map(|measure| measure["value"].as_f64().expect("a number")).collect()
}

#[test]
fn of_zeros_at_2_4_sparsegpt_costs_least_and_magnitude_most() {
    let perplexity = |criterion: &str| {
        let steps = format!("sparsify weights of layers[*] by {criterion} to 2:4\nmeasure perplexity(test)");
        measured("llama-sotu", TEXT, &steps)[0]
    };
    let (magnitude, wanda, sparsegpt) =
        (perplexity("magnitude"), perplexity("wanda(calib)"), perplexity("sparsegpt(calib)"));
    assert!(sparsegpt < wanda && wanda < magnitude, "{sparsegpt}, {wanda}, {magnitude}");
}

#[test]
fn fisher_and_optin_keep_more_of_a_classifier_than_chance() {
    let accuracy = |criterion: &str| {
        let steps =
            format!("prune heads, neurons of layers[*] by {criterion} to 60% flops\nmeasure accuracy(test)");
        measured("bert-eras", LABELLED, &steps)[0]
    };
    let random = accuracy("random");
    let (fisher, optin) = (accuracy("fisher(train)"), accuracy("optin(train, samples: 8, rows: 256)"));
    assert!(fisher > random && optin > random, "fisher {fisher}, optin {optin}, random {random}");
}

#[test]
fn a_model_that_was_not_changed_answers_as_it_did() {
    let measures = "measure accuracy(test), loss(test), cosine(test), agreement(test), kl(test)";
    let found = measured("bert-eras", LABELLED, measures);
    assert!(found[0] > 0.6 && found[1] < 1.2, "{found:?}");
    assert!((found[2] - 1.0).abs() < 1e-9 && found[3] == 1.0 && found[4].abs() < 1e-9, "{found:?}");
}

#[test]
fn measures_are_taken_of_any_model() {
    let place = Place::new();
    let data = "test = image(\"models/data/fashion-mnist\", split: \"t10k\")";
    let ran = ran(place
        .command(&["eval", "models/vit-fashion", "--data", data, "--measure", "accuracy(test)"])
        .output()
        .expect("the program starts"));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("89 %"), "{}", ran.stdout);
}

#[test]
fn what_cannot_be_taken_says_why() {
    let no_labels = "data test = text(\"models/data/sotu-test.jsonl\", samples: 4)\nmeasure accuracy(test)";
    for (model, steps, code, said) in [
        ("bert-eras", no_labels, "no-loss", "have no labels"),
        (
            "bert-eras",
            "data test = text(\"models/data/sotu-test.jsonl\", samples: 4)\nmeasure perplexity(test)",
            "no-loss",
            "predicts no next token",
        ),
        (
            "llama-sotu",
            "data calib = tokens(\"ids.jsonl\")\nprune vocab by random keep 50%\n\
             sparsify weights of layers[*] by wanda(calib) to 2:4",
            "sample-misfit",
            "token 2000 is not among the model's 1024",
        ),
        (
            "bert-eras",
            "data test = text(\"labels.jsonl\", label: \"label\")\nmeasure accuracy(test)",
            "data-label",
            "sample 1 has the label 9, and the model 4 classes",
        ),
        (
            "bert-eras",
            "data train = text(\"labels.jsonl\", label: \"label\")\nprune heads by fisher(train) keep 50%",
            "data-label",
            "sample 1 has the label 9",
        ),
    ] {
        let place = Place::with(&format!("model input = \"models/{model}\"\n{steps}\nsave \"out\"\n"));
        place.write(
            "labels.jsonl",
            "{\"text\": \"war\", \"label\": 0}\n{\"text\": \"peace\", \"label\": 9}\n",
        );
        place.write("ids.jsonl", "[1, 2, 2000]\n");
        let ran = place.tamis("run x.tamis");
        assert_ne!(ran.code, Some(0), "{steps}");
        for part in [said, &format!("error[{code}]")] {
            assert!(ran.stderr.contains(part), "{steps}: no {part} in {}", ran.stderr);
        }
        assert!(!place.path("out").exists(), "nothing is left of a run that failed");
    }
}

#[test]
fn a_tokenizer_that_cannot_be_read_is_named() {
    let place = Place::with(
        "model input = \"broken\"\ndata test = text(\"models/data/sotu-test.txt\", samples: 1, tokens: 8)\n\
         measure loss(test)\ncast weights to f32\nsave \"out\"\n",
    );
    copy_model(&place);
    place.write("broken/tokenizer.json", "{\"version\": ");
    place.tamis("run x.tamis").fails(3, "tokenizer-invalid");
}

/// `llama-sotu`, as `broken`.
fn copy_model(place: &Place) {
    std::fs::create_dir(place.path("broken")).unwrap();
    for file in std::fs::read_dir(place.path("models/llama-sotu")).unwrap().flatten() {
        std::fs::copy(file.path(), place.path("broken").join(file.file_name())).unwrap();
    }
}

/// Weights that are finite, and answers that are not.
#[test]
fn answers_that_are_not_finite_are_no_measure() {
    let place = Place::new();
    copy_model(&place);
    let weights = place.path("broken/model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    // 2^60 in bf16, everywhere: products of queries and keys are infinite.
    bytes[header..].chunks_exact_mut(2).for_each(|half| half.copy_from_slice(&0x5d80u16.to_le_bytes()));
    std::fs::write(&weights, bytes).unwrap();
    place.write(
        "x.tamis",
        "model input = \"broken\"\ndata test = text(\"models/data/sotu-test.txt\", samples: 1, tokens: 8)\n\
         measure loss(test)\ncast weights to f32\nsave \"out\"\n",
    );
    let ran = place.tamis("run x.tamis");
    assert_ne!(ran.code, Some(0));
    assert!(ran.stderr.contains("error[answers-not-finite]"), "{}", ran.stderr);
}

#[test]
fn threads_do_not_change_what_is_found() {
    let written = |threads: &str, steps: &str| {
        let place =
            Place::with(&format!("model input = \"models/llama-sotu\"\n{TEXT}{steps}\nsave \"out\"\n"));
        let mut command = place.command(&["run", "x.tamis", "--no-cache"]);
        let ran = command.env("RAYON_NUM_THREADS", threads).output().expect("tamis runs");
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        std::fs::read(place.path("out/model.safetensors")).expect("weights were written")
    };
    let zeros = "prune neurons of layers[*] by fisher(calib) keep 50%\n\
                 sparsify weights of layers[*] by sparsegpt(calib) to 2:4";
    let repairs = "prune heads, neurons of layers[*] by fisher(calib, rearrange: true) to 80% flops\n\
                   recover outputs of layers[0..2] by mask_tuning(calib)\n\
                   recover outputs of layers[2..4] by least_squares(calib)\n\
                   factorize weights of layers[*].attention by svd_llm(calib) to rank(16)";
    for steps in [zeros, repairs] {
        assert!(written("1", steps) == written("3", steps), "{steps}");
    }
}
