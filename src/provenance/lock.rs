//! `tamis.lock`: digests of all that went into an output, in YAML.
//!
//! Texts that other readers of YAML would take for numbers or truth values do not occur in the structs below.

use serde::{Deserialize, Serialize};

use super::{InputFile, Provenance};
use crate::checkpoint::Digest;
use crate::yaml;

/// The version of the form below.
const VERSION: u32 = 1;

const HEAD: &str = "# Digests of what this directory was made from. `tamis verify` compares them.\n";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    pub version: u32,
    pub tamis: String,
    /// SHA-256 of `recipe.tamis`.
    pub recipe: String,
    /// Recipes that it uses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub used: Vec<LockedFile>,
    pub model: LockedModel,
    /// Data sets that steps and measures read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<LockedData>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedModel {
    /// The directory, as it was given.
    pub path: String,
    pub files: Vec<LockedFile>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockedData {
    /// The reader with its arguments: `text("data/sst2.jsonl", samples: 128)`.
    pub reader: String,
    /// Named from the directory that the recipe was run in.
    pub files: Vec<LockedFile>,
}

pub type LockedFile = InputFile;

impl Lock {
    pub fn of(provenance: &Provenance, used: Vec<LockedFile>, data: Vec<LockedData>) -> Self {
        Self {
            version: VERSION,
            tamis: provenance.tool.version.clone(),
            recipe: Digest::sha256(provenance.recipe.text.as_bytes()).to_string(),
            used,
            model: LockedModel { path: provenance.input.path.clone(), files: provenance.input.files.clone() },
            data,
        }
    }

    pub fn to_yaml(&self) -> String {
        format!("{HEAD}{}", yaml::write(self))
    }

    /// # Errors
    /// Why it is no lock.
    pub fn from_yaml(text: &str) -> Result<Self, String> {
        let lock: Self = yaml::read(text).map_err(|mistake| mistake.message)?;
        match lock.version {
            VERSION => Ok(lock),
            other => Err(format!("version {other}, where this build reads version {VERSION}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_survives_a_round_trip() {
        let file = |name: &str| LockedFile { name: name.into(), bytes: 7, sha256: "0e12".repeat(16) };
        let lock = Lock {
            version: VERSION,
            tamis: "0.1.0".into(),
            recipe: "1".repeat(64),
            used: vec![file("no")],
            model: LockedModel { path: "models/2:4 #x".into(), files: vec![file("yes"), file("a: b")] },
            data: vec![LockedData { reader: "text(\"a: #b\")".into(), files: vec![file("1e3")] }],
        };
        assert_eq!(Lock::from_yaml(&lock.to_yaml()), Ok(lock.clone()));
        let newer = lock.to_yaml().replace("version: 1", "version: 2");
        assert!(Lock::from_yaml(&newer).unwrap_err().contains("version 2"));
    }
}
