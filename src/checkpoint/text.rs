//! Small text files and JSON, read without trusting their size or their keys.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::marker::PhantomData;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use crate::diagnostic::{Code, Diagnostic, codes};

/// No config, index or header is larger; what claims to be is refused before memory is taken for it.
pub const LIMIT: u64 = 100_000_000;

/// The text of a file that `code` blames where it is too large or not UTF-8.
pub fn read(path: &Path, code: &'static Code) -> Result<String, Diagnostic> {
    let fail = |error| super::cannot_read(path, &error);
    let file = open(path)?;
    let bytes = file.metadata().map_err(fail)?.len();
    if bytes > LIMIT {
        return Err(Diagnostic::new(
            code,
            format!("{} has {bytes} bytes; no such file is that large", named(path)),
        )
        .path(path));
    }
    let mut content = Vec::new();
    file.take(LIMIT).read_to_end(&mut content).map_err(fail)?;
    String::from_utf8(content)
        .map_err(|error| Diagnostic::new(code, format!("{} is not UTF-8: {error}", named(path))).path(path))
}

/// Opens a regular file. Others are refused first: to open a pipe is to wait for its writer.
pub fn open(path: &Path) -> Result<File, Diagnostic> {
    let fail = |error| super::cannot_read(path, &error);
    let kind = std::fs::metadata(path).map_err(fail)?;
    if !kind.is_file() {
        let message = format!("{} is not a regular file", named(path));
        return Err(Diagnostic::new(&codes::READ_FAILED, message).path(path));
    }
    File::open(path).map_err(fail)
}

/// The last part of a path, in backquotes.
pub fn named(path: &Path) -> String {
    format!("`{}`", shown(&path.file_name().unwrap_or(path.as_os_str()).to_string_lossy()))
}

/// A name out of a file, made harmless to print: no control characters, not too long.
pub fn shown(name: &str) -> Shown<'_> {
    Shown(name)
}

/// Costs nothing until it is printed: headers have thousands of names, and messages one or two.
#[derive(Clone, Copy)]
pub struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 160;
        for char in self.0.chars().take(LONGEST) {
            match char {
                '"' | '\'' | '\\' => write!(f, "{char}")?,
                _ => write!(f, "{}", char.escape_debug())?,
            }
        }
        match self.0.chars().nth(LONGEST) {
            Some(_) => f.write_str("…"),
            None => Ok(()),
        }
    }
}

/// A JSON object whose keys must differ, in the order of the text.
#[derive(Debug)]
pub struct Unique<T>(pub Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Unique<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = Unique<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                match duplicate(&members) {
                    Some(name) => Err(A::Error::custom(format!("`{}` stands there twice", shown(name)))),
                    None => Ok(Unique(members)),
                }
            }
        }

        deserializer.deserialize_map(Members(PhantomData))
    }
}

/// A name that occurs more than once.
pub fn duplicate<T>(members: &[(String, T)]) -> Option<&str> {
    let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}
