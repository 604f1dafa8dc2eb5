//! The files beside the weights that a model needs to be used: tokenizer, preprocessor, pooling, licence.

use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::{Config, cannot_read, text};
use crate::diagnostic::{Diagnostic, codes};

/// Beginnings and endings of the names that are carried over. The config and the card are written anew.
const CARRIED: &[(&str, &str)] = &[
    // tokenizers
    ("tokenizer", ""),
    ("vocab", ""),
    ("merges", ""),
    ("special_tokens_map", ".json"),
    ("added_tokens", ".json"),
    ("", ".model"),
    ("", ".spm"),
    ("", ".tiktoken"),
    ("chat_template", ""),
    // images and sounds
    ("", "preprocessor_config.json"),
    ("processor_config", ".json"),
    // generation
    ("generation_config", ".json"),
    // sentence-transformers
    (MODULES, ""),
    ("sentence_", "_config.json"),
    ("config_sentence_transformers", ".json"),
    // terms
    ("LICENSE", ""),
    ("LICENCE", ""),
    ("COPYING", ""),
    ("NOTICE", ""),
    ("USE_POLICY", ""),
];

const MODULES: &str = "modules.json";

/// The files of a checkpoint to carry over as they are, relative to its directory and sorted.
///
/// A model with code of its own (`auto_map`) keeps it: transformers could not load it otherwise.
pub fn beside(config: &Config, dir: &Path) -> Result<Vec<PathBuf>, Diagnostic> {
    let own_code = config.has("auto_map");
    let carried = |name: &str| {
        CARRIED.iter().any(|(begin, end)| name.starts_with(begin) && name.ends_with(end))
            || own_code && name.ends_with(".py")
    };
    let mut files: Vec<PathBuf> =
        files(dir)?.into_iter().filter(|name| carried(name)).map(PathBuf::from).collect();
    if dir.join(MODULES).is_file() {
        // A module without settings, as `2_Normalize` is, has no folder: git keeps no empty ones.
        for module in modules(&dir.join(MODULES))?.into_iter().filter(|module| dir.join(module).is_dir()) {
            files.extend(self::files(&dir.join(&module))?.into_iter().map(|name| module.join(name)));
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// The folders that a sentence-transformers model keeps its later modules in.
fn modules(path: &Path) -> Result<Vec<PathBuf>, Diagnostic> {
    #[derive(Deserialize)]
    struct Module {
        path: PathBuf,
    }

    let refuse = |why: String| {
        let message = format!("{} {why}", text::named(path));
        Diagnostic::new(&codes::CONFIG_INVALID, message).path(path)
    };
    let modules: Vec<Module> = serde_json::from_str(&text::read(path, &codes::CONFIG_INVALID)?)
        .map_err(|error| refuse(format!("is no list of modules: {error}")))?;
    let folders: Vec<PathBuf> =
        modules.into_iter().map(|module| module.path).filter(|path| !path.as_os_str().is_empty()).collect();
    match folders.iter().find(|folder| !folder.components().all(|part| matches!(part, Component::Normal(_))))
    {
        Some(folder) => Err(refuse(format!(
            "leads to `{}`, out of its directory",
            text::shown(&folder.to_string_lossy())
        ))),
        None => Ok(folders),
    }
}

/// Names of the regular files of a directory, without hidden ones.
fn files(dir: &Path) -> Result<Vec<String>, Diagnostic> {
    let fail = |error| cannot_read(dir, &error);
    let mut names = Vec::new();
    for entry in dir.read_dir().map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name().into_string().unwrap_or_default();
        if !name.is_empty() && !name.starts_with('.') && entry.path().is_file() {
            names.push(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        dir
    }

    fn carried(config: &str, files: &[(&str, &str)]) -> Result<Vec<String>, Diagnostic> {
        let config = Config::parse("config.json", config).unwrap();
        let files = beside(&config, directory(files).path())?;
        Ok(files.iter().map(|path| path.to_str().unwrap().to_owned()).collect())
    }

    #[test]
    fn takes_what_the_model_is_used_with_and_nothing_else() {
        let names = [
            "tokenizer.json",
            "tokenizer_config.json",
            "vocab.txt",
            "merges.txt",
            "spiece.model",
            "LICENSE",
            "preprocessor_config.json",
            "generation_config.json",
            "sentence_bert_config.json",
            "config.json",
            "README.md",
            "model.safetensors",
            "pytorch_model.bin",
            ".stamp.json",
            "modeling_x.py",
        ]
        .map(|name| (name, ""));
        let mut expected: Vec<&str> = names[..9].iter().map(|(name, _)| *name).collect();
        expected.sort_unstable();
        assert_eq!(carried("{}", &names).unwrap(), expected);
        let with_code = carried(r#"{"auto_map": {"AutoModel": "modeling_x.X"}}"#, &names).unwrap();
        assert!(with_code.contains(&"modeling_x.py".to_owned()));
    }

    #[test]
    fn takes_the_folders_of_sentence_transformers() {
        let modules = r#"[{"idx": 0, "path": ""}, {"idx": 1, "path": "1_Pooling"}, {"idx": 2, "path": "2_Dense"},
            {"idx": 3, "path": "3_Normalize"}]"#;
        let files = [
            ("modules.json", modules),
            ("1_Pooling/config.json", "{}"),
            ("2_Dense/model.safetensors", ""),
            ("onnx/model.onnx", ""),
        ];
        let expected = ["1_Pooling/config.json", "2_Dense/model.safetensors", "modules.json"];
        assert_eq!(carried("{}", &files).unwrap(), expected);
    }

    #[test]
    fn modules_stay_inside_the_directory() {
        for path in ["../x", "/etc", "a/../../x"] {
            let modules = format!(r#"[{{"path": "{path}"}}]"#);
            assert_eq!(
                carried("{}", &[("modules.json", &modules)]).unwrap_err().code,
                &codes::CONFIG_INVALID,
                "{path}"
            );
        }
        assert_eq!(carried("{}", &[("modules.json", "{}")]).unwrap_err().code, &codes::CONFIG_INVALID);
    }
}
