//! N:M patterns: of every m consecutive inputs the n largest stay, and on a tie the lower index.

use std::fmt;

use super::convert::element_count;
use super::cut::order_key;
use super::error::expect_length;
use super::lanes::{self, Key, LANES, Word};
use super::{DType, MatrixView, TensorError};

/// `keep` of every `of` consecutive inputs stay: 2:4 keeps two of four.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pattern {
    keep: u16,
    of: u16,
}

impl Pattern {
    /// Requires 1 <= keep < of <= 256.
    pub fn new(keep: usize, of: usize) -> Result<Self, TensorError> {
        if (1..of).contains(&keep) && of <= 256 {
            Ok(Self { keep: keep as u16, of: of as u16 })
        } else {
            Err(TensorError::NotAPattern { keep, of })
        }
    }

    pub fn keep(self) -> usize {
        usize::from(self.keep)
    }

    pub fn of(self) -> usize {
        usize::from(self.of)
    }

    /// Refuses a number of inputs that is not a multiple of the group.
    pub fn check(self, inputs: usize) -> Result<(), TensorError> {
        if inputs.is_multiple_of(self.of()) {
            Ok(())
        } else {
            Err(TensorError::Indivisible { what: "inputs", extent: inputs, by: self.of() })
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}:{}", self.keep, self.of))
    }
}

/// Marks what stays by scores, in groups of consecutive ones: pass whole rows of a row-major matrix.
pub fn keep_pattern(scores: &[f32], pattern: Pattern, keep: &mut [bool]) -> Result<(), TensorError> {
    expect_length("marks", scores.len(), keep.len())?;
    pattern.check(scores.len())?;
    let of = pattern.of();
    let mut keys = vec![[0; LANES]; of];
    let mut ranks = keys.clone();
    for (scores, keep) in scores.chunks(LANES * of).zip(keep.chunks_mut(LANES * of)) {
        for (lane, group) in scores.chunks_exact(of).enumerate() {
            keys.iter_mut().zip(group).for_each(|(keys, score)| keys[lane] = signed(order_key(*score)));
        }
        lanes::rank(&keys, &mut ranks);
        for (lane, group) in keep.chunks_exact_mut(of).enumerate() {
            group
                .iter_mut()
                .zip(&ranks)
                .for_each(|(stays, ranks)| *stays = ranks[lane] < pattern.keep.into());
        }
    }
    Ok(())
}

/// Zeroes the smallest weights of each group where they are stored, to +0.
///
/// Chooses what [`keep_pattern`] chooses for their magnitudes.
pub fn zero_pattern_magnitude(
    dtype: DType,
    bytes: &mut [u8],
    view: &MatrixView,
    pattern: Pattern,
) -> Result<(), TensorError> {
    check(dtype, bytes, view, pattern)?;
    match dtype.size() {
        8 => zero_words::<[u8; 8]>(bytes.as_chunks_mut().0, view, pattern, zero_run),
        4 => zero_words::<[u8; 4]>(bytes.as_chunks_mut().0, view, pattern, zero_run),
        _ => zero_words::<[u8; 2]>(bytes.as_chunks_mut().0, view, pattern, zero_halves),
    }
    Ok(())
}

/// How many groups hold more nonzero weights than the pattern keeps.
pub fn count_violations(
    dtype: DType,
    bytes: &[u8],
    view: &MatrixView,
    pattern: Pattern,
) -> Result<usize, TensorError> {
    check(dtype, bytes, view, pattern)?;
    Ok(match dtype.size() {
        8 => violations::<[u8; 8]>(bytes.as_chunks().0, view, pattern),
        4 => violations::<[u8; 4]>(bytes.as_chunks().0, view, pattern),
        _ => violations::<[u8; 2]>(bytes.as_chunks().0, view, pattern),
    })
}

fn check(dtype: DType, bytes: &[u8], view: &MatrixView, pattern: Pattern) -> Result<(), TensorError> {
    view.check(element_count(dtype, bytes)?)?;
    pattern.check(view.inputs)
}

fn zero_words<W: Word>(
    words: &mut [W],
    view: &MatrixView,
    pattern: Pattern,
    zero_run: impl Fn(&mut [W], Pattern),
) {
    if view.is_empty() {
        return;
    }
    if !view.has_contiguous_rows() {
        return zero_strided(words, view, pattern);
    }
    let (runs, width) =
        if view.out_stride == view.inputs { (1, view.len()) } else { (view.out, view.inputs) };
    for run in 0..runs {
        let start = view.index(run, 0);
        zero_run(&mut words[start..start + width], pattern);
    }
}

