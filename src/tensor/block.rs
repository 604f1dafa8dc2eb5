//! Square blocks of a matrix: their energy, and zeroing whole ones.

use super::convert::{element_count, read_f64};
use super::error::expect_length;
use super::{DType, MatrixView, TensorError};

/// A matrix cut into blocks of `size` x `size`. Blocks are numbered row by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocks {
    view: MatrixView,
    size: usize,
}

impl Blocks {
    /// Refuses edges that are not multiples of the size.
    pub fn new(view: MatrixView, size: usize) -> Result<Self, TensorError> {
        view.out.checked_mul(view.inputs).ok_or(TensorError::Overflow)?;
        for (what, extent) in [("outputs", view.out), ("inputs", view.inputs)] {
            if size == 0 || !extent.is_multiple_of(size) {
                return Err(TensorError::Indivisible { what, extent, by: size });
            }
        }
        Ok(Self { view, size })
    }

    /// How many blocks there are.
    pub fn count(&self) -> usize {
        self.view.out / self.size * self.columns()
    }

    /// The sum of squares of each block.
    pub fn scores(&self, dtype: DType, bytes: &[u8]) -> Result<Vec<f64>, TensorError> {
        self.view.check(element_count(dtype, bytes)?)?;
        let mut scores = vec![0.0; self.count()];
        if scores.is_empty() {
            return Ok(scores);
        }
        let (lines, swapped) = self.lines();
        let mut line = vec![0.0; lines.inputs];
        let mut gathered = Vec::new();
        for number in 0..lines.out {
            read_f64(dtype, line_bytes(&lines, number, dtype.size(), bytes, &mut gathered), &mut line)?;
            for (along, part) in line.chunks(self.size).enumerate() {
                let score = &mut scores[self.number(number / self.size, along, swapped)];
                part.iter().for_each(|value| *score += value * value);
            }
        }
        Ok(scores)
    }

    /// Sets to +0 all weights of the blocks that `keep` does not mark.
    pub fn zero_dropped(&self, dtype: DType, bytes: &mut [u8], keep: &[bool]) -> Result<(), TensorError> {
        self.view.check(element_count(dtype, bytes)?)?;
        expect_length("marks", self.count(), keep.len())?;
        if keep.is_empty() {
            return Ok(());
        }
        let (lines, swapped) = self.lines();
        for number in 0..lines.out {
            for along in 0..lines.inputs / self.size {
                if !keep[self.number(number / self.size, along, swapped)] {
                    zero_part(
                        &lines,
                        number,
                        along * self.size..(along + 1) * self.size,
                        dtype.size(),
                        bytes,
                    );
                }
            }
        }
        Ok(())
    }

    fn columns(&self) -> usize {
        self.view.inputs / self.size
    }

    /// The matrix seen so that its rows are what is stored together, and whether that exchanged its sides.
    fn lines(&self) -> (MatrixView, bool) {
        let swap = self.view.in_stride > self.view.out_stride;
        (if swap { self.view.swapped() } else { self.view }, swap)
    }

    fn number(&self, across: usize, along: usize, swapped: bool) -> usize {
        if swapped { along * self.columns() + across } else { across * self.columns() + along }
    }
}

/// Marks all but the `count` lowest scores. Of equal ones the first goes first.
pub fn keep_highest(scores: &[f64], count: usize) -> Result<Vec<bool>, TensorError> {
    if count > scores.len() {
        return Err(TensorError::TooMany { what: "removals", asked: count, available: scores.len() });
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*a].total_cmp(&scores[*b]));
    let mut keep = vec![true; scores.len()];
    order[..count].iter().for_each(|index| keep[*index] = false);
    Ok(keep)
}

fn line_bytes<'a>(
    lines: &MatrixView,
    number: usize,
    size: usize,
    bytes: &'a [u8],
    gathered: &'a mut Vec<u8>,
) -> &'a [u8] {
    if lines.in_stride == 1 {
        return &bytes[lines.index(number, 0) * size..][..lines.inputs * size];
    }
    gathered.clear();
    let starts = (0..lines.inputs).map(|i| lines.index(number, i) * size);
    starts.for_each(|start| gathered.extend_from_slice(&bytes[start..start + size]));
    gathered
}

