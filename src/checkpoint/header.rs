//! The header of one safetensors file: parsed and checked until every byte of the file belongs to exactly one tensor.
//!
//! ```text
//! length of the header, u64 | {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...} | data
//! ```
//! What passes is also put before the `safetensors` crate, so that no file is read here that other readers refuse.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde::Deserialize;
use serde::de::{IntoDeserializer, value};

use super::listing::{Header, Listed};
use super::text::{LIMIT, duplicate, named, shown};
use crate::diagnostic::{Code, Diagnostic, codes};
use crate::tensor::DType;

/// Bytes of the length that a file begins with.
pub const PREFIX: u64 = 8;

/// One tensor of a header. `start` is its position in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub name: String,
    pub dtype: DType,
    pub shape: Vec<usize>,
    pub start: u64,
    pub bytes: u64,
}

/// Reads the tensors of a file of `size` bytes, in the order of their data.
pub fn read(file: &File, size: u64, path: &Path) -> Result<Vec<Entry>, Diagnostic> {
    let json = text(file, size, path)?;
    entries(&json, size - PREFIX - json.len() as u64).map_err(|wrong| {
        Diagnostic::new(wrong.code, format!("{}: {}", named(path), wrong.message)).path(path)
    })
}

/// What is wrong with a header; the file's name is added above.
struct Wrong {
    code: &'static Code,
    message: String,
}

fn wrong(code: &'static Code, message: String) -> Wrong {
    Wrong { code, message }
}

/// The header's text. Its length is believed only after it is compared with the size of the file.
fn text(file: &File, size: u64, path: &Path) -> Result<String, Diagnostic> {
    let refuse =
        |code, message: String| Diagnostic::new(code, format!("{} {message}", named(path))).path(path);
    let read = |bytes: &mut [u8], at| file.read_exact_at(bytes, at).map_err(|e| super::cannot_read(path, &e));
    if size < PREFIX {
        let message = format!("has {size} bytes: not even the length of a header");
        return Err(refuse(&codes::WEIGHTS_TRUNCATED, message));
    }
    let mut prefix = [0; PREFIX as usize];
    read(&mut prefix, 0)?;
    if let Some(kind) = disguise(&prefix) {
        return Err(refuse(&codes::HEADER_INVALID, format!("is {kind}")));
    }
    let length = u64::from_le_bytes(prefix);
    if length > LIMIT {
        let message = format!("announces a header of {length} bytes; the format allows {LIMIT}");
        return Err(refuse(&codes::HEADER_TOO_LARGE, message));
    }
    if length > size - PREFIX {
        let message = format!("announces a header of {length} bytes, but ends after {}", size - PREFIX);
        return Err(refuse(&codes::WEIGHTS_TRUNCATED, message));
    }
    let mut header = vec![0; usize::try_from(length).expect("at most 100 MB")];
    read(&mut header, PREFIX)?;
    String::from_utf8(header)
        .map_err(|error| refuse(&codes::HEADER_INVALID, format!("has a header that is not UTF-8: {error}")))
}

/// Other files that are met under this name, told by how they begin.
fn disguise(prefix: &[u8]) -> Option<&'static str> {
    match prefix {
        b"version " => Some("a Git LFS pointer, not the weights themselves: run `git lfs pull`"),
        [b'P', b'K', 3, 4, ..] => Some("a zip archive (a pickled torch checkpoint is one), not safetensors"),
        [b'G', b'G', b'U', b'F', ..] => Some("a GGUF file, not safetensors"),
        [b'<', b'!' | b'h', ..] => Some("a web page, not safetensors: the download went wrong"),
        _ => None,
    }
}

fn entries(json: &str, data: u64) -> Result<Vec<Entry>, Wrong> {
    let header: Header = serde_json::from_str(json)
        .map_err(|error| wrong(&codes::HEADER_INVALID, format!("the header is no tensor list: {error}")))?;
    if let Some(name) = duplicate(&header.tensors) {
        let message = format!("the header lists `{}` twice", shown(name));
        return Err(wrong(&codes::DUPLICATE_TENSOR, message));
    }
    let base = PREFIX + json.len() as u64;
    let mut entries: Vec<Entry> =
        header.tensors.iter().map(|(name, listed)| entry(name, listed, base)).collect::<Result<_, _>>()?;
    entries.sort_by(|a, b| (a.start, a.bytes, &a.name).cmp(&(b.start, b.bytes, &b.name)));
    contiguous(&entries, base, data)?;
    accepted(&entries, base)?;
    Ok(entries)
}

