//! Digests of files and bytes, and a memo that saves hashing again what has not changed.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rayon::prelude::*;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use super::{cannot_read, text};
use crate::diagnostic::Diagnostic;

/// 256 bits, shown as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// For identity with the outside world: the hub and in-toto name files by it.
    pub fn sha256(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// For everything else: several times as fast.
    pub fn blake3(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl From<blake3::Hash> for Digest {
    fn from(hash: blake3::Hash) -> Self {
        Self(*hash.as_bytes())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A text that is not 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a digest has 64 hexadecimal digits")]
pub struct NotADigest;

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
        let bytes: Vec<u8> =
            digits.ok_or(NotADigest)?.chunks(2).map(|pair| pair.iter().fold(0, |a, b| a << 4 | b)).collect();
        if text.len() == 64 { bytes.try_into().map(Digest).map_err(|_| NotADigest) } else { Err(NotADigest) }
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// SHA-256 of each file, several at a time.
pub fn sha256_files(paths: &[PathBuf]) -> Result<Vec<Digest>, Diagnostic> {
    let digests: Vec<_> = paths.par_iter().map(|path| sha256_file(path)).collect();
    // Collected first, so that of several errors always the same one is told.
    digests.into_iter().collect()
}

pub fn sha256_file(path: &Path) -> Result<Digest, Diagnostic> {
    const CHUNK: usize = 4 << 20;
    let fail = |error| cannot_read(path, &error);
    let mut file = text::open(path)?;
    let bytes = file.metadata().map_err(fail)?.len();
    let mut buffer = vec![0; usize::try_from(bytes).map_or(CHUNK, |bytes| bytes.clamp(1, CHUNK))];
    let mut hasher = Sha256::new();
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(Digest(hasher.finalize().into())),
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(fail(error)),
        }
    }
}

/// Digests of files as they were seen: a file with the same identity, size and times is not read again.
#[derive(Debug, Default)]
pub struct DigestMemo {
    path: Option<PathBuf>,
    seen: BTreeMap<String, Seen>,
    changed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    stamp: Stamp,
    sha256: Digest,
}

/// What changes when a file does. The change time cannot be set back by any tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    inode: u64,
    device: u64,
}

/// A file as it was before it was read.
#[derive(Debug)]
pub struct Look {
    path: PathBuf,
    /// Its digest, if it was seen like this before.
    pub known: Option<Digest>,
    identity: Option<(String, Stamp)>,
}

impl DigestMemo {
    /// Loads a memo; what is missing or unreadable is an empty one.
    pub fn load(path: &Path) -> Self {
        let seen = fs::read(path).ok().and_then(|content| serde_json::from_slice(&content).ok());
        Self { path: Some(path.to_owned()), seen: seen.unwrap_or_default(), changed: false }
    }

    /// As [`sha256_files`], but reads only what is new.
    pub fn sha256_files(&mut self, paths: &[PathBuf]) -> Result<Vec<Digest>, Diagnostic> {
        let looks: Vec<Look> = paths.iter().map(|path| self.look(path)).collect();
        let new: Vec<PathBuf> =
            looks.iter().filter(|look| look.known.is_none()).map(|look| look.path.clone()).collect();
        let mut hashed = sha256_files(&new)?.into_iter();
        let digest = |look: Look| match look.known {
            Some(known) => known,
            None => {
                let sha256 = hashed.next().expect("what is not known was hashed");
                self.learn(&look, sha256);
                sha256
            }
        };
        Ok(looks.into_iter().map(digest).collect())
    }

    /// Looks at a file before it is read.
    pub fn look(&self, path: &Path) -> Look {
        let identity = identity(path);
        let seen = identity.as_ref().and_then(|(key, stamp)| {
            self.seen.get(key).filter(|seen| seen.stamp == *stamp).map(|seen| seen.sha256)
        });
        Look { path: path.to_owned(), known: seen, identity }
    }

    /// Remembers what was read, unless the file changed meanwhile.
    pub fn learn(&mut self, look: &Look, sha256: Digest) {
        if let Some((key, stamp)) = &look.identity
            && identity(&look.path) == look.identity
            && stamp.is_settled()
        {
            self.seen.insert(key.clone(), Seen { stamp: *stamp, sha256 });
            self.changed = true;
        }
    }

    /// Writes the memo where it was loaded from. A memo that cannot be written only costs time.
    pub fn save(&self) {
        let (Some(path), true) = (&self.path, self.changed) else { return };
        let partial = path.with_extension(format!("{}.tmp", std::process::id()));
        let content = serde_json::to_vec(&self.seen).expect("a memo has only string keys");
        let written = path.parent().map_or(Ok(()), fs::create_dir_all);
        let written =
            written.and_then(|()| fs::write(&partial, content)).and_then(|()| fs::rename(&partial, path));
        if written.is_err() {
            let _ = fs::remove_file(&partial);
        }
    }
}

fn identity(path: &Path) -> Option<(String, Stamp)> {
    let real = path.canonicalize().ok()?;
    let stamp = Stamp::of(&fs::metadata(&real).ok()?);
    Some((real.into_os_string().into_string().ok()?, stamp))
}

impl Stamp {
    fn of(found: &Metadata) -> Self {
        Self {
            bytes: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
            inode: found.ino(),
            device: found.dev(),
        }
    }

    /// Whether the last change is so long ago that a further one would show: clocks of file systems tick slowly.
    fn is_settled(&self) -> bool {
        const TICK: Duration = Duration::from_secs(2);
        let changed = UNIX_EPOCH + Duration::from_secs(self.changed.0.max(0).unsigned_abs());
        #[expect(clippy::disallowed_methods, reason = "decides what is remembered, never what is computed")]
        let now = SystemTime::now();
        now.duration_since(changed).is_ok_and(|age| age > TICK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::codes;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn digests_are_those_of_the_standards() {
        assert_eq!(Digest::sha256(b"abc").to_string(), ABC);
        assert_eq!(
            Digest::blake3(b"abc").to_string(),
            "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"
        );
    }

    #[test]
    fn a_digest_survives_text() {
        let digest = Digest::sha256(b"abc");
        assert_eq!(ABC.parse(), Ok(digest));
        assert_eq!(serde_json::to_string(&digest).unwrap(), format!("\"{ABC}\""));
        assert_eq!(serde_json::from_str::<Digest>(&format!("\"{ABC}\"")).unwrap(), digest);
        for text in ["", "ab", &ABC[1..], &format!("{ABC}00"), &ABC.replace('b', "x"), &"é".repeat(32)] {
            assert_eq!(text.parse::<Digest>(), Err(NotADigest));
        }
    }

    #[test]
    fn files_are_hashed_whole_and_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let contents: Vec<Vec<u8>> = vec![b"abc".to_vec(), Vec::new(), vec![7; (4 << 20) + 3]];
        let paths: Vec<PathBuf> = (0..3).map(|i| dir.path().join(i.to_string())).collect();
        for (path, content) in paths.iter().zip(&contents) {
            fs::write(path, content).unwrap();
        }
        let expected: Vec<Digest> = contents.iter().map(|content| Digest::sha256(content)).collect();
        assert_eq!(sha256_files(&paths).unwrap(), expected);
        let absent = [paths[0].clone(), dir.path().join("absent")];
        assert_eq!(sha256_files(&absent).unwrap_err().code, &codes::READ_FAILED);
    }

    /// A memo that believes `content` to be what an old file holds.
    fn memo_of(path: &Path, memo: &Path, content: &[u8]) -> DigestMemo {
        let (key, stamp) = identity(path).unwrap();
        let seen = BTreeMap::from([(key, Seen { stamp, sha256: Digest::sha256(content) })]);
        DigestMemo { path: Some(memo.to_owned()), seen, changed: true }.save();
        DigestMemo::load(memo)
    }

    #[test]
    fn an_unchanged_file_is_not_read_again_and_a_changed_one_is() {
        let dir = tempfile::tempdir().unwrap();
        let (file, memo) = (dir.path().join("x"), dir.path().join("cache/digests.json"));
        fs::write(&file, "abc").unwrap();
        let paths = [file.clone()];
        // The memo lies, which shows that it was asked.
        let mut believed = memo_of(&file, &memo, b"lie");
        assert_eq!(believed.sha256_files(&paths).unwrap(), [Digest::sha256(b"lie")]);
        fs::write(&file, "abcd").unwrap();
        assert_eq!(believed.sha256_files(&paths).unwrap(), [Digest::sha256(b"abcd")]);
        assert_eq!(fs::read_dir(memo.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_just_changed_is_not_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x");
        fs::write(&file, "abc").unwrap();
        let mut memo = DigestMemo::load(&dir.path().join("memo"));
        assert_eq!(memo.sha256_files(&[file]).unwrap(), [Digest::sha256(b"abc")]);
        assert!(memo.seen.is_empty());
        assert!(Stamp { changed: (1, 0), ..Stamp::of(&fs::metadata(dir.path()).unwrap()) }.is_settled());
    }

    #[test]
    fn a_damaged_memo_is_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        let memo = dir.path().join("memo");
        fs::write(&memo, "{\"x\": 3}").unwrap();
        assert!(DigestMemo::load(&memo).seen.is_empty());
    }
}