fn zero_halves(run: &mut [[u8; 2]], pattern: Pattern) {
    if (pattern.keep, pattern.of) != (2, 4) {
        return zero_run(run, pattern);
    }
    for group in run.as_flattened_mut().as_chunks_mut().0 {
        *group = lanes::keep_two_of_four(u64::from_le_bytes(*group)).to_le_bytes();
    }
}

fn zero_run<W: Word>(run: &mut [W], pattern: Pattern) {
    match pattern.of() {
        4 => lanes::zero_run_of::<W, 4>(run, pattern.keep()),
        8 => lanes::zero_run_of::<W, 8>(run, pattern.keep()),
        16 => lanes::zero_run_of::<W, 16>(run, pattern.keep()),
        of => lanes::zero_run(run, pattern.keep(), of),
    }
}

/// Lanes are neighbouring outputs: where they stand side by side, as in a transposed weight, memory is read in order.
fn zero_strided<W: Word>(words: &mut [W], view: &MatrixView, pattern: Pattern) {
    let mut keys = vec![[W::Key::default(); LANES]; pattern.of()];
    let mut ranks = keys.clone();
    let keep = W::Key::from_count(pattern.keep());
    for first in (0..view.inputs).step_by(pattern.of()) {
        for out in (0..view.out).step_by(LANES) {
            let lanes = LANES.min(view.out - out);
            for (i, keys) in keys.iter_mut().enumerate() {
                let words = &words[view.index(out, first + i)..];
                lanes::gather(words, view.out_stride, &mut keys[..lanes]);
            }
            lanes::rank(&keys, &mut ranks);
            for (i, ranks) in ranks.iter().enumerate() {
                let words = &mut words[view.index(out, first + i)..];
                lanes::zero(words, view.out_stride, &ranks[..lanes], keep);
            }
        }
    }
}

fn violations<W: Word>(words: &[W], view: &MatrixView, pattern: Pattern) -> usize {
    if view.is_empty() {
        return 0;
    }
    if !view.has_contiguous_rows() {
        return violations_strided(words, view, pattern);
    }
    let keep = pattern.keep();
    let rows = (0..view.out).map(|out| &words[view.index(out, 0)..][..view.inputs]);
    rows.map(|row| match pattern.of() {
        4 => lanes::count_over::<W, 4>(row, keep),
        8 => lanes::count_over::<W, 8>(row, keep),
        16 => lanes::count_over::<W, 16>(row, keep),
        of => row.chunks_exact(of).filter(|group| lanes::nonzeros(group) > keep).count(),
    })
    .sum()
}

fn violations_strided<W: Word>(words: &[W], view: &MatrixView, pattern: Pattern) -> usize {
    let mut over = 0;
    for first in (0..view.inputs).step_by(pattern.of()) {
        for out in (0..view.out).step_by(LANES) {
            let mut counts = [0; LANES];
            let lanes = LANES.min(view.out - out);
            for i in 0..pattern.of() {
                let words = &words[view.index(out, first + i)..];
                lanes::add_nonzeros(words, view.out_stride, &mut counts[..lanes]);
            }
            over += counts.iter().filter(|count| **count > pattern.keep).count();
        }
    }
    over
}

