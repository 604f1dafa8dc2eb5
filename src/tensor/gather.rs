//! Slices of tensors along any axes at once, as runs of bytes: any part of the result from positional reads.
//!
//! A tensor is its axes, outermost first, and the bytes of an item. Pruning heads and hidden units of a query weight
//! [heads head_dim, hidden] keeps some of the first and third axis and all of the second:
//!
//! ```
//! use tamis::tensor::gather::{Gather, Keep};
//!
//! let heads = Keep::indices(3, &[0, 2]).unwrap();
//! let hidden = Keep::indices(4, &[1, 2]).unwrap();
//! let gather = Gather::new(&[heads, Keep::all(2), hidden], 1).unwrap();
//! assert_eq!(gather.output_bytes(), 8);
//! assert_eq!(gather.runs(0..8).unwrap(), [1..3, 5..7, 17..19, 21..23]);
//! ```

use std::ops::Range;

use super::TensorError;
use super::error::expect_length;

/// Which indices of an axis stay, in which order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keep {
    extent: usize,
    kept: usize,
    runs: Vec<Run>,
}

/// Neighbouring indices that stay.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Run {
    start: usize,
    len: usize,
    /// How many are kept by the runs before.
    before: usize,
}

impl Keep {
    pub fn all(extent: usize) -> Self {
        let run = Run { start: 0, len: extent, before: 0 };
        Self { extent, kept: extent, runs: if extent == 0 { Vec::new() } else { vec![run] } }
    }

    /// Any order will do, so that a permutation is a gather too.
    pub fn indices(extent: usize, indices: &[usize]) -> Result<Self, TensorError> {
        let mut runs: Vec<Run> = Vec::new();
        for (before, &start) in indices.iter().enumerate() {
            if start >= extent {
                return Err(TensorError::TooMany { what: "indices", asked: start + 1, available: extent });
            }
            match runs.last_mut() {
                Some(run) if run.start + run.len == start => run.len += 1,
                _ => runs.push(Run { start, len: 1, before }),
            }
        }
        Ok(Self { extent, kept: indices.len(), runs })
    }

    pub fn extent(&self) -> usize {
        self.extent
    }

    /// How many stay.
    pub fn kept(&self) -> usize {
        self.kept
    }

    /// Whether nothing goes or moves.
    pub fn is_all(&self) -> bool {
        *self == Self::all(self.extent)
    }

    /// What stays, in order.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        self.runs.iter().flat_map(|run| run.start..run.start + run.len)
    }

    /// This slice and then one of its result, as one.
    pub fn then(&self, next: &Self) -> Result<Self, TensorError> {
        expect_length("indices", self.kept, next.extent)?;
        let kept: Vec<usize> = self.iter().collect();
        Self::indices(self.extent, &next.iter().map(|index| kept[index]).collect::<Vec<_>>())
    }

    /// The runs that hold the kept indices from number `first` on.
    fn runs_from(&self, first: usize) -> &[Run] {
        &self.runs[self.runs.partition_point(|run| run.before + run.len <= first)..]
    }
}

/// A slice of a tensor along any of its axes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gather {
    /// From the outermost axis to the innermost one that is not kept whole.
    levels: Vec<Level>,
    input: usize,
    output: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Level {
    keep: Keep,
    /// Bytes of one index.
    input: usize,
    output: usize,
}

impl Gather {
    /// Axes stand outermost first; `item` is the bytes of an element.
    pub fn new(axes: &[Keep], item: usize) -> Result<Self, TensorError> {
        let mut gather = Self { levels: Vec::new(), input: item, output: item };
        for keep in axes.iter().rev() {
            let (input, output) = (gather.input, gather.output);
            gather.input = input.checked_mul(keep.extent).ok_or(TensorError::Overflow)?;
            gather.output = output.checked_mul(keep.kept).ok_or(TensorError::Overflow)?;
            // Inner axes that are whole are one long item.
            if !(gather.levels.is_empty() && keep.is_all()) {
                gather.levels.insert(0, Level { keep: keep.clone(), input, output });
            }
        }
        if gather.levels.is_empty() {
            gather.levels.push(Level { keep: Keep::all(1), input: gather.input, output: gather.output });
        }
        Ok(gather)
    }

