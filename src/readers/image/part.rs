//! A file read by position, packed with gzip or not.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use crate::diagnostic::{Diagnostic, codes};
use crate::readers::source;

/// The ending of packed files.
pub const PACKED: &str = ".gz";

#[derive(Debug)]
pub struct Part {
    pub path: PathBuf,
    bytes: Bytes,
}

#[derive(Debug)]
enum Bytes {
    Plain(File),
    /// Unpacked as far as it was read; to go back is to begin anew.
    Packed {
        decoder: Box<GzDecoder<BufReader<File>>>,
        at: u64,
    },
}

impl Bytes {
    fn unpacking(file: File) -> Self {
        Self::Packed { decoder: Box::new(GzDecoder::new(BufReader::new(file))), at: 0 }
    }
}

impl Part {
    /// # Errors
    /// Where the file cannot be opened.
    pub fn open(path: &Path) -> Result<Self, Diagnostic> {
        let file = source::open(path)?;
        let is_packed = path.to_string_lossy().ends_with(PACKED);
        let bytes = if is_packed { Bytes::unpacking(file) } else { Bytes::Plain(file) };
        Ok(Self { path: path.to_owned(), bytes })
    }

    pub fn is_packed(&self) -> bool {
        matches!(self.bytes, Bytes::Packed { .. })
    }

    /// So many bytes. Memory is taken as they come, not as they are asked for.
    ///
    /// # Errors
    /// Where there are fewer, or they cannot be read.
    pub fn read(&mut self, offset: u64, count: usize) -> Result<Vec<u8>, Diagnostic> {
        let read = match &mut self.bytes {
            Bytes::Plain(file) => {
                let there = file.metadata().map(|found| found.len());
                there.and_then(|there| match offset.checked_add(count as u64) {
                    Some(end) if end <= there => {
                        let mut bytes = vec![0; count];
                        file.read_exact_at(&mut bytes, offset).map(|()| bytes)
                    }
                    _ => Err(io::ErrorKind::UnexpectedEof.into()),
                })
            }
            Bytes::Packed { at, .. } if *at > offset => {
                self.bytes = Bytes::unpacking(source::open(&self.path)?);
                return self.read(offset, count);
            }
            Bytes::Packed { decoder, at } => {
                let before = io::copy(&mut decoder.by_ref().take(offset - *at), &mut io::sink());
                before.and_then(|passed| {
                    *at += passed;
                    let mut bytes = Vec::new();
                    decoder.by_ref().take(count as u64).read_to_end(&mut bytes)?;
                    *at += bytes.len() as u64;
                    if bytes.len() == count { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
                })
            }
        };
        read.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => self.damaged("ends too early"),
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                self.damaged(&format!("cannot be unpacked: {error}"))
            }
            _ => source::unread(&self.path, &error),
        })
    }

    /// Refuses a file of another length than its header says. What a packed one holds shows only at its end.
    ///
    /// # Errors
    /// With both lengths.
    pub fn has_length(&self, said: u128) -> Result<(), Diagnostic> {
        let Bytes::Plain(file) = &self.bytes else { return Ok(()) };
        let found = file.metadata().map_err(|error| source::unread(&self.path, &error))?;
        let there = u128::from(found.len());
        match there == said {
            true => Ok(()),
            false => Err(self.damaged(&format!("has {there} bytes, where its header says {said}"))),
        }
    }

    pub fn damaged(&self, how: &str) -> Diagnostic {
        Diagnostic::new(&codes::DATA_INVALID, format!("`{}` {how}", self.path.display())).path(&self.path)
    }
}
