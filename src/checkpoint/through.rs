//! Weight files read once, from their first byte to their last: hashed, and shown to whoever counts or checks on the way.

use std::os::unix::fs::FileExt;

use super::sha256::{Sha256, update_both};
use super::{Checkpoint, Digest, FileId, Stored, WeightFile, cannot_read};
use crate::diagnostic::Diagnostic;

/// Bytes that are read at once: so few that they are still in the processor's own cache when they are hashed and counted.
const PIECE: u64 = 128 << 10;

/// Some bytes of a tensor that go by.
#[derive(Debug)]
pub struct Passing<'a> {
    pub name: &'a str,
    pub stored: &'a Stored,
    /// Where they begin within the tensor.
    pub offset: u64,
    pub bytes: &'a [u8],
}

impl Checkpoint {
    /// The files, in ones or twos for threads that are to have about the same work: two files are hashed as fast as one.
    pub fn shares(&self) -> Vec<Vec<FileId>> {
        let ids: Vec<FileId> = (0..self.files.len() as u32).map(FileId).collect();
        let each = if ids.len() >= 2 * rayon::current_num_threads() { 2 } else { 1 };
        ids.chunks(each).map(<[FileId]>::to_vec).collect()
    }

    /// The SHA-256 of one or two files. Tensors are shown in the order of each file, in pieces that begin at multiples of
    /// `granule` bytes.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub fn read_through(
        &self,
        ids: &[FileId],
        granule: impl Fn(&str, &Stored) -> u64,
        mut show: impl FnMut(Passing<'_>),
    ) -> Result<Vec<Digest>, Diagnostic> {
        let mut readings: Vec<Reading<'_>> = ids.iter().map(|&id| self.reading(id, &granule)).collect();
        loop {
            let mut read = false;
            for reading in &mut readings {
                if reading.fill()? {
                    read = true;
                    reading.passing().into_iter().for_each(&mut show);
                }
            }
            if !read {
                return Ok(readings.into_iter().map(Reading::digest).collect());
            }
            hash(&mut readings);
        }
    }

    fn reading(&self, id: FileId, granule: impl Fn(&str, &Stored) -> u64) -> Reading<'_> {
        let whole = self.file(id);
        let mut tensors: Vec<(&str, &Stored)> = self
            .tensors
            .iter()
            .filter(|(_, stored)| stored.file == id && stored.bytes > 0)
            .map(|(name, stored)| (name.as_str(), stored))
            .collect();
        tensors.sort_unstable_by_key(|(_, stored)| stored.offset);
        // Every byte belongs to the header or to exactly one tensor: that was checked when the file was opened.
        let header = tensors.first().map_or(whole.bytes, |(_, stored)| stored.offset);
        let mut spans = vec![Span { tensor: None, start: 0, bytes: header, piece: PIECE }];
        spans.extend(tensors.into_iter().map(|(name, stored)| {
            let granule = granule(name, stored).max(1);
            let piece = (PIECE / granule).max(1).saturating_mul(granule);
            Span { tensor: Some((name, stored)), start: stored.offset, bytes: stored.bytes, piece }
        }));
        Reading { whole, spans, span: 0, offset: 0, hash: Sha256::new(), buffer: Vec::new(), carried: 0 }
    }
}

/// Bytes of a file that belong together, and how many of them are read at once.
struct Span<'a> {
    tensor: Option<(&'a str, &'a Stored)>,
    start: u64,
    bytes: u64,
    piece: u64,
}

/// A file that is being read.
struct Reading<'a> {
    whole: &'a WeightFile,
    spans: Vec<Span<'a>>,
    /// The span that is read, and how much of it was read with the last piece.
    span: usize,
    offset: u64,
    hash: Sha256,
    /// Bytes that wait for their block to be full, then the last piece.
    buffer: Vec<u8>,
    carried: usize,
}

