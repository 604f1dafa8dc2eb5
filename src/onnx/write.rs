//! The bytes of a model: everything but weights is encoded at once, weights are read and written one by one.
//!
//! A message of protobuf is its fields one after the other, in any order, and a message inside of another is its length and its
//! bytes. So the lengths of all weights, which shapes tell, are enough to write what holds them before they are read.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use rayon::prelude::*;

use super::proto::{Entry, Model, Tensor, element, tag};
use super::weight::{Weight, Weights};
use crate::checkpoint::OutputFiles;
use crate::diagnostic::Diagnostic;
use crate::weights::Version;

/// The largest message that protobuf's readers take: lengths are signed numbers of 32 bits.
pub const LARGEST: u64 = (1 << 31) - 1;

/// Bytes of weights that are read at once, by all threads.
const AT_ONCE: u64 = 64 << 20;

/// Where the elements of weights in a file of their own begin: on pages of memory, so that they can be mapped.
const PAGE: u64 = 4096;

/// Writes a model, with the weights in it, or in a file beside it where the whole is larger than `largest`.
///
/// # Errors
/// Where weights cannot be read, or files not be written.
pub fn write(
    model: &Model,
    weights: &Weights,
    version: &Version,
    output: &OutputFiles,
    largest: u64,
    progress: &dyn Fn(u64),
) -> Result<u64, Diagnostic> {
    let inline = Framed::new(model, weights.all.iter().map(inline));
    let writing = Writing { version, output, progress };
    if inline.bytes <= largest {
        output.reserve(inline.bytes)?;
        writing.model(&inline, |file| {
            writing.each(&weights.all, |number, bytes| {
                file.put(&inline.tensors[number])?;
                file.put(bytes)
            })
        })?;
        return Ok(inline.bytes);
    }
    let location = output.beside(".data");
    let mut end = 0;
    let places: Vec<u64> = weights.all.iter().map(|weight| place(&mut end, weight.bytes())).collect();
    let tensors = weights.all.iter().zip(&places);
    let outside = Framed::new(model, tensors.map(|(weight, &at)| (external(weight, &location, at), 0)));
    output.reserve(outside.bytes + end)?;
    let mut data = Out::new(output.file(".data")?, output, ".data");
    let mut at = 0;
    writing.each(&weights.all, |number, bytes| {
        data.put(&vec![0; (places[number] - at) as usize])?;
        at = places[number] + bytes.len() as u64;
        data.put(bytes)
    })?;
    data.finish()?;
    writing.model(&outside, |file| outside.tensors.iter().try_for_each(|head| file.put(head)))?;
    Ok(outside.bytes + end)
}

/// The next page behind what there is, and the end of what begins there.
fn place(end: &mut u64, bytes: u64) -> u64 {
    let place = end.next_multiple_of(PAGE);
    *end = place + bytes;
    place
}

/// A message in pieces: what comes before each weight, with the lengths of all that holds it.
struct Framed {
    /// All of the model but its graph, then the graph's key, length and content but for weights.
    head: Vec<u8>,
    /// For each weight what comes before its elements.
    tensors: Vec<Vec<u8>>,
    /// Of the whole model.
    bytes: u64,
}

impl Framed {
    /// `tensors` are weights without their elements, and how many bytes those have.
    fn new(model: &Model, tensors: impl Iterator<Item = (Tensor, u64)>) -> Self {
        let mut elements = 0;
        let framed = |(tensor, bytes): (Tensor, u64)| {
            elements += bytes;
            frame(&tensor, bytes)
        };
        let tensors: Vec<Vec<u8>> = tensors.map(framed).collect();
        let mut graph = Vec::new();
        let mut head = Vec::new();
        let without = Model { graph: None, ..model.clone() };
        without.encode(&mut head).expect("a vector has room");
        if let Some(of) = &model.graph {
            of.encode(&mut graph).expect("a vector has room");
        }
        let inside = elements + tensors.iter().map(|head| head.len() as u64).sum::<u64>();
        encode_key(tag::MODEL_GRAPH, WireType::LengthDelimited, &mut head);
        encode_varint(graph.len() as u64 + inside, &mut head);
        head.append(&mut graph);
        let bytes = head.len() as u64 + inside;
        Self { head, tensors, bytes }
    }
}

