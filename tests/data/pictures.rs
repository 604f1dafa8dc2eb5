//! Pixels of pictures.

use std::fs;
use std::path::Path;

use tamis::pass::{For, Input, Pixels, Sample};

use crate::support::{data, file, golden, model, refused, samples, takes, tests};

fn pixels(sample: &Sample) -> &Pixels {
    match &sample.input {
        Input::Pixels(pixels) => pixels,
        Input::Tokens(_) => panic!("these are pictures"),
    }
}

/// A model of nothing but a preprocessor config, and a config where there is one.
fn processor(preprocessor: &str, config: Option<&str>) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("preprocessor_config.json"), preprocessor).unwrap();
    if let Some(config) = config {
        fs::write(dir.path().join("config.json"), config).unwrap();
    }
    dir
}

#[test]
fn pictures_are_prepared_as_transformers_prepares_them() {
    let golden = golden();
    let call = format!("image(\"{}\")", tests().join("golden/pictures").display());
    for (name, config) in golden["configs"].as_object().unwrap() {
        let dir = processor(&config.to_string(), None);
        let found = samples(&data(&call), &model(dir.path())).unwrap();
        let expected: Vec<_> =
            golden["prepared"].as_array().unwrap().iter().filter(|it| it["config"] == **name).collect();
        assert_eq!(found.len(), expected.len());
        for (sample, expected) in found.iter().zip(expected) {
            let Pixels { channels, height, width, values } = pixels(sample);
            assert_eq!(serde_json::json!([channels, height, width]), expected["shape"], "{name}");
            // Decoders of JPEG differ by some 255ths, those of PNG by nothing.
            let is_jpeg = expected["picture"].as_str().unwrap().ends_with(".jpg");
            let allowed = if is_jpeg { 4.0 / 255.0 / 0.224 } else { 2e-5 };
            for (value, golden) in values.iter().zip(expected["values"].as_array().unwrap()) {
                let off = (f64::from(*value) - golden.as_f64().unwrap()).abs();
                assert!(off <= allowed, "{name}, {}: off by {off}", expected["picture"]);
            }
        }
    }
}

#[test]
fn idx_files_are_read_by_split() {
    let vit = file("vit-fashion");
    let model = For { picture: Some(takes(1)), ..model(vit.as_ref()) };
    let call = |more: &str| format!("image(\"{}\"{more})", file("data/fashion-mnist"));
    let test = samples(&data(&call(", split: \"test\"")), &model).unwrap();
    assert_eq!(test.len(), 200);
    let bytes = fs::read(file("data/fashion-mnist/t10k-images-idx3-ubyte")).unwrap();
    let labels = fs::read(file("data/fashion-mnist/t10k-labels-idx1-ubyte")).unwrap();
    for (number, sample) in test.iter().enumerate() {
        assert_eq!(sample.label, Some(usize::from(labels[8 + number])));
        let expected = bytes[16 + number * 784..][..784].iter();
        let expected = expected.map(|byte| ((f64::from(*byte) / 255.0) as f32 - 0.286) / 0.353);
        let values = &pixels(sample).values;
        assert!(values.iter().zip(expected).all(|(value, expected)| (value - expected).abs() < 1e-6));
    }
    assert_eq!(samples(&data(&call(", split: \"t10k\", samples: 7")), &model).unwrap(), test[..7]);
    assert_ne!(samples(&data(&call(", split: \"train\", samples: 7")), &model).unwrap(), test[..7]);
    let some = samples(&data(&call(", split: \"test\", samples: 9, shuffle: true")), &model).unwrap();
    assert!(some.iter().all(|sample| test.contains(sample)) && some != test[..9]);
}

#[test]
fn folders_are_labelled_in_order_or_as_the_config_says() {
    let call = format!("image(\"{}\")", tests().join("golden/pictures").display());
    let labels = |config: Option<&str>| {
        let dir = processor("{}", config);
        samples(&data(&call), &model(dir.path()))
            .map(|samples| samples.into_iter().map(|sample| sample.label.unwrap()).collect::<Vec<_>>())
    };
    assert_eq!(labels(None).unwrap(), [0, 0, 1, 1, 1]);
    assert_eq!(labels(Some(r#"{"id2label": {"0": "dog", "1": "cat"}}"#)).unwrap(), [0, 0, 1, 1, 1]);
    assert_eq!(labels(Some(r#"{"id2label": {"0": "b", "1": "a"}}"#)).unwrap(), [1, 1, 0, 0, 0]);
    assert_eq!(labels(Some(r#"{"label2id": {"a": 5}}"#)).unwrap_err().code.name, "data-label");
}

#[test]
fn what_does_not_fit_is_refused() {
    let call = format!("image(\"{}\")", tests().join("golden/pictures").display());
    let dir = processor("{}", None);
    let bert = file("bert-eras");
    assert_eq!(refused(&data(&call), &model(bert.as_ref())).code.name, "preprocessor-missing");
    let sized = For { picture: Some(takes(3)), ..model(dir.path()) };
    let error = refused(&data(&call), &sized);
    assert_eq!(error.code.name, "data-unfit");
    assert!(error.message.contains("23 x 17"), "{}", error.message);
    let strange = processor(r#"{"size": 8, "resample": 9}"#, None);
    assert_eq!(refused(&data(&call), &model(strange.path())).code.name, "config-field");
}

#[test]
fn a_directory_is_looked_at_before_anything_is_run() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let write = |name: &str, bytes: &[u8]| {
        fs::create_dir_all(at(name).parent().unwrap()).unwrap();
        fs::write(at(name), bytes).unwrap();
    };
    write("bad/a/x.png", b"no picture");
    write("split/train/a/x.png", &fs::read(tests().join("golden/pictures/a/colours.png")).unwrap());
    write("split/test/a/y.png", b"");
    fs::create_dir_all(at("none")).unwrap();
    write("idx/train-images-idx3-ubyte", b"\0\0\x08\x03");
    let look = |path: &Path, more: &str| {
        data(&format!("image(\"{}\"{more})", path.display())).reader.look().map_err(|error| error.code.name)
    };
    assert_eq!(look(&at("bad"), ""), Err("data-invalid"));
    assert_eq!(look(&at("none"), ""), Err("data-split"));
    assert_eq!(look(&at("nowhere"), ""), Err("data-missing"));
    assert_eq!(look(&at("idx"), ""), Err("data-invalid"));
    assert_eq!(look(&at("split"), ""), Err("data-split"));
    assert_eq!(look(&at("split"), ", split: \"train\""), Ok(()));
    assert_eq!(look(&at("split"), ", split: \"train\", samples: 2"), Err("data-too-few"));
    assert_eq!(look(&at("split"), ", split: \"valid\""), Err("data-split"));
    let fashion = file("data/fashion-mnist");
    assert_eq!(look(fashion.as_ref(), ""), Err("data-split"));
    assert_eq!(look(fashion.as_ref(), ", split: \"test\", samples: 201"), Err("data-too-few"));
}