/// One tensor: its type is known, and its shape takes as many bytes as its offsets span.
fn entry(name: &str, listed: &Listed<'_>, base: u64) -> Result<Entry, Wrong> {
    let (begin, end) = listed.data_offsets;
    let name_shown = shown(name);
    let dtype =
        element_type(&listed.dtype).map_err(|(code, why)| wrong(code, format!("`{name_shown}` {why}")))?;
    let shape = &listed.shape.0;
    let size =
        shape.iter().try_fold(dtype.size(), |size, &extent| size.checked_mul(extent)).ok_or_else(|| {
            wrong(&codes::TENSOR_SIZE, format!("the shape {shape:?} of `{name_shown}` overflows any memory"))
        })?;
    let span = end.checked_sub(begin).ok_or_else(|| {
        wrong(
            &codes::TENSOR_OFFSETS,
            format!("`{name_shown}` ends at byte {end}, before it begins at {begin}"),
        )
    })?;
    if span != size as u64 {
        let message =
            format!("`{name_shown}` is {dtype} {shape:?}, {size} bytes, but its offsets span {span}");
        return Err(wrong(&codes::TENSOR_SIZE, message));
    }
    let start =
        base.checked_add(begin).filter(|start| start.checked_add(span).is_some()).ok_or_else(|| {
            wrong(
                &codes::TENSOR_OFFSETS,
                format!("`{name_shown}` begins at byte {begin}, past the end of any file"),
            )
        })?;
    Ok(Entry { name: name.to_owned(), dtype, shape: shape.clone(), start, bytes: span })
}

fn element_type(name: &str) -> Result<DType, (&'static Code, String)> {
    let known = |name: &str| {
        let name: value::StrDeserializer<'_, value::Error> = name.into_deserializer();
        Dtype::deserialize(name).is_ok()
    };
    DType::from_header(name).ok_or_else(|| {
        if known(name) {
            (&codes::UNSUPPORTED_DTYPE, format!("is stored as {name}, which tamis does not compute with"))
        } else {
            (
                &codes::UNKNOWN_DTYPE,
                format!("has the element type `{}`, which safetensors has not", shown(name)),
            )
        }
    })
}

/// Each tensor begins where the one before it ends, and the last ends where the file does.
fn contiguous(entries: &[Entry], base: u64, data: u64) -> Result<(), Wrong> {
    let mut end = base;
    for (index, entry) in entries.iter().enumerate() {
        let name = shown(&entry.name);
        if entry.start < end {
            let before = shown(&entries[index - 1].name);
            return Err(wrong(
                &codes::TENSOR_OFFSETS,
                format!("the data of `{name}` overlaps that of `{before}`"),
            ));
        }
        if entry.start > end {
            let message = format!("{} bytes before `{name}` belong to no tensor", entry.start - end);
            return Err(wrong(&codes::TENSOR_OFFSETS, message));
        }
        end = entry.start + entry.bytes;
        if end > base + data {
            let message = format!("`{name}` ends at byte {end}, but the file has {}", base + data);
            return Err(wrong(&codes::WEIGHTS_TRUNCATED, message));
        }
    }
    if end < base + data {
        let message = format!("{} bytes after the last tensor belong to none", base + data - end);
        return Err(wrong(&codes::TENSOR_OFFSETS, message));
    }
    Ok(())
}

/// The crate's own verdict. It has nothing to add to the checks above, unless it learns.
fn accepted(entries: &[Entry], base: u64) -> Result<(), Wrong> {
    let position = |at: u64| {
        usize::try_from(at - base).map_err(|error| wrong(&codes::TENSOR_OFFSETS, error.to_string()))
    };
    let info = |entry: &Entry| {
        let data_offsets = (position(entry.start)?, position(entry.start + entry.bytes)?);
        let info = TensorInfo { dtype: stored_type(entry.dtype), shape: entry.shape.clone(), data_offsets };
        Ok((entry.name.clone(), info))
    };
    let infos = entries.iter().map(info).collect::<Result<_, Wrong>>()?;
    Metadata::new(None, infos).map_err(|error| wrong(&codes::HEADER_INVALID, error.to_string()))?;
    Ok(())
}