/// From unsigned to signed order.
fn signed(key: u32) -> i32 {
    (key ^ 0x8000_0000) as i32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tensor::convert::{count_zeros, read_f32, read_magnitudes, write};

    const FLOATS: [DType; 4] = [DType::F64, DType::F32, DType::F16, DType::Bf16];

    fn pattern(keep: usize, of: usize) -> Pattern {
        Pattern::new(keep, of).unwrap()
    }

    fn kept(scores: &[f32], keep: usize, of: usize) -> Vec<bool> {
        let mut marks = vec![false; scores.len()];
        keep_pattern(scores, pattern(keep, of), &mut marks).unwrap();
        marks
    }

    fn zeroed(dtype: DType, values: &[f32], view: &MatrixView, keep: usize, of: usize) -> Vec<f32> {
        let mut bytes = vec![0; values.len() * dtype.size()];
        write(dtype, values, &mut bytes).unwrap();
        zero_pattern_magnitude(dtype, &mut bytes, view, pattern(keep, of)).unwrap();
        assert_eq!(count_violations(dtype, &bytes, view, pattern(keep, of)), Ok(0));
        let mut out = vec![0.0; values.len()];
        read_f32(dtype, &bytes, &mut out).unwrap();
        out
    }

    #[test]
    fn two_of_four_by_hand() {
        let row = [9.0, -8.0, 7.0, 6.0, 1.0, 2.0, -3.0, 4.0];
        for dtype in FLOATS {
            let expected = [9.0, -8.0, 0.0, 0.0, 0.0, 0.0, -3.0, 4.0];
            assert_eq!(zeroed(dtype, &row, &MatrixView::rows(1, 8), 2, 4), expected);
        }
        assert_eq!(kept(&[4.0, 4.0, 0.0, 8.0], 2, 4), [true, false, false, true]);
    }

    #[test]
    fn ties_keep_the_lower_index() {
        assert_eq!(kept(&[1.0; 4], 2, 4), [true, true, false, false]);
        assert_eq!(kept(&[1.0, 2.0, 2.0, 2.0], 2, 4), [false, true, true, false]);
        assert_eq!(kept(&[-0.0, 0.0, 0.0], 1, 3), [true, false, false]);
        assert_eq!(
            zeroed(DType::Bf16, &[1.0, -1.0, 1.0, -1.0], &MatrixView::rows(1, 4), 2, 4),
            [1.0, -1.0, 0.0, 0.0]
        );
    }

    #[test]
    fn what_is_masked_becomes_positive_zero() {
        for dtype in FLOATS {
            let out = zeroed(dtype, &[-1.0, -2.0, -3.0, -4.0], &MatrixView::rows(1, 4), 2, 4);
            assert_eq!(out[0].to_bits(), 0);
            assert_eq!(out[1].to_bits(), 0);
        }
    }

    #[test]
    fn all_orders_of_four_agree_with_counting() {
        // 0..=3 in every place: all orders and all ties that four elements can have.
        for code in 0..256_u32 {
            let values: Vec<f32> = (0..4).map(|i| (code >> (2 * i) & 3) as f32 - 1.0).collect();
            let expected = by_sorting(&values, &MatrixView::rows(1, 4), 2, 4);
            assert_eq!(zeroed(DType::F16, &values, &MatrixView::rows(1, 4), 2, 4), expected, "{values:?}");
        }
    }

    #[test]
    fn a_group_runs_along_the_inputs_of_a_transposed_weight() {
        // Stored [4 inputs, 2 outputs]: output 0 has 1 2 3 4, output 1 has 8 7 6 5.
        let stored = [1.0, 8.0, 2.0, 7.0, 3.0, 6.0, 4.0, 5.0];
        let expected = [0.0, 8.0, 0.0, 7.0, 3.0, 0.0, 4.0, 0.0];
        assert_eq!(zeroed(DType::Bf16, &stored, &MatrixView::transposed(2, 4), 2, 4), expected);
    }

    #[test]
    fn only_the_section_in_view_changes() {
        let view = MatrixView { offset: 4, out: 2, inputs: 2, out_stride: 4, in_stride: 1 };
        let fused: Vec<f32> = (1..=12).map(|v| v as f32).collect();
        let mut expected = fused.clone();
        (expected[4], expected[8]) = (0.0, 0.0);
        assert_eq!(zeroed(DType::F32, &fused, &view, 1, 2), expected);
    }

    #[test]
    fn violations_are_counted_by_group() {
        let mut bytes = vec![0; 16];
        write(DType::Bf16, &[1.0, 2.0, 3.0, 0.0, 1.0, -0.0, 0.0, 2.0], &mut bytes).unwrap();
        assert_eq!(count_violations(DType::Bf16, &bytes, &MatrixView::rows(1, 8), pattern(2, 4)), Ok(1));
        // Stored [4 inputs, 2 outputs]: output 0 is 1 3 1 0, output 1 is 2 0 0 2.
        assert_eq!(
            count_violations(DType::Bf16, &bytes, &MatrixView::transposed(2, 4), pattern(2, 4)),
            Ok(1)
        );
        assert_eq!(
            count_violations(DType::Bf16, &bytes, &MatrixView::transposed(2, 4), pattern(1, 4)),
            Ok(2)
        );
    }

    #[test]
    fn impossible_requests_are_refused() {
        for (keep, of) in [(0, 4), (4, 4), (5, 4), (1, 257)] {
            assert_eq!(Pattern::new(keep, of), Err(TensorError::NotAPattern { keep, of }));
        }
        let odd = TensorError::Indivisible { what: "inputs", extent: 6, by: 4 };
        let view = MatrixView::rows(2, 6);
        assert_eq!(zero_pattern_magnitude(DType::F32, &mut [0; 48], &view, pattern(2, 4)), Err(odd));
        assert!(zero_pattern_magnitude(DType::F32, &mut [0; 40], &view, pattern(2, 3)).is_err());
        assert!(zero_pattern_magnitude(DType::I32, &mut [0; 48], &view, pattern(2, 3)).is_err());
    }

    /// The definition: sort each group by magnitude, then index, and zero what comes behind.
    fn by_sorting(values: &[f32], view: &MatrixView, keep: usize, of: usize) -> Vec<f32> {
        let mut out = values.to_vec();
        for row in 0..view.out {
            for first in (0..view.inputs).step_by(of) {
                let mut group: Vec<usize> = (first..first + of).map(|i| view.index(row, i)).collect();
                group.sort_by(|a, b| values[*b].abs().total_cmp(&values[*a].abs()));
                group[keep..].iter().for_each(|i| out[*i] = 0.0);
            }
        }
        out
    }

    fn any_view() -> impl Strategy<Value = (MatrixView, usize, usize)> {
        let of = prop_oneof![4 => 2..=8_usize, 1 => 28..=40_usize, 1 => Just(256_usize)];
        (of, any::<prop::sample::Index>(), 1..40_usize, 1..12_usize, 0..3, 0..3_usize).prop_map(
            |(of, keep, out, groups, kind, offset)| {
                let inputs = groups * of;
                let view = match kind {
                    0 => MatrixView::rows(out, inputs),
                    1 => MatrixView::transposed(out, inputs),
                    _ => MatrixView { out_stride: inputs + 3, ..MatrixView::rows(out, inputs) },
                };
                (view.at(offset), keep.index(of - 1) + 1, of)
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn stored_bits_and_scores_choose_the_same_weights((view, keep, of) in any_view(), seed in 1..1000_u32) {
            // Few distinct values: many ties.
            let len = view.index(view.out - 1, view.inputs - 1) + 2;
            let hash = |i: usize| (i as u32).wrapping_mul(2_654_435_761).wrapping_mul(seed) >> 20;
            let values: Vec<f32> = (0..len).map(|i| hash(i) as f32 % 23.0 - 11.0).collect();
            let expected = by_sorting(&values, &view, keep, of);
            let mut bytes = vec![0; len * 2];
            write(DType::F16, &values, &mut bytes).unwrap();
            let nonzero = |o, first| (first..first + of).filter(|i| values[view.index(o, *i)] != 0.0).count();
            let over = |o| (0..view.inputs).step_by(of).filter(|first| nonzero(o, *first) > keep).count();
            let found = count_violations(DType::F16, &bytes, &view, pattern(keep, of));
            prop_assert_eq!(found, Ok((0..view.out).map(over).sum()));
            for dtype in FLOATS {
                prop_assert_eq!(&zeroed(dtype, &values, &view, keep, of), &expected);
            }
            let row = |o| (0..view.inputs).map(move |i| view.index(o, i));
            let matrix: Vec<usize> = (0..view.out).flat_map(row).collect();
            let scores: Vec<f32> = matrix.iter().map(|i| values[*i].abs()).collect();
            let marks = kept(&scores, keep, of);
            prop_assert_eq!(marks.iter().filter(|stays| **stays).count(), view.len() / of * keep);
            for (at, stays) in matrix.iter().zip(&marks) {
                prop_assert_eq!(expected[*at], if *stays { values[*at] } else { 0.0 });
            }
        }

        #[test]
        fn any_bits_but_nan_agree_in_both_paths(halves in prop::collection::vec(any::<u16>(), 64), keep in 1..4_usize) {
            for (dtype, infinity) in [(DType::F16, 0x7c00_u16), (DType::Bf16, 0x7f80)] {
                let clean = halves.iter().map(|h| if h & 0x7fff > infinity { 0 } else { *h });
                let mut bytes: Vec<u8> = clean.flat_map(u16::to_le_bytes).collect();
                let mut scores = [0.0; 64];
                read_magnitudes(dtype, &bytes, &mut scores).unwrap();
                let before = bytes.clone();
                zero_pattern_magnitude(dtype, &mut bytes, &MatrixView::rows(4, 16), pattern(keep, 4)).unwrap();
                let marks = kept(&scores, keep, 4);
                for (at, stays) in marks.iter().enumerate() {
                    let expected = if *stays { &before[2 * at..2 * at + 2] } else { &[0, 0] };
                    prop_assert_eq!(&bytes[2 * at..2 * at + 2], expected);
                }
                prop_assert!(count_zeros(dtype, &bytes).unwrap() >= 16 * (4 - keep));
            }
        }
    }
}