impl<'a> Reading<'a> {
    /// Reads the next piece, if there is one.
    fn fill(&mut self) -> Result<bool, Diagnostic> {
        self.buffer.truncate(self.carried);
        if self.spans.get(self.span).is_some_and(|span| self.offset == span.bytes) {
            (self.span, self.offset) = (self.span + 1, 0);
        }
        let Some(span) = self.spans.get(self.span) else { return Ok(false) };
        let count = span.piece.min(span.bytes - self.offset);
        let size = usize::try_from(count).expect("a checked tensor fits the address space");
        self.buffer.resize(self.carried + size, 0);
        let WeightFile { path, file, .. } = self.whole;
        let read = file.read_exact_at(&mut self.buffer[self.carried..], span.start + self.offset);
        read.map_err(|error| cannot_read(path, &error))?;
        self.offset += count;
        Ok(true)
    }

    /// The last piece, where it is of a tensor.
    fn passing(&self) -> Option<Passing<'_>> {
        let (name, stored) = self.spans[self.span].tensor?;
        let bytes = &self.buffer[self.carried..];
        Some(Passing { name, stored, offset: self.offset - bytes.len() as u64, bytes })
    }

    /// Keeps what fills no block for the next piece.
    fn carry(&mut self) {
        let rest = self.buffer.len() % 64;
        let whole = self.buffer.len() - rest;
        self.buffer.copy_within(whole.., 0);
        self.buffer.truncate(rest);
        self.carried = rest;
    }

    fn digest(self) -> Digest {
        self.hash.finish(&self.buffer)
    }
}

fn hash(readings: &mut [Reading<'_>]) {
    let mut left = readings.iter_mut();
    while let Some(first) = left.next() {
        let blocks = first.buffer.as_chunks().0;
        match left.next() {
            Some(second) => {
                update_both((&mut first.hash, blocks), (&mut second.hash, second.buffer.as_chunks().0));
                second.carry();
            }
            None => first.hash.update(blocks),
        }
        first.carry();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use super::*;
    use crate::checkpoint::{Existing, OutputDir, TensorSpec};
    use crate::tensor::DType;

    /// A checkpoint of tensors of those rows of six bf16 numbers, about two to a file.
    fn checkpoint(dir: &std::path::Path, rows: &[usize]) -> Checkpoint {
        let output = OutputDir::create(&dir.join("model"), Existing::Refuse, &[]).unwrap();
        let spec = |(at, &rows): (usize, &usize)| TensorSpec {
            name: format!("t{at}"),
            dtype: DType::Bf16,
            shape: vec![rows, 6],
        };
        let specs: Vec<TensorSpec> = rows.iter().enumerate().map(spec).collect();
        let files = output.tensors(&specs, Some(1 << 20)).unwrap();
        for (at, &rows) in rows.iter().enumerate() {
            let bytes: Vec<u8> = (0..rows * 12).map(|byte| (byte * 31 + at) as u8).collect();
            files.write_at(at, 0, &bytes).unwrap();
        }
        output.put("config.json", b"{}").unwrap();
        output.finish().unwrap();
        Checkpoint::open(&dir.join("model")).unwrap()
    }

    #[test]
    fn every_byte_goes_by_once_and_in_whole_granules() {
        let dir = tempfile::tempdir().unwrap();
        let checkpoint = checkpoint(dir.path(), &[50_000, 0, 3, 70_001, 20_000, 1]);
        let ids: Vec<FileId> = (0..checkpoint.files().len() as u32).map(FileId).collect();
        assert!(ids.len() > 1, "two files side by side, of unequal length");
        for share in ids.chunks(1).chain(ids.chunks(2)) {
            let mut seen: BTreeMap<String, Vec<u8>> = BTreeMap::new();
            let show = |passing: Passing<'_>| {
                let seen = seen.entry(passing.name.to_owned()).or_default();
                assert_eq!(passing.offset, seen.len() as u64);
                assert!(passing.offset.is_multiple_of(36), "a granule is three rows");
                seen.extend(passing.bytes);
            };
            let digests = checkpoint.read_through(share, |_, _| 36, show).unwrap();
            for (&id, digest) in share.iter().zip(digests) {
                assert_eq!(digest, Digest::sha256(&fs::read(&checkpoint.file(id).path).unwrap()));
            }
            for (name, stored) in checkpoint.tensors.iter().filter(|(_, stored)| share.contains(&stored.file))
            {
                assert_eq!(seen.remove(name).unwrap_or_default(), checkpoint.read(stored).unwrap());
            }
            assert!(seen.is_empty());
        }
    }
}