/// The `safetensors` crate's name of an element type; its order is that of the data in a file.
pub fn stored_type(dtype: DType) -> Dtype {
    match dtype {
        DType::F64 => Dtype::F64,
        DType::F32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::Bf16 => Dtype::BF16,
        DType::I64 => Dtype::I64,
        DType::I32 => Dtype::I32,
        DType::I16 => Dtype::I16,
        DType::I8 => Dtype::I8,
        DType::U8 => Dtype::U8,
        DType::Bool => Dtype::BOOL,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use safetensors::SafeTensors;

    use super::*;
    use crate::checkpoint::fixture::safetensors;

    /// Reads what a file of those bytes holds.
    fn read_bytes(content: &[u8]) -> Result<Vec<Entry>, Diagnostic> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        read(file.as_file(), content.len() as u64, file.path())
    }

    /// The code that a file of this header and that many bytes of data is refused with.
    fn refused(json: &str, data: usize) -> (&'static str, String) {
        let error = read_bytes(&safetensors(json, &vec![0; data])).unwrap_err();
        assert!(error.path.is_some());
        (error.code.name, error.message)
    }

    const TWO: &str = r#"{"__metadata__":{"format":"pt"},
        "b":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"a":{"dtype":"BF16","shape":[],"data_offsets":[24,26]}}"#;

    #[test]
    fn tensors_come_in_the_order_of_their_data() {
        let entries = read_bytes(&safetensors(TWO, &[0; 26])).unwrap();
        let base = PREFIX + TWO.len() as u64;
        let b = Entry { name: "b".into(), dtype: DType::F32, shape: vec![2, 3], start: base, bytes: 24 };
        let a = Entry { name: "a".into(), dtype: DType::Bf16, shape: vec![], start: base + 24, bytes: 2 };
        assert_eq!(entries, [b, a]);
    }

    #[test]
    fn empty_tensors_and_no_tensors_are_fine() {
        let empty = r#"{"a":{"dtype":"F32","shape":[0,3],"data_offsets":[0,0]},
            "b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"c":{"dtype":"I64","shape":[0],"data_offsets":[1,1]}}"#;
        assert_eq!(read_bytes(&safetensors(empty, &[0])).unwrap().len(), 3);
        assert!(read_bytes(&safetensors("{}", &[])).unwrap().is_empty());
    }

    #[test]
    fn a_length_is_compared_with_the_file_before_it_is_believed() {
        let announce =
            |length: u64| read_bytes(&[&length.to_le_bytes()[..], b"{}"].concat()).unwrap_err().code;
        assert_eq!(announce(3), &codes::WEIGHTS_TRUNCATED);
        assert_eq!(announce(100_000_000), &codes::WEIGHTS_TRUNCATED);
        assert_eq!(announce(100_000_001), &codes::HEADER_TOO_LARGE);
        assert_eq!(announce(u64::MAX), &codes::HEADER_TOO_LARGE);
        assert_eq!(read_bytes(b"1234567").unwrap_err().code, &codes::WEIGHTS_TRUNCATED);
        assert_eq!(read_bytes(b"").unwrap_err().code, &codes::WEIGHTS_TRUNCATED);
    }

    #[test]
    fn other_files_under_this_name_are_recognised() {
        let said = |content: &[u8]| read_bytes(content).unwrap_err().message;
        assert!(said(b"version https://git-lfs.github.com/spec/v1").contains("git lfs pull"));
        assert!(said(b"PK\x03\x04\0\0\0\0\0\0").contains("pickled"));
        assert!(said(b"<!DOCTYPE html>").contains("web page"));
    }

    #[test]
    fn a_header_is_an_object_of_tensors_in_utf_8() {
        let deep = format!(r#"{{"a":{}"#, "[".repeat(10_000));
        let flat =
            format!(r#"{{"a":{{"dtype":"F32","shape":[{}0],"data_offsets":[0,0]}}}}"#, "0,".repeat(9999));
        for json in [
            "",
            "[]",
            "{",
            "{} x",
            r#"{"a":1}"#,
            r#"{"a":{"dtype":"F32"}}"#,
            r#"{"__metadata__":3}"#,
            &deep,
            &flat,
        ] {
            assert_eq!(refused(json, 0).0, "header-invalid", "{json:.40}");
        }
        let negative = r#"{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}}"#;
        assert_eq!(refused(negative, 1).0, "header-invalid");
        assert!(
            refused(negative, 1).1.contains("`a`: invalid value: integer `-1`"),
            "{}",
            refused(negative, 1).1
        );
        assert_eq!(read_bytes(b"\x02\0\0\0\0\0\0\0\xff\xfe").unwrap_err().code, &codes::HEADER_INVALID);
    }

    #[test]
    fn a_name_counts_once() {
        let same = r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#;
        assert_eq!(refused(same, 1).0, "duplicate-tensor");
        let metadata = r#"{"__metadata__":{"x":"1","x":"2"}}"#;
        assert_eq!(refused(metadata, 0).0, "header-invalid");
    }

    #[test]
    fn element_types_are_unknown_or_not_supported() {
        let of = |dtype: &str| {
            refused(&format!(r#"{{"w":{{"dtype":"{dtype}","shape":[1],"data_offsets":[0,1]}}}}"#), 1)
        };
        assert_eq!(of("F8_E4M3").0, "unsupported-dtype");
        assert!(of("F8_E4M3").1.contains("`w` is stored as F8_E4M3"));
        assert_eq!(of("U16").0, "unsupported-dtype");
        assert_eq!(of("f32").0, "unknown-dtype");
        assert!(of("Q4\\u001b[2J").1.contains(r"`Q4\u{1b}[2J`"));
    }

    #[test]
    fn every_byte_belongs_to_one_tensor() {
        let two = |a: &str, b: &str| {
            format!(
                r#"{{"a":{{"dtype":"U8","shape":[4],"data_offsets":{a}}},"b":{{"dtype":"U8","shape":[4],"data_offsets":{b}}}}}"#
            )
        };
        assert_eq!(refused(&two("[0,4]", "[2,6]"), 6).0, "tensor-offsets");
        assert_eq!(refused(&two("[0,4]", "[0,4]"), 4).0, "tensor-offsets");
        assert!(refused(&two("[0,4]", "[5,9]"), 9).1.contains("1 bytes before `b`"));
        assert_eq!(refused(&two("[1,5]", "[5,9]"), 9).0, "tensor-offsets");
        assert_eq!(refused(&two("[4,0]", "[4,8]"), 8).0, "tensor-offsets");
        assert_eq!(refused(&two("[0,4]", "[4,8]"), 9).0, "tensor-offsets");
        assert_eq!(refused(&two("[0,4]", "[4,8]"), 7).0, "weights-truncated");
        let last = format!("[{},{}]", u64::MAX - 4, u64::MAX);
        assert_eq!(refused(&two("[0,4]", &last), 8).0, "tensor-offsets");
        assert!(read_bytes(&safetensors(&two("[4,8]", "[0,4]"), &[0; 8])).is_ok());
    }

    #[test]
    fn a_shape_takes_what_its_offsets_span() {
        let of = |shape: &str, end: &str| {
            refused(&format!(r#"{{"w":{{"dtype":"F32","shape":{shape},"data_offsets":[0,{end}]}}}}"#), 8)
        };
        assert_eq!(of("[3]", "8").0, "tensor-size");
        assert!(of("[3]", "8").1.ends_with("`w` is f32 [3], 12 bytes, but its offsets span 8"));
        assert_eq!(of("[4294967296,4294967296]", "8").0, "tensor-size");
        assert_eq!(of("[4611686018427387904]", "0").0, "tensor-size");
    }

    /// Name, shape and data of each tensor, by name.
    type Contents = Vec<(String, Vec<usize>, Vec<u8>)>;

    /// What the `safetensors` crate reads from a whole file, in our terms.
    fn reference(content: &[u8]) -> Option<Contents> {
        let tensors = SafeTensors::deserialize(content).ok()?;
        let mut all: Vec<_> = tensors
            .iter()
            .map(|(name, view)| (name.to_owned(), view.shape().to_vec(), view.data().to_vec()))
            .collect();
        all.sort();
        Some(all)
    }

    fn ours(content: &[u8]) -> Option<Contents> {
        let data = |entry: &Entry| content[entry.start as usize..][..entry.bytes as usize].to_vec();
        let entries = read_bytes(content).ok()?;
        let mut all: Vec<_> = entries
            .into_iter()
            .map(|entry| (entry.name.clone(), entry.shape.clone(), data(&entry)))
            .collect();
        all.sort();
        Some(all)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        /// Damage is refused, or leads to what the reference reader sees in the same bytes.
        #[test]
        fn damaged_files_never_panic_and_never_misread(
            flips in prop::collection::vec((0..1400_usize, 0..8), 0..3),
            cut in prop::option::of(0..400_usize),
        ) {
            let data: Vec<u8> = (0..26).collect();
            let mut content = safetensors(TWO, &data);
            for &(at, shift) in &flips {
                let at = at % content.len();
                content[at] ^= 1_u8 << shift;
            }
            content.truncate(cut.unwrap_or(usize::MAX));
            if let Some(read) = ours(&content) {
                prop_assert_eq!(Some(read), reference(&content));
            }
        }

        #[test]
        fn what_the_reference_writes_is_read_the_same(
            shapes in prop::collection::btree_map("[a-z.]{1,8}", prop::collection::vec(0..4_usize, 0..4), 0..6),
        ) {
            let bytes: Vec<u8> = (0..=255).cycle().take(108).collect();
            let view = |shape: &Vec<usize>| {
                let size = shape.iter().product::<usize>() * 4;
                safetensors::tensor::TensorView::new(Dtype::F32, shape.clone(), &bytes[..size]).unwrap()
            };
            let views: Vec<_> = shapes.iter().map(|(name, shape)| (name, view(shape))).collect();
            let content = safetensors::serialize(views, None).unwrap();
            prop_assert_eq!(ours(&content), reference(&content));
        }
    }
}
