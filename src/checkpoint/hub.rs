//! Names like `org/name` in the local Hugging Face cache. Nothing is downloaded.
//!
//! ```text
//! ~/.cache/huggingface/hub/models--ORG--NAME/{refs/main, snapshots/COMMIT/config.json, ...}
//! ```

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use crate::diagnostic::{Diagnostic, codes, nearest};

/// The directory that a model's name means: a path (from `base`), else `ORG/NAME` or `ORG/NAME@REVISION` in the cache.
pub fn locate(given: &str, base: &Path) -> Result<PathBuf, Diagnostic> {
    locate_in(given, base, cache(|name| env::var_os(name).map(PathBuf::from)).as_deref())
}

fn locate_in(given: &str, base: &Path, cache: Option<&Path>) -> Result<PathBuf, Diagnostic> {
    let path = base.join(given);
    if path.exists() {
        return Ok(if path.join("snapshots").is_dir() {
            snapshot(&path, None).unwrap_or(path)
        } else {
            path
        });
    }
    let (name, revision) = match given.split_once('@') {
        Some((name, revision)) => (name, Some(revision)),
        None => (given, None),
    };
    let (Some(folder), Some(cache)) = (folder(name), cache) else { return Err(missing(given, &path)) };
    let repository = cache.join(folder);
    snapshot(&repository, revision).ok_or_else(|| {
        let asked = revision.map(|revision| format!(" of revision `{revision}`")).unwrap_or_default();
        let error = missing(given, &path);
        match error.help {
            Some(_) => error,
            None => error.help(format!("nor is there a snapshot{asked} in `{}`", repository.display())),
        }
    })
}

fn missing(given: &str, path: &Path) -> Diagnostic {
    let error = Diagnostic::new(&codes::MODEL_MISSING, format!("there is no model `{given}`")).path(path);
    let written = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let parent = path.parent().map(|dir| if dir.as_os_str().is_empty() { Path::new(".") } else { dir });
    let mut beside: Vec<String> = parent.and_then(|dir| fs::read_dir(dir).ok()).map_or(Vec::new(), |dir| {
        dir.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
    });
    beside.sort_unstable();
    match nearest(written, beside.iter().map(String::as_str)) {
        Some(like) => error.help(format!("there is `{}`", path.with_file_name(like).display())),
        None => error,
    }
}

/// Where the hub's own tools keep their cache, as told by the environment.
fn cache(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let set = |name| variable(name).filter(|path| !path.as_os_str().is_empty());
    set("HF_HUB_CACHE")
        .or_else(|| set("HUGGINGFACE_HUB_CACHE"))
        .or_else(|| Some(set("HF_HOME")?.join("hub")))
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("huggingface/hub")))
        .or_else(|| Some(set("HOME")?.join(".cache/huggingface/hub")))
}

/// `models--org--name`, for what can be a name on the hub.
fn folder(name: &str) -> Option<String> {
    let parts: Vec<&str> = name.split('/').collect();
    let fits = parts.len() <= 2 && parts.iter().all(|part| plain(part));
    fits.then(|| format!("models--{}", parts.join("--")))
}

fn plain(part: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !part.is_empty() && !part.starts_with('.') && part.chars().all(allowed)
}

