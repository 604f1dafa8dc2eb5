//! Sequences without padding: the rows of all samples one after the other.
//!
//! A padded batch computes rows that nobody asked for, and each operation has to remember which. Here there are none: every
//! operation but attention, pooling and positions works on rows and need not know where a sample ends.

use std::ops::Range;

use super::Failure;
use crate::pass::{Input, Sample};

/// Where each sample's rows begin, and where the last ones end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows(Vec<usize>);

impl Rows {
    pub fn of(lengths: impl IntoIterator<Item = usize>) -> Self {
        let mut starts = vec![0];
        for length in lengths {
            starts.push(starts[starts.len() - 1] + length);
        }
        Self(starts)
    }

    /// How many samples.
    pub fn samples(&self) -> usize {
        self.0.len() - 1
    }

    /// How many rows of all.
    pub fn count(&self) -> usize {
        self.0[self.samples()]
    }

    /// The rows of a sample.
    pub fn of_sample(&self, sample: usize) -> Range<usize> {
        self.0[sample]..self.0[sample + 1]
    }

    pub fn ranges(&self) -> Vec<Range<usize>> {
        (0..self.samples()).map(|sample| self.of_sample(sample)).collect()
    }

    /// The place of each row in its sample.
    pub fn positions(&self) -> Vec<usize> {
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
        Self((0..=self.samples()).collect())
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
}

impl Batch {
    pub fn samples(&self) -> usize {
        self.labels.len()
    }
}

/// Samples into batches of about `most` rows, in order; a sample is never divided, and pictures of one
/// batch are of one size. A picture makes a row for each `patch` of its pixels.
///
/// # Errors
/// The first sample that cannot be read.
pub fn batches(
    samples: impl Iterator<Item = Result<Sample, crate::diagnostic::Diagnostic>>,
    most: usize,
    patch: usize,
) -> Result<Vec<Batch>, Failure> {
    let mut batches: Vec<Batch> = Vec::new();
    let mut open: Vec<Sample> = Vec::new();
    let (mut rows, mut first) = (0, 0);
    for sample in samples {
        let sample = sample?;
        let more = match &sample.input {
            Input::Tokens(ids) => ids.len(),
            Input::Pixels(picture) => (picture.height * picture.width).div_ceil(patch.max(1)) + 1,
        };
        let fits = |first: &Sample| match (&first.input, &sample.input) {
            (Input::Pixels(first), Input::Pixels(next)) => {
                (first.height, first.width) == (next.height, next.width)
            }
            _ => true,
        };
        if open.first().is_some_and(|first| rows + more > most || !fits(first)) {
            let count = open.len();
            batches.push(batch(std::mem::take(&mut open), first));
            first += count;
            rows = 0;
        }
        rows += more;
        open.push(sample);
    }
    if !open.is_empty() {
        batches.push(batch(open, first));
    }
    Ok(batches)
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
        let made = batches([3, 4, 9, 1, 1].into_iter().map(sample), 8, 0).unwrap();
        let shape = |batch: &Batch| (batch.first, batch.samples());
        assert_eq!(made.iter().map(shape).collect::<Vec<_>>(), [(0, 2), (2, 1), (3, 2)]);
    }
}
