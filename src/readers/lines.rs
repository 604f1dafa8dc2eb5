//! Lines of a text file, one at a time, of bounded length.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::source;
use crate::diagnostic::{Diagnostic, codes};

/// No line is longer; what claims to be is refused before memory is taken for it.
const LONGEST: u64 = 64 << 20;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The lines of a file that hold more than blanks.
#[derive(Debug)]
pub struct Lines {
    path: PathBuf,
    file: BufReader<File>,
    next: Place,
    /// Where the line last read begins.
    last: Place,
}

/// Where a line begins.
#[derive(Debug, Clone, Copy, Default)]
pub struct Place {
    pub offset: u64,
    /// From 1; of the place behind the last line one more than there are.
    pub line: u64,
}

impl Lines {
    /// # Errors
    /// Where the file cannot be opened.
    pub fn open(path: &Path) -> Result<Self, Diagnostic> {
        let start = Place { offset: 0, line: 1 };
        let file = BufReader::new(source::open(path)?);
        Ok(Self { path: path.to_owned(), file, next: start, last: start })
    }

    /// The next line without its end, if there is one. Blank lines are passed over.
    ///
    /// # Errors
    /// Where it cannot be read, is too long, or is no text.
    pub fn next(&mut self) -> Result<Option<String>, Diagnostic> {
        loop {
            let line = self.line()?;
            match line {
                Some(line) if line.trim().is_empty() => {}
                line => return Ok(line),
            }
        }
    }

    /// Where the line last read begins.
    pub fn place(&self) -> Place {
        self.last
    }

    /// Goes to the beginning of a line.
    ///
    /// # Errors
    /// Where the file cannot be read there.
    pub fn go_to(&mut self, place: Place) -> Result<(), Diagnostic> {
        self.file.seek(SeekFrom::Start(place.offset)).map_err(|error| source::unread(&self.path, &error))?;
        self.next = place;
        Ok(())
    }

    fn line(&mut self) -> Result<Option<String>, Diagnostic> {
        let mut bytes = Vec::new();
        let read = self.file.by_ref().take(LONGEST).read_until(b'\n', &mut bytes);
        let read = read.map_err(|error| source::unread(&self.path, &error))? as u64;
        self.last = self.next;
        if read == 0 {
            return Ok(None);
        }
        let Place { offset, line } = self.last;
        if read == LONGEST {
            return Err(invalid(&self.path, line, &format!("is longer than {} MiB", LONGEST >> 20)));
        }
        self.next = Place { offset: offset + read, line: line + 1 };
        if offset == 0 && bytes.starts_with(BYTE_ORDER_MARK) {
            bytes.drain(..BYTE_ORDER_MARK.len());
        }
        let text = String::from_utf8(bytes).map_err(|_| invalid(&self.path, line, "is not UTF-8"))?;
        Ok(Some(text.trim_end_matches(['\n', '\r']).to_owned()))
    }
}

/// A line that is not as it must be: `invalid(path, 3, "is not JSON")`.
pub fn invalid(path: &Path, line: u64, what: &str) -> Diagnostic {
    Diagnostic::new(&codes::DATA_INVALID, format!("line {line} of `{}` {what}", path.display())).path(path)
}