/// The snapshot of a revision: a branch, a tag or a commit; by default `main`, or the only one there is.
fn snapshot(repository: &Path, revision: Option<&str>) -> Option<PathBuf> {
    let snapshots = repository.join("snapshots");
    let named = revision.unwrap_or("main");
    if !plain(named) {
        return None;
    }
    let commit = fs::read_to_string(repository.join("refs").join(named)).unwrap_or_else(|_| named.to_owned());
    let commit = commit.trim();
    if plain(commit) && snapshots.join(commit).is_dir() {
        return Some(snapshots.join(commit));
    }
    let mut all = fs::read_dir(&snapshots).ok()?.flatten().map(|entry| entry.path());
    match (revision, all.next(), all.next()) {
        (None, Some(only), None) => Some(only),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef";

    fn cached() -> tempfile::TempDir {
        let cache = tempfile::tempdir().unwrap();
        let repository = cache.path().join("models--org--name");
        fs::create_dir_all(repository.join("refs")).unwrap();
        fs::create_dir_all(repository.join("snapshots").join(COMMIT)).unwrap();
        fs::write(repository.join("refs/main"), format!("{COMMIT}\n")).unwrap();
        cache
    }

    #[test]
    fn a_path_wins_over_the_cache() {
        let (base, cache) = (tempfile::tempdir().unwrap(), cached());
        fs::create_dir_all(base.path().join("org/name")).unwrap();
        let found = locate_in("org/name", base.path(), Some(cache.path())).unwrap();
        assert_eq!(found, base.path().join("org/name"));
    }

    #[test]
    fn a_name_is_found_by_branch_or_commit() {
        let (base, cache) = (tempfile::tempdir().unwrap(), cached());
        let wanted = cache.path().join("models--org--name/snapshots").join(COMMIT);
        for given in ["org/name", "org/name@main", &format!("org/name@{COMMIT}")] {
            assert_eq!(locate_in(given, base.path(), Some(cache.path())).unwrap(), wanted, "{given}");
        }
        for given in
            ["org/name@dev", "org/name@../..", "org/other", "org/../name", "../org/name", "org/name/x", ""]
        {
            let found = locate_in(given, &base.path().join("none"), Some(cache.path()));
            assert_eq!(found.unwrap_err().code, &codes::MODEL_MISSING, "{given}");
        }
    }

    #[test]
    fn a_lone_snapshot_needs_no_branch() {
        let (base, cache) = (tempfile::tempdir().unwrap(), cached());
        let repository = cache.path().join("models--org--name");
        fs::remove_file(repository.join("refs/main")).unwrap();
        assert!(locate_in("org/name", base.path(), Some(cache.path())).unwrap().ends_with(COMMIT));
        fs::create_dir(repository.join("snapshots/second")).unwrap();
        assert!(locate_in("org/name", base.path(), Some(cache.path())).is_err());
    }

    #[test]
    fn the_cache_folder_itself_means_its_snapshot() {
        let cache = cached();
        assert!(locate_in("models--org--name", cache.path(), None).unwrap().ends_with(COMMIT));
    }

    #[test]
    fn a_ref_can_not_lead_elsewhere() {
        let (base, cache) = (tempfile::tempdir().unwrap(), cached());
        fs::create_dir(cache.path().join("models--org--name/snapshots/second")).unwrap();
        fs::write(cache.path().join("models--org--name/refs/main"), "../../..").unwrap();
        assert!(locate_in("org/name", base.path(), Some(cache.path())).is_err());
    }

    #[test]
    fn a_slip_of_the_finger_is_answered_with_what_is_there() {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir(base.path().join("minilm")).unwrap();
        let error = locate_in("minilmm", base.path(), None).unwrap_err();
        assert!(error.help.unwrap().ends_with("/minilm`"));
    }

    #[test]
    fn the_environment_says_where_the_cache_is() {
        let with = |set: &[(&str, &str)]| {
            let set: Vec<(String, PathBuf)> = set.iter().map(|&(k, v)| (k.into(), v.into())).collect();
            cache(|name| set.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()))
        };
        let home = ("HOME", "/h");
        assert_eq!(with(&[home]), Some("/h/.cache/huggingface/hub".into()));
        assert_eq!(with(&[home, ("HF_HOME", "/f")]), Some("/f/hub".into()));
        assert_eq!(with(&[home, ("HF_HOME", "/f"), ("HF_HUB_CACHE", "/c")]), Some("/c".into()));
        assert_eq!(with(&[home, ("HF_HUB_CACHE", "")]), Some("/h/.cache/huggingface/hub".into()));
        assert_eq!(with(&[]), None);
    }
}