    pub fn input_bytes(&self) -> usize {
        self.input
    }

    pub fn output_bytes(&self) -> usize {
        self.output
    }

    /// The bytes of the input that make the given bytes of the output, in order. Neighbours are joined.
    pub fn runs(&self, output: Range<usize>) -> Result<Vec<Range<usize>>, TensorError> {
        let mut runs = Vec::new();
        self.for_each_run(output, |run| runs.push(run))?;
        Ok(runs)
    }

    /// The shortest stretch of the input that holds all that the given bytes of the output need.
    pub fn span(&self, output: Range<usize>) -> Result<Range<usize>, TensorError> {
        let mut span = self.input..0;
        self.for_each_run(output, |run| span = span.start.min(run.start)..span.end.max(run.end))?;
        Ok(if span.start < span.end { span } else { 0..0 })
    }

    /// Writes the output from byte `output_start` on. `input` holds the bytes from `input_start` on: at least the
    /// [`span`](Self::span) of what is asked.
    pub fn copy(
        &self,
        input: &[u8],
        input_start: usize,
        output_start: usize,
        output: &mut [u8],
    ) -> Result<(), TensorError> {
        let end = output_start.checked_add(output.len()).ok_or(TensorError::Overflow)?;
        let span = self.span(output_start..end)?;
        if !span.is_empty() && (span.start < input_start || span.end - input_start > input.len()) {
            return Err(TensorError::Length {
                what: "input bytes",
                expected: span.len(),
                found: input.len(),
            });
        }
        let mut rest = output;
        self.for_each_run(output_start..end, |run| {
            let (now, later) = std::mem::take(&mut rest).split_at_mut(run.len());
            now.copy_from_slice(&input[run.start - input_start..run.end - input_start]);
            rest = later;
        })
    }

    /// [`runs`](Self::runs), one at a time.
    pub fn for_each_run(
        &self,
        output: Range<usize>,
        mut visit: impl FnMut(Range<usize>),
    ) -> Result<(), TensorError> {
        if output.end > self.output {
            let (asked, available) = (output.end, self.output);
            return Err(TensorError::TooMany { what: "output bytes", asked, available });
        }
        let mut pending = 0..0;
        walk(&self.levels, 0, output, &mut |run: Range<usize>| {
            if run.start == pending.end {
                pending.end = run.end;
                return;
            }
            let ready = std::mem::replace(&mut pending, run);
            if !ready.is_empty() {
                visit(ready);
            }
        });
        if !pending.is_empty() {
            visit(pending);
        }
        Ok(())
    }
}

