//! Findings by the key of their task, so that an edit of the last step does the last step anew, and a run that was killed
//! goes on where it was.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{Digest, DigestMemo};

/// Changed whenever findings of equal keys would differ: entries of other versions are not found.
const VERSION: &str = concat!("tamis ", env!("CARGO_PKG_VERSION"), " cache 1");

/// A directory of small files, one an entry. What cannot be read or written only costs time.
#[derive(Debug)]
pub struct Cache {
    dir: Option<PathBuf>,
}

#[derive(Serialize, Deserialize)]
struct Entry<T> {
    key: Digest,
    holds: T,
}

impl Cache {
    /// A cache in a directory, or one that forgets.
    pub fn new(dir: Option<PathBuf>) -> Self {
        Self { dir }
    }

    pub fn is_there(&self) -> bool {
        self.dir.is_some()
    }

    /// Digests of files, as they were last seen.
    pub fn digests(&self) -> DigestMemo {
        self.dir.as_ref().map_or_else(DigestMemo::default, |dir| DigestMemo::load(&dir.join("digests.json")))
    }

    /// The key of something about a model: of the task and of the model's content.
    pub fn key(task: &Digest, model: &Digest) -> Digest {
        Digest::blake3(format!("{VERSION}\n{task}\n{model}").as_bytes())
    }

    /// What was put there under a key. A damaged entry counts as none.
    pub fn get<T: DeserializeOwned>(&self, key: &Digest) -> Option<T> {
        let content = fs::read(self.path(key)?).ok()?;
        let entry: Entry<T> = serde_json::from_slice(&content).ok()?;
        (entry.key == *key).then_some(entry.holds)
    }

    /// Keeps something under a key; whole or not at all.
    pub fn put<T: Serialize>(&self, key: &Digest, holds: &T) {
        let Some(path) = self.path(key) else { return };
        let Ok(content) = serde_json::to_vec(&Entry { key: *key, holds }) else { return };
        let _ = write(&path, &content);
    }

    /// Where a finding that is too large for an entry is kept.
    pub fn room(&self, key: &Digest) -> Option<PathBuf> {
        let key = key.to_string();
        let rooms = self.dir.as_ref()?.join("tensors");
        fs::create_dir_all(&rooms).ok()?;
        Some(rooms.join(key))
    }

    fn path(&self, key: &Digest) -> Option<PathBuf> {
        let key = key.to_string();
        Some(self.dir.as_ref()?.join("findings").join(&key[..2]).join(format!("{key}.json")))
    }
}

/// Other runs, and other threads of this one, may write the same entry.
fn write(path: &Path, content: &[u8]) -> std::io::Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let partial = path.with_extension(format!("{}-{count}.tmp", std::process::id()));
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    let written = fs::write(&partial, content).and_then(|()| fs::rename(&partial, path));
    if written.is_err() {
        let _ = fs::remove_file(&partial);
    }
    written
}

/// `$XDG_CACHE_HOME/tamis`, or `~/.cache/tamis`; none where neither is known.
pub fn default_cache() -> Option<PathBuf> {
    let of = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = of("XDG_CACHE_HOME").or_else(|| Some(of("HOME")?.join(".cache")))?;
    Some(base.join("tamis"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pass::Finding;

    #[test]
    fn what_was_put_is_found_to_the_last_bit() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(Some(dir.path().join("cache")));
        let key = Cache::key(&Digest::blake3(b"task"), &Digest::blake3(b"model"));
        let scores = vec![0.1 + 0.2, 1e-310, f64::MAX, 5e-324, 1.0 / 3.0];
        let finding = Finding::UnitScores([("a".to_string(), scores)].into());
        assert_eq!(cache.get::<Finding>(&key), None);
        cache.put(&key, &finding);
        assert_eq!(cache.get::<Finding>(&key), Some(finding));
        assert_eq!(cache.get::<Finding>(&Digest::blake3(b"other")), None);
    }

    #[test]
    fn a_damaged_entry_is_none_and_is_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::new(Some(dir.path().to_owned()));
        let key = Digest::blake3(b"task");
        cache.put(&key, &7);
        let path = cache.path(&key).unwrap();
        for damaged in ["", "{", r#"{"key":"00","holds":7}"#, r#"{"holds":7}"#] {
            fs::write(&path, damaged).unwrap();
            assert_eq!(cache.get::<u32>(&key), None, "{damaged}");
        }
        cache.put(&key, &8);
        assert_eq!(cache.get::<u32>(&key), Some(8));
    }

    #[test]
    fn without_a_directory_nothing_is_kept() {
        let cache = Cache::new(None);
        cache.put(&Digest::blake3(b"task"), &7);
        assert_eq!(cache.get::<u32>(&Digest::blake3(b"task")), None);
    }
}
