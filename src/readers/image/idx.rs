//! IDX files, as MNIST and its kin come: pictures of bytes in one file, labels in another.

use std::path::{Path, PathBuf};

use super::part::{PACKED, Part};
use super::picture::Picture;
use crate::diagnostic::Diagnostic;

/// Three zeros less: two, the code of bytes, the number of dimensions.
const IMAGES: u32 = 0x0803;
const LABELS: u32 = 0x0801;

/// Pixels of the largest picture that is read.
const LARGEST: u64 = 1 << 28;

/// Pictures and their labels, read by number.
#[derive(Debug)]
pub struct Idx {
    images: Part,
    labels: Part,
    pub count: usize,
    height: usize,
    width: usize,
}

impl Idx {
    /// Opens the file of pictures, and that of labels beside it.
    ///
    /// # Errors
    /// Where one is missing, damaged, or not as long as it says.
    pub fn open(images: &Path) -> Result<Self, Diagnostic> {
        let mut images = Part::open(images)?;
        let [count, height, width] = header(&mut images, IMAGES)?;
        let size = u64::from(height) * u64::from(width);
        if size == 0 || size > LARGEST {
            return Err(images.damaged(&format!("claims pictures of {height} x {width} pixels")));
        }
        images.has_length(16 + u128::from(count) * u128::from(size))?;
        let mut labels = Part::open(&labels_of(&images.path))?;
        let [labelled] = header(&mut labels, LABELS)?;
        labels.has_length(8 + u128::from(labelled))?;
        if labelled != count {
            return Err(labels.damaged(&format!("has {labelled} labels for {count} pictures")));
        }
        Ok(Self { images, labels, count: count as usize, height: height as usize, width: width as usize })
    }

    /// The picture of a number below the count, and its label. Packed files are fast in ascending order only.
    ///
    /// # Errors
    /// Where the files cannot be read, or end too early.
    pub fn read(&mut self, number: usize) -> Result<(Picture, usize), Diagnostic> {
        let Self { images, labels, height, width, .. } = self;
        let size = *height * *width;
        let values = images.read(16 + number as u64 * size as u64, size)?;
        let label = labels.read(8 + number as u64, 1)?;
        let picture = Picture { channels: 1, height: *height, width: *width, values };
        Ok((picture, usize::from(label[0])))
    }

    pub fn is_packed(&self) -> bool {
        self.images.is_packed()
    }

    pub fn files(&self) -> Vec<PathBuf> {
        vec![self.images.path.clone(), self.labels.path.clone()]
    }

    pub fn path(&self) -> &Path {
        &self.images.path
    }
}

/// The sizes of the dimensions of a file.
fn header<const DIMENSIONS: usize>(part: &mut Part, magic: u32) -> Result<[u32; DIMENSIONS], Diagnostic> {
    let bytes = part.read(0, 4 + 4 * DIMENSIONS)?;
    let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    if word(0) != magic {
        return Err(part.damaged("is no IDX file of bytes in that many dimensions"));
    }
    Ok(std::array::from_fn(|dimension| word(4 + 4 * dimension)))
}

/// `train-labels-idx1-ubyte` of `train-images-idx3-ubyte`.
fn labels_of(images: &Path) -> PathBuf {
    let name = images.file_name().unwrap_or_default().to_string_lossy();
    images.with_file_name(name.replace("images", "labels").replace("idx3", "idx1"))
}

/// Whether a file of this name holds pictures.
pub fn is_images(name: &str) -> bool {
    let plain = name.strip_suffix(PACKED).unwrap_or(name);
    ["images-idx3-ubyte", "images.idx3-ubyte"].iter().any(|ending| plain.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::diagnostic::codes;

    fn file(magic: u32, sizes: &[u32], bytes: &[u8]) -> Vec<u8> {
        let words = std::iter::once(&magic).chain(sizes);
        words.flat_map(|word| word.to_be_bytes()).chain(bytes.iter().copied()).collect()
    }

    fn open(images: &[u8], labels: &[u8]) -> Result<Idx, Diagnostic> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("train-images-idx3-ubyte");
        std::fs::write(&path, images).unwrap();
        std::fs::write(dir.path().join("train-labels-idx1-ubyte"), labels).unwrap();
        Idx::open(&path)
    }

    #[test]
    fn pictures_are_read_by_number() {
        let mut idx = open(&file(IMAGES, &[2, 1, 2], &[1, 2, 3, 4]), &file(LABELS, &[2], &[7, 9])).unwrap();
        assert_eq!(idx.count, 2);
        let expected = Picture { channels: 1, height: 1, width: 2, values: vec![3, 4] };
        assert_eq!(idx.read(1).unwrap(), (expected, 9));
    }

    #[test]
    fn damaged_files_are_refused_before_memory_is_taken() {
        let (images, labels) = (file(IMAGES, &[1, 1, 1], &[1]), file(LABELS, &[1], &[1]));
        assert!(open(&images, &labels).is_ok());
        let huge = u32::MAX;
        for (images, labels) in [
            (images[..15].to_vec(), labels.clone()),
            (images[..16].to_vec(), labels.clone()),
            (file(LABELS, &[1, 1, 1], &[1]), labels.clone()),
            (file(IMAGES, &[huge, huge, huge], &[1]), labels.clone()),
            (file(IMAGES, &[huge, 28, 28], &[1]), labels.clone()),
            (file(IMAGES, &[0, huge, huge], &[]), labels.clone()),
            (file(IMAGES, &[1, 0, 0], &[]), labels.clone()),
            (images.clone(), Vec::new()),
            (images.clone(), file(LABELS, &[2], &[1, 2])),
            (images.clone(), file(LABELS, &[huge], &[1])),
        ] {
            assert_eq!(open(&images, &labels).unwrap_err().code, &codes::DATA_INVALID);
        }
    }

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn packed_files_are_read_in_any_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("train-images-idx3-ubyte.gz");
        let write = |images: &[u8]| {
            std::fs::write(&path, images).unwrap();
            let labels = packed(&file(LABELS, &[3], &[7, 8, 9]));
            std::fs::write(dir.path().join("train-labels-idx1-ubyte.gz"), labels).unwrap();
            Idx::open(&path)
        };
        let whole = packed(&file(IMAGES, &[3, 1, 2], &[1, 2, 3, 4, 5, 6]));
        let mut idx = write(&whole).unwrap();
        let mut read = |number| idx.read(number).map(|(picture, label)| (picture.values, label)).unwrap();
        assert_eq!([2, 0, 1].map(&mut read), [(vec![5, 6], 9), (vec![1, 2], 7), (vec![3, 4], 8)]);
        assert!(is_images("train-images-idx3-ubyte.gz"));
        let mut short = write(&packed(&file(IMAGES, &[3, 1, 2], &[1, 2, 3]))).unwrap();
        assert!(short.read(0).is_ok());
        assert_eq!(short.read(1).unwrap_err().code, &codes::DATA_INVALID);
        assert_eq!(write(&whole[..12]).unwrap_err().code, &codes::DATA_INVALID);
        assert_eq!(write(b"no gzip").unwrap_err().code, &codes::DATA_INVALID);
    }
}
