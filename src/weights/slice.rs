//! Slices: elements of an axis taken out, read by the runs that stay.

use std::ops::Range;
use std::sync::Arc;

use super::expr::Expr;
use crate::diagnostic::Diagnostic;
use crate::tensor::gather::{Gather, Keep};

/// Runs that are no farther apart than this are read at once: the gap costs less than another read.
const GAP: usize = 32 << 10;
/// Bytes that are read at once at most, unless they are one run or one granule.
const SPAN: usize = 4 << 20;

/// The rows of a slice of `shape` that can be read by themselves, where those of its input are `input`.
pub(super) fn granule(input: usize, shape: &[usize], keep: &[Option<Arc<[usize]>>]) -> usize {
    let rows = &shape[..shape.len().saturating_sub(1)];
    match (0..rows.len()).rev().find(|&dim| keep[dim].is_some()) {
        None => input,
        // Inner dims are whole: what is kept of the outer ones keeps granules together.
        Some(dim) if rows[dim + 1..].iter().product::<usize>().is_multiple_of(input) => input,
        Some(_) => rows.iter().product(),
    }
}

/// Reads a range of bytes of a slice.
pub(super) fn read(
    input: &Expr,
    keep: &[Option<Arc<[usize]>>],
    bytes: Range<usize>,
    out: &mut Vec<u8>,
) -> Result<(), Diagnostic> {
    out.resize(bytes.len(), 0);
    let mut reader = Reader { unit: unit(input), input, scratch: Vec::new() };
    let mut done = 0;
    for Reading { span, runs } in reader.readings(&gather(input, keep), bytes) {
        let len: usize = runs.iter().map(Range::len).sum();
        reader.read(&span, &runs, &mut out[done..done + len])?;
        done += len;
    }
    Ok(())
}

fn gather(input: &Expr, keep: &[Option<Arc<[usize]>>]) -> Gather {
    let dim = |(extent, keep): (usize, &Option<Arc<[usize]>>)| match keep {
        None => Keep::all(extent),
        Some(keep) => Keep::indices(extent, keep).expect("elements of the axis were kept"),
    };
    let dims: Vec<Keep> = input.shape().into_iter().zip(keep).map(dim).collect();
    Gather::new(&dims, input.dtype().size()).expect("the input is no larger than a checked tensor")
}

/// Bytes that the input gives at least.
fn unit(input: &Expr) -> usize {
    match input {
        Expr::Stored { .. } => 1,
        _ => (input.granule_rows() * input.row_bytes()).max(1),
    }
}

/// Some bytes of the input, and the runs that are wanted of them.
struct Reading {
    span: Range<usize>,
    runs: Vec<Range<usize>>,
}

struct Reader<'a> {
    input: &'a Expr,
    unit: usize,
    scratch: Vec<u8>,
}

impl Reader<'_> {
    fn readings(&self, gather: &Gather, bytes: Range<usize>) -> Vec<Reading> {
        let mut readings: Vec<Reading> = Vec::new();
        let end = self.input.rows() * self.input.row_bytes();
        let whole = |run: &Range<usize>| {
            run.start / self.unit * self.unit..run.end.next_multiple_of(self.unit).min(end)
        };
        let add = |run: Range<usize>| {
            let span = whole(&run);
            match readings.last_mut() {
                Some(last) if joins(&last.span, &span) => {
                    last.span.end = last.span.end.max(span.end);
                    last.runs.push(run);
                }
                _ => readings.push(Reading { span, runs: vec![run] }),
            }
        };
        gather.for_each_run(bytes, add).expect("bytes of the slice");
        readings
    }

    fn read(&mut self, span: &Range<usize>, runs: &[Range<usize>], out: &mut [u8]) -> Result<(), Diagnostic> {
        if let (Expr::Stored { checkpoint, stored }, [run]) = (self.input, runs) {
            return checkpoint.read_at(stored, run.start as u64, out);
        }
        self.read_span(span)?;
        let mut out = out;
        for run in runs {
            let (now, later) = out.split_at_mut(run.len());
            now.copy_from_slice(&self.scratch[run.start - span.start..run.end - span.start]);
            out = later;
        }
        Ok(())
    }

    fn read_span(&mut self, span: &Range<usize>) -> Result<(), Diagnostic> {
        match self.input {
            Expr::Stored { checkpoint, stored } => {
                self.scratch.resize(span.len(), 0);
                checkpoint.read_at(stored, span.start as u64, &mut self.scratch)
            }
            input => {
                let row = input.row_bytes();
                input.read_rows(span.start / row..span.end / row, &mut self.scratch)
            }
        }
    }
}

/// Whether the next span is read together with the last one.
fn joins(last: &Range<usize>, next: &Range<usize>) -> bool {
    let near = next.start >= last.start && next.start <= last.end + GAP;
    near && (next.end <= last.end || next.end - last.start <= SPAN)
}
