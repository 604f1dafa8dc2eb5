//! Sequences without padding: the rows of all samples one after the other.
//!
//! A padded batch computes rows that nobody asked for, and each operation has to remember which. Here there are none: every
//! operation but attention, pooling and positions works on rows and need not know where a sample ends.

use std::ops::Range;
use std::sync::Arc;

use crate::diagnostic::Diagnostic;
use crate::pass::{Input, Sample};

/// Where each sample's rows begin, and where the last ones end; and what rows stand for once tokens were reduced.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    starts: Vec<usize>,
    /// How many tokens each row stands for; none where each is its own.
    sizes: Option<Vec<f32>>,
    /// The place of each row in its sample; none where each stands in its own.
    places: Option<Vec<usize>>,
    /// What each row is of; none where all are of the text.
    kinds: Option<Vec<Kind>>,
}

/// What a row is of, in a model that reads a picture beside a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Picture,
    /// Of the picture, and never to go.
    Key,
}

impl Rows {
    pub fn of(lengths: impl IntoIterator<Item = usize>) -> Self {
        let mut starts = vec![0];
        for length in lengths {
            starts.push(starts[starts.len() - 1] + length);
        }
        Self { starts, sizes: None, places: None, kinds: None }
    }

    /// The same rows, each of which stands for so many tokens.
    pub fn with_sizes(self, sizes: Vec<f32>) -> Self {
        debug_assert_eq!(sizes.len(), self.count(), "a size for each row");
        Self { sizes: Some(sizes), ..self }
    }

    /// The same rows, at these places of their samples.
    pub fn with_places(self, places: Vec<usize>) -> Self {
        debug_assert_eq!(places.len(), self.count(), "a place for each row");
        Self { places: Some(places), ..self }
    }

    /// The same rows, of these kinds.
    pub fn with_kinds(self, kinds: Vec<Kind>) -> Self {
        debug_assert_eq!(kinds.len(), self.count(), "a kind for each row");
        Self { kinds: Some(kinds), ..self }
    }

    /// What each row is of, where not all are of a text.
    pub fn kinds(&self) -> Option<&[Kind]> {
        self.kinds.as_deref()
    }

    /// How many tokens each row stands for, where some stand for more than one.
    pub fn sizes(&self) -> Option<&[f32]> {
        self.sizes.as_deref()
    }

    /// Their logarithms: what attention adds to the scores of a key.
    pub fn log_sizes(&self) -> Option<Arc<Vec<f32>>> {
        let sizes = self.sizes.as_ref()?;
        Some(Arc::new(sizes.iter().map(|size| size.ln()).collect()))
    }

    /// How many samples.
    pub fn samples(&self) -> usize {
        self.starts.len() - 1
    }

    /// How many rows of all.
    pub fn count(&self) -> usize {
        self.starts[self.samples()]
    }

    /// The rows of a sample.
    pub fn of_sample(&self, sample: usize) -> Range<usize> {
        self.starts[sample]..self.starts[sample + 1]
    }

    pub fn ranges(&self) -> Vec<Range<usize>> {
        (0..self.samples()).map(|sample| self.of_sample(sample)).collect()
    }

    /// The place of each row in its sample.
    pub fn positions(&self) -> Vec<usize> {
        if let Some(places) = &self.places {
            return places.clone();
        }
        self.ranges().into_iter().flat_map(|range| 0..range.len()).collect()
    }

    /// The sample of each row.
    pub fn sample_of_row(&self) -> Vec<usize> {
        self.ranges().into_iter().enumerate().flat_map(|(sample, range)| range.map(move |_| sample)).collect()
    }

    /// The same samples with `more` rows in front of each.
    pub fn prepended(&self, more: usize) -> Self {
        Self::of(self.ranges().into_iter().map(|range| range.len() + more))
    }

    /// One row a sample.
    pub fn pooled(&self) -> Self {
        Self::of(std::iter::repeat_n(1, self.samples()))
    }
}

/// Samples that go through the model together.
#[derive(Debug, Clone)]
pub struct Batch {
    pub inputs: Inputs,
    /// The label of each sample, where it has one.
    pub labels: Vec<Option<usize>>,
    /// The number of the first sample in its data set.
    pub first: usize,
}

#[derive(Debug, Clone)]
pub enum Inputs {
    /// Token ids of all samples, and where each sample's lie.
    Tokens { ids: Vec<u32>, rows: Rows },
    /// Pictures of one size, `[samples, channels, height, width]`.
    Pixels { values: Vec<f32>, shape: [usize; 3] },
    /// Texts, each with a picture at the place of its placeholder.
    Both { ids: Vec<u32>, rows: Rows, values: Vec<f32>, shape: [usize; 3] },
}

impl Batch {
    pub fn samples(&self) -> usize {
        self.labels.len()
    }

    /// Rows that its tokens make, before any is put in front; of pictures their number.
    pub fn rows(&self) -> usize {
        match &self.inputs {
            Inputs::Tokens { rows, .. } | Inputs::Both { rows, .. } => rows.count(),
            Inputs::Pixels { .. } => self.samples(),
        }
    }
}

