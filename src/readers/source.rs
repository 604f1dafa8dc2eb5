//! The file of a data set: the path itself, or what `split` picks of a directory.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::diagnostic::{Diagnostic, codes, list, nearest};
use crate::pass::Placed;

/// The file that a path and a split mean. Of a directory only files with one of the `endings` are looked at.
///
/// # Errors
/// Where nothing is there, or more than one file could be meant.
pub fn file(
    path: &Placed<String>,
    split: Option<&Placed<String>>,
    endings: &[&str],
) -> Result<PathBuf, Diagnostic> {
    let given = Path::new(&path.value);
    let kind = std::fs::metadata(given).map_err(|error| missing(path, &error))?;
    match split {
        _ if kind.is_dir() => {
            let names = names(path)?;
            let fits = |name: &String| endings.iter().any(|ending| has_ending(name, ending));
            let names: Vec<String> = names.into_iter().filter(fits).collect();
            picked(path, split, &names).map(|name| given.join(name))
        }
        Some(split) => {
            let message = format!("`{}` is one file: `split` picks a file of a directory", given.display());
            Err(split.wrong(&codes::DATA_SPLIT, message).path(given))
        }
        None if kind.is_file() => Ok(given.to_owned()),
        None => {
            let message = format!("`{}` is not a regular file", given.display());
            Err(path.wrong(&codes::READ_FAILED, message).path(given))
        }
    }
}

/// The one name that a split means.
///
/// # Errors
/// Where it means none, or more than one.
pub fn picked<'n>(
    path: &Placed<String>,
    split: Option<&Placed<String>>,
    names: &'n [String],
) -> Result<&'n str, Diagnostic> {
    let meant: Vec<&str> = match split {
        Some(split) => names.iter().map(String::as_str).filter(|name| says(name, &split.value)).collect(),
        None => names.iter().map(String::as_str).collect(),
    };
    let there: Vec<&str> = names.iter().map(String::as_str).collect();
    let shown = &path.value;
    let refuse = |message: String| split.unwrap_or(path).wrong(&codes::DATA_SPLIT, message).path(shown);
    match (meant.as_slice(), split) {
        ([one], _) => Ok(one),
        (_, _) if there.is_empty() => Err(refuse(format!("`{shown}` holds no such data"))),
        ([], Some(split)) => {
            let message = format!("`{shown}` has no `{}`", split.value);
            Err(refuse(message).help(format!("there is {}", list(&there))))
        }
        (several, Some(split)) => {
            let message = format!("`{}` can be {} of `{shown}`", split.value, list(several));
            Err(refuse(message).help("name the file itself"))
        }
        (several, None) => {
            let message = format!("`{shown}` is a directory of several files");
            Err(refuse(message).help(format!("`split` says which: there is {}", list(several))))
        }
    }
}

/// Names in a directory, sorted, without hidden ones.
///
/// # Errors
/// Where it cannot be read.
pub fn names(path: &Placed<String>) -> Result<Vec<String>, Diagnostic> {
    let fail = |error: &io::Error| unread(Path::new(&path.value), error);
    let mut names = Vec::new();
    for entry in Path::new(&path.value).read_dir().map_err(|error| missing(path, &error))? {
        let name = entry.map_err(|error| fail(&error))?.file_name().into_string().unwrap_or_default();
        if !name.is_empty() && !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Opens a regular file. Others are refused first: to open a pipe is to wait for its writer.
///
/// # Errors
/// Where it is not there, is none, or may not be read.
pub fn open(path: &Path) -> Result<File, Diagnostic> {
    let kind = std::fs::metadata(path).map_err(|error| unread(path, &error))?;
    if !kind.is_file() {
        let message = format!("`{}` is not a regular file", path.display());
        return Err(Diagnostic::new(&codes::READ_FAILED, message).path(path));
    }
    File::open(path).map_err(|error| unread(path, &error))
}

/// The diagnostic of a file that cannot be read.
pub fn unread(path: &Path, error: &io::Error) -> Diagnostic {
    let code = match error.kind() {
        io::ErrorKind::NotFound => &codes::DATA_MISSING,
        _ => &codes::READ_FAILED,
    };
    let why = match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::UnexpectedEof => "it is shorter than when it was opened".to_owned(),
        _ => error.to_string(),
    };
    Diagnostic::new(code, format!("cannot read `{}`: {why}", path.display())).path(path)
}

fn missing(path: &Placed<String>, error: &io::Error) -> Diagnostic {
    let given = Path::new(&path.value);
    let error = unread(given, error).or_at(path.span);
    match beside(given) {
        Some(like) if !given.exists() => {
            let like = like.display().to_string();
            error.help(format!("there is `{like}`"))
        }
        _ => error,
    }
}

/// What is called most like a path that does not exist.
fn beside(path: &Path) -> Option<PathBuf> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = dir.read_dir().ok()?.flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable();
    let near = nearest(path.file_name()?.to_str()?, names.iter().map(String::as_str))?;
    Some(path.with_file_name(near))
}

/// Whether a name has a split's name in it as a word of its own: `sotu-test.jsonl` has `test`, `latest.jsonl` has not.
pub fn says(name: &str, split: &str) -> bool {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let is_word = |at: usize| {
        let (before, after) = (&stem[..at], &stem[at + split.len()..]);
        let inside = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
        !inside(before.chars().next_back()) && !inside(after.chars().next())
    };
    !split.is_empty() && stem.match_indices(split).any(|(at, _)| is_word(at))
}

/// Whether a name ends so, in capitals or not.
pub fn has_ending(name: &str, ending: &str) -> bool {
    name.len() > ending.len() && name.is_char_boundary(name.len() - ending.len()) && {
        name[name.len() - ending.len()..].eq_ignore_ascii_case(ending)
    }
}

/// A reader call in its canonical form.
pub struct Said {
    text: String,
}

impl Said {
    pub fn new(reader: &str, path: &str) -> Self {
        Self { text: format!("{reader}({path:?}") }
    }

    pub fn text(&mut self, name: &str, value: Option<&Placed<String>>) {
        if let Some(value) = value {
            self.text.push_str(&format!(", {name}: {:?}", value.value));
        }
    }

    pub fn number(&mut self, name: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.text.push_str(&format!(", {name}: {value}"));
        }
    }

    pub fn finish(self) -> String {
        self.text + ")"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_is_a_word_of_a_name() {
        for name in ["train.jsonl", "sotu-train.txt", "train-images-idx3-ubyte", "my.train.v2.csv"] {
            assert!(says(name, "train"), "{name}");
        }
        for name in ["training.jsonl", "restrain.csv", "x.train", ""] {
            assert!(!says(name, "train"), "{name}");
        }
        assert!(says("mnli-validation_matched.jsonl", "validation_matched"));
    }

    #[test]
    fn an_ending_is_not_the_whole_name() {
        assert!(has_ending("a.JPG", ".jpg"));
        assert!(!has_ending(".jpg", ".jpg"));
        assert!(!has_ending("é", ".jpg"));
    }
}