/// A weight as a field of the graph, up to its elements, of which there are so many bytes.
fn frame(tensor: &Tensor, elements: u64) -> Vec<u8> {
    let mut content = tensor.encode_to_vec();
    if elements > 0 {
        encode_key(tag::TENSOR_RAW_DATA, WireType::LengthDelimited, &mut content);
        encode_varint(elements, &mut content);
    }
    let mut framed = Vec::with_capacity(content.len() + 12);
    encode_key(tag::GRAPH_INITIALIZER, WireType::LengthDelimited, &mut framed);
    encode_varint(content.len() as u64 + elements, &mut framed);
    framed.append(&mut content);
    framed
}

fn tensor(weight: &Weight) -> Tensor {
    let dims = weight.dims.iter().map(|&dim| dim as i64).collect();
    Tensor { dims, data_type: element::FLOAT, name: weight.name.clone(), ..Tensor::default() }
}

fn inline(weight: &Weight) -> (Tensor, u64) {
    (tensor(weight), weight.bytes())
}

fn external(weight: &Weight, location: &str, at: u64) -> Tensor {
    let bytes = weight.bytes().to_string();
    let external_data = vec![
        Entry::new("location", location),
        Entry::new("offset", at.to_string()),
        Entry::new("length", bytes),
    ];
    Tensor { external_data, data_location: Some(1), ..tensor(weight) }
}

/// What all of the writing needs.
struct Writing<'a> {
    version: &'a Version,
    output: &'a OutputFiles,
    progress: &'a dyn Fn(u64),
}

impl Writing<'_> {
    /// Reads weights, some at a time and those at once, and hands them on in their order, each with its number.
    fn each(
        &self,
        weights: &[Weight],
        mut put: impl FnMut(usize, &[u8]) -> Result<(), Diagnostic>,
    ) -> Result<(), Diagnostic> {
        let mut number = 0;
        while number < weights.len() {
            let mut bytes = 0;
            let fits = |weight: &&Weight| {
                bytes += weight.bytes();
                bytes <= AT_ONCE
            };
            // One that is larger goes alone.
            let count = weights[number..].iter().take_while(fits).count().max(1);
            let read = |weight: &Weight| weight.read(self.version);
            let all: Vec<Vec<u8>> =
                weights[number..][..count].par_iter().map(read).collect::<Result<_, Diagnostic>>()?;
            for bytes in all {
                let Weight { name, .. } = &weights[number];
                let is_whole = bytes.len() as u64 == weights[number].bytes();
                assert!(is_whole, "`{name}` has the shape that the graph says");
                put(number, &bytes)?;
                (self.progress)(bytes.len() as u64);
                number += 1;
            }
        }
        Ok(())
    }

    /// The model's own file.
    fn model(
        &self,
        framed: &Framed,
        tensors: impl FnOnce(&mut Out<'_>) -> Result<(), Diagnostic>,
    ) -> Result<(), Diagnostic> {
        let mut file = Out::new(self.output.file("")?, self.output, "");
        file.put(&framed.head)?;
        tensors(&mut file)?;
        file.finish()
    }
}

/// A file that is being written.
struct Out<'a> {
    file: BufWriter<File>,
    output: &'a OutputFiles,
    suffix: &'static str,
}

impl<'a> Out<'a> {
    fn new(file: File, output: &'a OutputFiles, suffix: &'static str) -> Self {
        Self { file: BufWriter::with_capacity(1 << 20, file), output, suffix }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Diagnostic> {
        let written = self.file.write_all(bytes);
        self.told(written)
    }

    fn finish(mut self) -> Result<(), Diagnostic> {
        let synced = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        self.told(synced)
    }

    fn told(&self, written: io::Result<()>) -> Result<(), Diagnostic> {
        written.map_err(|error| self.output.cannot_write(self.suffix, &error))
    }
}