/// Samples into batches of about `most` rows, in order, made as they are asked for; a sample is never divided, and pictures of one
/// batch are of one size. A picture makes a row for each `patch` of its pixels.
///
/// Ends with the first sample that cannot be read.
pub fn batches<I>(samples: I, most: usize, patch: usize) -> impl Iterator<Item = Result<Batch, Diagnostic>>
where
    I: Iterator<Item = Result<Sample, Diagnostic>>,
{
    Batches { samples, most, patch, open: Vec::new(), rows: 0, first: 0, ended: false }
}

struct Batches<I> {
    samples: I,
    most: usize,
    patch: usize,
    /// Samples of the next batch, and their rows.
    open: Vec<Sample>,
    rows: usize,
    /// The number of the first of them.
    first: usize,
    ended: bool,
}

impl<I> Batches<I> {
    fn rows(&self, sample: &Sample) -> usize {
        match &sample.input {
            Input::Tokens(ids) => ids.len(),
            Input::Pixels(picture) => (picture.height * picture.width).div_ceil(self.patch.max(1)) + 1,
        }
    }

    /// Whether a sample can join those that are there.
    fn fits(&self, sample: &Sample, rows: usize) -> bool {
        let Some(first) = self.open.first() else { return true };
        let alike = match (&first.input, &sample.input) {
            (Input::Pixels(first), Input::Pixels(next)) => {
                (first.height, first.width) == (next.height, next.width)
            }
            _ => true,
        };
        alike && self.rows + rows <= self.most
    }

    /// The batch of the samples that are there.
    fn close(&mut self) -> Batch {
        let first = self.first;
        self.first += self.open.len();
        self.rows = 0;
        batch(std::mem::take(&mut self.open), first)
    }
}

impl<I: Iterator<Item = Result<Sample, Diagnostic>>> Iterator for Batches<I> {
    type Item = Result<Batch, Diagnostic>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            let sample = match self.samples.next() {
                Some(Ok(sample)) => sample,
                Some(Err(wrong)) => {
                    self.ended = true;
                    return Some(Err(wrong));
                }
                None => {
                    self.ended = true;
                    break;
                }
            };
            let rows = self.rows(&sample);
            let full = (!self.fits(&sample, rows)).then(|| self.close());
            self.rows += rows;
            self.open.push(sample);
            if let Some(batch) = full {
                return Some(Ok(batch));
            }
        }
        (!self.open.is_empty()).then(|| Ok(self.close()))
    }
}

fn batch(samples: Vec<Sample>, first: usize) -> Batch {
    let labels = samples.iter().map(|sample| sample.label).collect();
    let inputs = match &samples[0].input {
        Input::Tokens(_) => {
            let ids_of = |sample: &Sample| match &sample.input {
                Input::Tokens(ids) => ids.clone(),
                Input::Pixels(_) => unreachable!("samples of a reader are of one kind"),
            };
            let ids: Vec<Vec<u32>> = samples.iter().map(ids_of).collect();
            let rows = Rows::of(ids.iter().map(Vec::len));
            Inputs::Tokens { ids: ids.concat(), rows }
        }
        Input::Pixels(picture) => {
            let shape = [picture.channels, picture.height, picture.width];
            let values_of = |sample: Sample| match sample.input {
                Input::Pixels(pixels) => pixels.values,
                Input::Tokens(_) => unreachable!("samples of a reader are of one kind"),
            };
            Inputs::Pixels { values: samples.into_iter().flat_map(values_of).collect(), shape }
        }
    };
    Batch { inputs, labels, first }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_know_their_samples() {
        let rows = Rows::of([2, 0, 3]);
        assert_eq!((rows.samples(), rows.count()), (3, 5));
        assert_eq!(rows.positions(), [0, 1, 0, 1, 2]);
        assert_eq!(rows.sample_of_row(), [0, 0, 2, 2, 2]);
        assert_eq!(rows.prepended(1).ranges(), [0..3, 3..4, 4..8]);
        assert_eq!(rows.pooled().ranges(), [0..1, 1..2, 2..3]);
    }

    #[test]
    fn samples_fill_batches_in_order() {
        let sample =
            |length: usize| Ok(Sample { input: Input::Tokens(vec![7; length]), label: Some(length) });
        let made: Vec<Batch> =
            batches([3, 4, 9, 1, 1].into_iter().map(sample), 8, 0).map(Result::unwrap).collect();
        let shape = |batch: &Batch| (batch.first, batch.samples());
        assert_eq!(made.iter().map(shape).collect::<Vec<_>>(), [(0, 2), (2, 1), (3, 2)]);
    }

    #[test]
    fn no_more_is_read_than_the_next_batch_needs() {
        let read = std::cell::Cell::new(0);
        let sample = |length: usize| {
            read.set(read.get() + 1);
            Ok(Sample { input: Input::Tokens(vec![7; length]), label: None })
        };
        let mut made = batches([3, 4, 9, 1].into_iter().map(sample), 8, 0);
        assert_eq!(made.next().unwrap().unwrap().samples(), 2);
        assert_eq!(read.get(), 3);
    }
}