fn zero_part(lines: &MatrixView, number: usize, part: std::ops::Range<usize>, size: usize, bytes: &mut [u8]) {
    if lines.in_stride == 1 {
        bytes[lines.index(number, part.start) * size..][..part.len() * size].fill(0);
    } else {
        part.map(|i| lines.index(number, i) * size).for_each(|start| bytes[start..start + size].fill(0));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tensor::convert::{read_f32, write};

    fn stored(dtype: DType, values: &[f32]) -> Vec<u8> {
        let mut bytes = vec![0; values.len() * dtype.size()];
        write(dtype, values, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn blocks_of_a_small_matrix_by_hand() {
        let weight =
            [[1.0, -1.0, 2.0, 0.0], [1.0, 1.0, 0.0, 2.0], [0.0, 0.0, -3.0, 0.0], [0.0, 1.0, 0.0, 0.0]];
        for dtype in [DType::F64, DType::F32, DType::F16, DType::Bf16] {
            let mut bytes = stored(dtype, weight.as_flattened());
            let blocks = Blocks::new(MatrixView::rows(4, 4), 2).unwrap();
            let scores = blocks.scores(dtype, &bytes).unwrap();
            assert_eq!(scores, [4.0, 8.0, 1.0, 9.0]);
            blocks.zero_dropped(dtype, &mut bytes, &keep_highest(&scores, 2).unwrap()).unwrap();
            assert_eq!(blocks.scores(dtype, &bytes).unwrap(), [0.0, 8.0, 0.0, 9.0]);
            let mut out = [0.0; 16];
            read_f32(dtype, &bytes, &mut out).unwrap();
            assert_eq!(out[..8], [0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 2.0]);
        }
    }

    #[test]
    fn of_equal_blocks_the_first_goes() {
        assert_eq!(keep_highest(&[2.0, 1.0, 1.0], 1), Ok(vec![true, false, true]));
        assert_eq!(keep_highest(&[2.0], 0), Ok(vec![true]));
        assert!(keep_highest(&[2.0], 2).is_err());
    }

    #[test]
    fn edges_that_do_not_divide_are_refused() {
        let error = |what, extent, by| Err(TensorError::Indivisible { what, extent, by });
        assert_eq!(Blocks::new(MatrixView::rows(6, 8), 4), error("outputs", 6, 4));
        assert_eq!(Blocks::new(MatrixView::rows(8, 6), 4), error("inputs", 6, 4));
        assert_eq!(Blocks::new(MatrixView::rows(8, 8), 0), error("outputs", 8, 0));
        let empty = Blocks::new(MatrixView::transposed(1 << 40, 0), 4).unwrap();
        assert_eq!(empty.scores(DType::F32, &[]), Ok(Vec::new()));
        let blocks = Blocks::new(MatrixView::rows(2, 2), 2).unwrap();
        assert!(blocks.scores(DType::F32, &[0; 12]).is_err());
        assert!(blocks.zero_dropped(DType::F32, &mut [0; 16], &[]).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn layouts_agree(
            rows in 1..4_usize, columns in 1..4_usize, size in 1..5_usize, stride in 1..3_usize, count in 0..=4_usize
        ) {
            let (out, inputs) = (rows * size, columns * size);
            let value = |o: usize, i: usize| ((o * 31 + i * 17) % 13) as f32 - 6.0;
            let rows = MatrixView::rows(out, inputs).at(1);
            let spread = MatrixView { in_stride: stride, out_stride: inputs * stride, ..rows };
            let mut results = Vec::new();
            for view in [spread, MatrixView::transposed(out, inputs)] {
                let mut values = vec![5.0; out * inputs * stride + 1];
                (0..out).for_each(|o| (0..inputs).for_each(|i| values[view.index(o, i)] = value(o, i)));
                let mut bytes = stored(DType::F32, &values);
                let blocks = Blocks::new(view, size).unwrap();
                let scores = blocks.scores(DType::F32, &bytes).unwrap();
                let keep = keep_highest(&scores, count * blocks.count() / 4).unwrap();
                blocks.zero_dropped(DType::F32, &mut bytes, &keep).unwrap();
                let mut after = values.clone();
                read_f32(DType::F32, &bytes, &mut after).unwrap();
                for o in 0..out {
                    for i in 0..inputs {
                        let stays = keep[o / size * columns + i / size];
                        prop_assert_eq!(after[view.index(o, i)], if stays { value(o, i) } else { 0.0 });
                        values[view.index(o, i)] = 5.0;
                        after[view.index(o, i)] = 5.0;
                    }
                }
                prop_assert_eq!(after, values, "what is not in view changed");
                results.push((scores, keep));
            }
            prop_assert_eq!(&results[0], &results[1]);
        }
    }
}