/// Visits the input of a range of the output. Both count from the start of the outermost level given.
fn walk(levels: &[Level], input_start: usize, output: Range<usize>, visit: &mut dyn FnMut(Range<usize>)) {
    let Some((level, inner)) = levels.split_first() else { return };
    if output.is_empty() {
        return;
    }
    for run in level.keep.runs_from(output.start / level.output) {
        let run_start = run.before * level.output;
        if run_start >= output.end {
            return;
        }
        let from = output.start.max(run_start) - run_start;
        let to = output.end.min(run_start + run.len * level.output) - run_start;
        let input_start = input_start + run.start * level.input;
        if inner.is_empty() {
            visit(input_start + from..input_start + to);
            continue;
        }
        for index in from / level.output..to.div_ceil(level.output) {
            let start = index * level.output;
            let part = from.max(start) - start..to.min(start + level.output) - start;
            walk(inner, input_start + index * level.input, part, visit);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn neighbouring_rows_are_one_run() {
        let rows = Keep::indices(6, &[1, 2, 3, 5]).unwrap();
        let gather = Gather::new(&[rows, Keep::all(10)], 2).unwrap();
        assert_eq!(gather.runs(0..80).unwrap(), [20..80, 100..120]);
        assert_eq!(gather.runs(59..61).unwrap(), [79..80, 100..101]);
        assert_eq!(gather.span(59..61).unwrap(), 79..101);
    }

    #[test]
    fn rows_and_columns_go_together() {
        let gather =
            Gather::new(&[Keep::indices(3, &[2, 0]).unwrap(), Keep::indices(3, &[0, 2]).unwrap()], 1)
                .unwrap();
        let mut out = [0; 4];
        gather.copy(b"abcdefghi", 0, 0, &mut out).unwrap();
        assert_eq!(&out, b"giac");
    }

    #[test]
    fn a_window_of_the_input_is_enough() {
        let gather = Gather::new(&[Keep::indices(4, &[1, 3]).unwrap(), Keep::all(2)], 1).unwrap();
        let mut out = [0; 2];
        gather.copy(b"gh", 6, 2, &mut out).unwrap();
        assert_eq!(&out, b"gh");
        assert!(gather.copy(b"gh", 5, 2, &mut out).is_err());
        assert!(gather.copy(b"gh", 7, 2, &mut out).is_err());
    }

    #[test]
    fn whole_and_empty_tensors_are_no_exception() {
        let whole = Gather::new(&[Keep::all(3), Keep::all(4)], 2).unwrap();
        assert_eq!(whole.runs(3..24).unwrap(), [Range { start: 3, end: 24 }]);
        let scalar = Gather::new(&[], 4).unwrap();
        assert_eq!(scalar.runs(0..4).unwrap(), [Range { start: 0, end: 4 }]);
        let empty = Gather::new(&[Keep::all(3), Keep::indices(4, &[]).unwrap()], 2).unwrap();
        assert!(empty.runs(0..0).unwrap().is_empty());
        assert_eq!((empty.input_bytes(), empty.output_bytes()), (24, 0));
    }

    #[test]
    fn what_lies_outside_is_refused() {
        assert!(Keep::indices(3, &[3]).is_err());
        assert!(Gather::new(&[Keep::all(3)], 1).unwrap().runs(0..4).is_err());
        assert_eq!(Gather::new(&[Keep::all(usize::MAX), Keep::all(2)], 1), Err(TensorError::Overflow));
    }

    fn any_axis() -> impl Strategy<Value = Keep> {
        (1..6_usize, prop::collection::vec(any::<prop::sample::Index>(), 0..6), any::<bool>()).prop_map(
            |(extent, indices, all)| {
                let indices: Vec<usize> = indices.iter().map(|index| index.index(extent)).collect();
                if all { Keep::all(extent) } else { Keep::indices(extent, &indices).unwrap() }
            },
        )
    }

    /// The definition: for each output element the flat index of its input.
    fn by_index(axes: &[Keep]) -> Vec<usize> {
        axes.iter().fold(vec![0], |flat, keep| {
            flat.iter()
                .flat_map(|outer| keep.iter().map(move |index| outer * keep.extent() + index))
                .collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn every_part_of_the_output_equals_indexing(
            axes in prop::collection::vec(any_axis(), 0..5), item in 1..4_usize,
            a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>()
        ) {
            let gather = Gather::new(&axes, item).unwrap();
            let expected: Vec<usize> =
                by_index(&axes).iter().flat_map(|index| index * item..(index + 1) * item).collect();
            prop_assert_eq!(gather.output_bytes(), expected.len());
            let (a, b) = (a.index(expected.len() + 1), b.index(expected.len() + 1));
            let range = a.min(b)..a.max(b);
            let runs = gather.runs(range.clone()).unwrap();
            prop_assert!(runs.iter().all(|run| !run.is_empty() && run.end <= gather.input_bytes()));
            prop_assert!(runs.windows(2).all(|pair| pair[0].end != pair[1].start));
            prop_assert_eq!(runs.into_iter().flatten().collect::<Vec<_>>(), &expected[range]);
        }

        #[test]
        fn two_slices_of_an_axis_are_one(
            first in any_axis(), picks in prop::collection::vec(any::<prop::sample::Index>(), 0..6)
        ) {
            let picks = if first.kept() == 0 { &[] } else { picks.as_slice() };
            let picks: Vec<usize> = picks.iter().map(|pick| pick.index(first.kept())).collect();
            let next = Keep::indices(first.kept(), &picks).unwrap();
            let kept: Vec<usize> = first.iter().collect();
            let both: Vec<usize> = first.then(&next).unwrap().iter().collect();
            prop_assert_eq!(both, picks.iter().map(|pick| kept[*pick]).collect::<Vec<_>>());
        }
    }
}
