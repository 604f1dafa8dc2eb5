//! Which files hold the weights: one, or the shards of an index; and what is said of a directory that has neither.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::text::{self, Unique, named, shown};
use crate::diagnostic::{Code, Diagnostic, codes, list};

pub const SINGLE: &str = "model.safetensors";
pub const INDEX: &str = "model.safetensors.index.json";

/// A file of weights and the tensors that the index promises in it (none where there is no index).
#[derive(Debug)]
pub struct Shard {
    pub path: PathBuf,
    pub listed: Vec<String>,
}

/// The files in the order of their names. As in transformers, the single file wins where there is an index, too.
pub fn weight_files(dir: &Path) -> Result<Vec<Shard>, Diagnostic> {
    let single = dir.join(SINGLE);
    if single.exists() {
        return Ok(vec![Shard { path: single, listed: Vec::new() }]);
    }
    let index = dir.join(INDEX);
    if index.exists() { shards(dir, &index) } else { Err(no_weights(dir)) }
}

#[derive(Deserialize)]
struct Index {
    weight_map: Unique<String>,
}

fn shards(dir: &Path, index: &Path) -> Result<Vec<Shard>, Diagnostic> {
    let refuse = |code: &'static Code, message: String| Err(Diagnostic::new(code, message).path(index));
    let content = text::read(index, &codes::INDEX_INVALID)?;
    let map = match serde_json::from_str::<Index>(&content) {
        Ok(index) => index.weight_map.0,
        Err(error) => {
            return refuse(
                &codes::INDEX_INVALID,
                format!("{} has no usable `weight_map`: {error}", named(index)),
            );
        }
    };
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (tensor, file) in map {
        files.entry(file).or_default().push(tensor);
    }
    if files.is_empty() {
        return refuse(&codes::INDEX_INVALID, format!("the `weight_map` of {} is empty", named(index)));
    }
    let mut shards = Vec::new();
    for (file, listed) in files {
        if !plain(&file) {
            let message = format!("{} leads to `{}`, out of its directory", named(index), shown(&file));
            return refuse(&codes::SHARD_OUTSIDE, message);
        }
        let path = dir.join(&file);
        if !path.exists() {
            let message = format!(
                "{} needs `{}` (for `{}`), which is not there",
                named(index),
                shown(&file),
                shown(&listed[0])
            );
            return refuse(&codes::SHARD_MISSING, message);
        }
        shards.push(Shard { path, listed });
    }
    Ok(shards)
}

/// Whether a name can only mean a file of the directory itself.
fn plain(file: &str) -> bool {
    !file.is_empty() && file != "." && file != ".." && !file.contains(['/', '\\', '\0'])
}

fn no_weights(dir: &Path) -> Diagnostic {
    let names = files_of(dir);
    let of = |ends: &[&str]| -> Vec<&str> {
        names.iter().map(String::as_str).filter(|name| ends.iter().any(|end| name.ends_with(end))).collect()
    };
    let there = |code, names: &[&str], what: &str| {
        let message = format!("`{}` has no `{SINGLE}`, only {}{what}", dir.display(), list(names));
        Diagnostic::new(code, message).path(dir)
    };
    let pickled = of(&[".bin", ".pt", ".pth", ".ckpt", ".pkl"]);
    let other = of(&[".gguf", ".h5", ".msgpack", ".onnx", ".tflite", ".ot"]);
    let loose = of(&[".safetensors"]);
    if !loose.is_empty() {
        return there(&codes::WEIGHTS_MISSING, &loose, "")
            .help(format!("rename a lone file to `{SINGLE}`; shards need `{INDEX}`"));
    }
    if !pickled.is_empty() {
        return there(&codes::WEIGHTS_PICKLED, &pickled, " (pickled), which can run code when read").help(
            "convert it where you trust it: `AutoModel.from_pretrained(DIR).save_pretrained(NEW, safe_serialization=True)`",
        );
    }
    if !other.is_empty() {
        return there(&codes::WEIGHTS_MISSING, &other, " in another format").help("only safetensors is read");
    }
    let message = format!("`{}` has neither `{SINGLE}` nor `{INDEX}`", dir.display());
    Diagnostic::new(&codes::WEIGHTS_MISSING, message).path(dir)
}

