//! Room on a disk, and what a failed write means.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::diagnostic::{Diagnostic, codes};

/// Bytes that may still be written to the file system of a path.
pub fn free_space(path: &Path) -> io::Result<u64> {
    let stats = rustix::fs::statvfs(path)?;
    Ok(stats.f_bavail.saturating_mul(stats.f_frsize))
}

/// Refuses before the first byte what cannot end well. `dir` exists; `shown` is the path to name.
pub fn reserve(dir: &Path, shown: &Path, needed: u64) -> Result<(), Diagnostic> {
    let free = free_space(dir).map_err(|error| cannot_write(shown, &error))?;
    if needed <= free {
        return Ok(());
    }
    let message = format!("`{}` needs {}, but {} are free", shown.display(), size(needed), size(free));
    Err(Diagnostic::new(&codes::DISK_FULL, message).path(shown))
}

/// Gives a new file its size and its first bytes.
pub fn allocate(file: &File, bytes: u64, head: &[u8]) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    match fallocate(file, FallocateFlags::empty(), 0, bytes.max(1)) {
        Err(Errno::NOSPC | Errno::DQUOT) => return Err(io::ErrorKind::StorageFull.into()),
        // Not every file system can reserve blocks: there, a full disk shows later.
        Ok(()) | Err(_) => file.set_len(bytes)?,
    }
    file.write_all_at(head, 0)
}

/// The diagnostic of a failed write.
pub fn cannot_write(path: &Path, error: &io::Error) -> Diagnostic {
    use io::ErrorKind as Kind;
    let (code, why) = match error.kind() {
        Kind::StorageFull => (&codes::DISK_FULL, "the disk is full".to_owned()),
        Kind::QuotaExceeded => (&codes::DISK_FULL, "the quota is used up".to_owned()),
        Kind::PermissionDenied | Kind::ReadOnlyFilesystem | Kind::NotADirectory | Kind::AlreadyExists => {
            (&codes::OUTPUT_NOT_WRITABLE, error.to_string())
        }
        _ => (&codes::WRITE_FAILED, error.to_string()),
    };
    Diagnostic::new(code, format!("cannot write `{}`: {why}", path.display())).path(path)
}

/// Bytes as people say them: `90.9 MB`.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "kB", "MB", "GB", "TB"];
    let (mut amount, mut unit) = (bytes as f64, 0);
    while amount >= 999.5 && unit + 1 < UNITS.len() {
        amount /= 1000.0;
        unit += 1;
    }
    let digits = if unit == 0 || amount >= 99.95 { 0 } else { usize::from(amount < 9.995) + 1 };
    format!("{amount:.digits$} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::diagnostic::Fault;

    #[test]
    fn sizes_have_three_digits() {
        let said = [0, 999, 1000, 90_851_968, 99_960_000, 5_000_000_000, u64::MAX].map(size);
        assert_eq!(said, ["0 bytes", "999 bytes", "1.00 kB", "90.9 MB", "100 MB", "5.00 GB", "18446744 TB"]);
    }

    #[test]
    fn room_is_asked_for_with_both_figures() {
        let dir = tempfile::tempdir().unwrap();
        assert!(reserve(dir.path(), Path::new("out"), 1).is_ok());
        let error = reserve(dir.path(), Path::new("out"), u64::MAX).unwrap_err();
        assert_eq!((error.code, error.code.fault), (&codes::DISK_FULL, Fault::Output));
        assert!(error.message.starts_with("`out` needs 18446744 TB, but "), "{}", error.message);
    }

    #[test]
    fn a_full_disk_and_a_read_only_one_are_told_apart() {
        let error = File::options().write(true).open("/dev/full").and_then(|mut full| full.write_all(b"x"));
        if let Err(error) = error {
            assert_eq!(cannot_write(Path::new("x"), &error).code, &codes::DISK_FULL);
        }
        let code = |kind: io::ErrorKind| cannot_write(Path::new("x"), &kind.into()).code;
        assert_eq!(code(io::ErrorKind::QuotaExceeded), &codes::DISK_FULL);
        assert_eq!(code(io::ErrorKind::ReadOnlyFilesystem), &codes::OUTPUT_NOT_WRITABLE);
        assert_eq!(code(io::ErrorKind::PermissionDenied), &codes::OUTPUT_NOT_WRITABLE);
        assert_eq!(code(io::ErrorKind::Other), &codes::WRITE_FAILED);
    }
}