/// Names of a directory's files, sorted; none where it cannot be listed.
fn files_of(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;
    use crate::checkpoint::Checkpoint;
    use crate::checkpoint::fixture::{safetensors, zeros};

    /// A directory of a config and the given files.
    fn directory(files: &[(&str, &[u8])]) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("config.json"), "{}").unwrap();
        for (name, content) in files {
            fs::write(dir.path().join(name), content).unwrap();
        }
        dir
    }

    fn refused(files: &[(&str, &[u8])]) -> Diagnostic {
        Checkpoint::open(directory(files).path()).unwrap_err()
    }

    fn index(map: &str) -> Vec<u8> {
        format!(r#"{{"metadata": {{}}, "weight_map": {map}}}"#).into_bytes()
    }

    #[test]
    fn a_single_file_wins_over_an_index() {
        let dir = directory(&[(SINGLE, &zeros(&["a"])), (INDEX, b"broken")]);
        let checkpoint = Checkpoint::open(dir.path()).unwrap();
        assert_eq!(checkpoint.tensors.keys().collect::<Vec<_>>(), ["a"]);
        assert!(checkpoint.has_weights());
    }

    #[test]
    fn shards_are_read_in_the_order_of_their_names() {
        let map = index(r#"{"b": "2.safetensors", "a": "1.safetensors"}"#);
        let files = [(INDEX, &*map), ("1.safetensors", &zeros(&["a"])), ("2.safetensors", &zeros(&["b"]))];
        let checkpoint = Checkpoint::open(directory(&files).path()).unwrap();
        let names = checkpoint.files().iter().map(|file| named(&file.path)).collect::<Vec<_>>();
        assert_eq!(names, ["`1.safetensors`", "`2.safetensors`"]);
        assert_eq!(named(&checkpoint.file(checkpoint.tensors["b"].file).path), "`2.safetensors`");
    }

    #[test]
    fn a_tensor_that_the_index_forgot_is_still_there() {
        let map = index(r#"{"a": "1.safetensors"}"#);
        let dir = directory(&[(INDEX, &map), ("1.safetensors", &zeros(&["a", "b"]))]);
        assert_eq!(Checkpoint::open(dir.path()).unwrap().tensors.len(), 2);
    }

    #[test]
    fn a_weight_map_can_not_lead_out_of_its_directory() {
        for file in ["../x", "/etc/passwd", "..", ".", "", "a/b", "a\\\\b", "a\\u0000"] {
            let error = refused(&[(INDEX, &index(&format!(r#"{{"a": "{file}"}}"#)))]);
            assert_eq!(error.code, &codes::SHARD_OUTSIDE, "{file}: {}", error.message);
            assert!(error.path.unwrap().ends_with(INDEX));
        }
    }

    #[test]
    fn an_index_is_a_map_of_names_to_files() {
        for text in
            ["", "[]", "{}", r#"{"weight_map": 3}"#, r#"{"weight_map": {"a": 1}}"#, r#"{"weight_map": {}}"#]
        {
            assert_eq!(refused(&[(INDEX, text.as_bytes())]).code, &codes::INDEX_INVALID, "{text}");
        }
        let twice = index(r#"{"a": "1.safetensors", "a": "2.safetensors"}"#);
        assert_eq!(refused(&[(INDEX, &twice)]).code, &codes::INDEX_INVALID);
        assert_eq!(refused(&[(INDEX, b"\xff")]).code, &codes::INDEX_INVALID);
    }

    #[test]
    fn a_missing_shard_is_named_with_a_tensor_that_needs_it() {
        let error = refused(&[(INDEX, &index(r#"{"head.weight": "2.safetensors"}"#))]);
        assert_eq!(error.code, &codes::SHARD_MISSING);
        assert!(error.message.contains("`2.safetensors` (for `head.weight`)"), "{}", error.message);
    }

    #[test]
    fn index_and_shards_have_to_agree() {
        let map = index(r#"{"a": "1.safetensors", "b": "1.safetensors"}"#);
        let error = refused(&[(INDEX, &map), ("1.safetensors", &zeros(&["a"]))]);
        assert_eq!(error.code, &codes::TENSOR_NOT_IN_SHARD);
        let map = index(r#"{"a": "1.safetensors", "b": "2.safetensors"}"#);
        let both = zeros(&["a", "b"]);
        let error = refused(&[(INDEX, &map), ("1.safetensors", &both), ("2.safetensors", &both)]);
        assert_eq!(error.code, &codes::DUPLICATE_TENSOR);
        assert_eq!(error.message, "`a` is in `2.safetensors` and in `1.safetensors`");
    }

    #[test]
    fn other_formats_are_told_apart_from_no_weights() {
        assert_eq!(refused(&[("pytorch_model.bin", b"PK")]).code, &codes::WEIGHTS_PICKLED);
        let gguf = refused(&[("model.gguf", b"GGUF")]);
        assert_eq!(gguf.code, &codes::WEIGHTS_MISSING);
        assert!(gguf.message.ends_with("only `model.gguf` in another format"), "{}", gguf.message);
        let loose = refused(&[("pytorch_model.bin", b"PK"), ("other.safetensors", b"")]);
        assert!(loose.message.ends_with("only `other.safetensors`"), "{}", loose.message);
        assert_eq!(refused(&[]).code, &codes::WEIGHTS_MISSING);
    }

    #[test]
    fn a_directory_in_place_of_a_file_is_refused() {
        let dir = directory(&[]);
        fs::create_dir(dir.path().join(SINGLE)).unwrap();
        assert_eq!(Checkpoint::open(dir.path()).unwrap_err().code, &codes::READ_FAILED);
    }

    #[test]
    fn reads_the_bytes_of_a_tensor_from_any_position() {
        let dir = directory(&[(
            SINGLE,
            &safetensors(r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#, b"abcd"),
        )]);
        let checkpoint = Checkpoint::open(dir.path()).unwrap();
        let stored = &checkpoint.tensors["a"];
        let mut bytes = [0; 2];
        checkpoint.read_at(stored, 1, &mut bytes).unwrap();
        assert_eq!(&bytes, b"bc");
        assert_eq!(checkpoint.read(stored).unwrap(), b"abcd");
    }

    #[test]
    fn a_file_that_shrinks_is_an_error_not_a_crash() {
        let dir = directory(&[(SINGLE, &zeros(&["a"]))]);
        let checkpoint = Checkpoint::open(dir.path()).unwrap();
        fs::File::options().write(true).open(dir.path().join(SINGLE)).unwrap().set_len(9).unwrap();
        let error = checkpoint.read(&checkpoint.tensors["a"]).unwrap_err();
        assert_eq!(error.code, &codes::READ_FAILED);
        assert!(error.message.ends_with("shorter than when it was opened"), "{}", error.message);
    }

    #[test]
    fn a_model_is_a_directory_with_a_config() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Checkpoint::open(&dir.path().join("no")).unwrap_err().code, &codes::MODEL_MISSING);
        assert_eq!(Checkpoint::open(dir.path()).unwrap_err().code, &codes::CONFIG_MISSING);
        let file = dir.path().join("config.json");
        fs::write(&file, "{}").unwrap();
        assert_eq!(Checkpoint::open(&file).unwrap_err().code, &codes::MODEL_MISSING);
        assert!(!Checkpoint::from_config(&file).unwrap().has_weights());
    }
}
