//! Exact selection by rank, over one row or over many tensors at once.
//!
//! Elements are ordered by score, then tensor, then index, and the first `count` of them go. The number is exact
//! however many scores are equal, and the choice does not depend on threads. What goes is told by a [`Cut`] a tensor,
//! so that neither scores nor masks of a whole model need to be held.

use std::ops::Range;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::TensorError;

/// Keys are counted by their upper 16 bits, then by their lower 16.
const BINS: usize = 1 << 16;

/// What goes of one tensor or row: all below a score, and of those equal to it the ones of low index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Cut {
    /// The [`order_key`] of the score.
    pub key: u32,
    /// Elements with this very score go if their index is lower.
    pub ties_end: usize,
    /// How many elements go.
    pub removed: usize,
}

impl Cut {
    pub fn removes(&self, index: usize, score: f32) -> bool {
        let key = order_key(score);
        key < self.key || (key == self.key && index < self.ties_end)
    }

    /// Marks what stays among elements of which `first` is the index of the first.
    pub fn keep(&self, first: usize, scores: &[f32], keep: &mut [bool]) {
        for (index, (score, keep)) in (first..).zip(scores.iter().zip(keep)) {
            *keep = !self.removes(index, *score);
        }
    }
}

/// An integer that orders as the score does. Both zeros have one key; so has a NaN, but which says nothing.
pub fn order_key(score: f32) -> u32 {
    // Adding zero turns -0.0 into +0.0.
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 0 { bits | 0x8000_0000 } else { !bits }
}

/// Cuts the `count` lowest of one slice. `scratch` is reused from row to row.
pub fn select(scores: &[f32], count: usize, scratch: &mut Vec<u64>) -> Result<Cut, TensorError> {
    if u32::try_from(scores.len()).is_err() {
        let read = |_, start, out: &mut [f32]| -> Result<(), TensorError> {
            out.copy_from_slice(&scores[start..start + out.len()]);
            Ok(())
        };
        return Ok(select_global(&[scores.len()], BINS, count, read)?[0]);
    }
    check(count, scores.len())?;
    let Some(last) = count.checked_sub(1) else { return Ok(Cut::default()) };
    scratch.clear();
    scratch.extend(scores.iter().zip(0..).map(|(score, index)| u64::from(order_key(*score)) << 32 | index));
    let (_, boundary, _) = scratch.select_nth_unstable(last);
    let (key, index) = ((*boundary >> 32) as u32, *boundary as u32);
    Ok(Cut { key, ties_end: index as usize + 1, removed: count })
}

/// Cuts the `count` lowest of many tensors, in parallel and without holding their scores: one [`Cut`] a tensor.
///
/// `read(tensor, start, out)` gives the scores from index `start` on. It is called with pieces of at most `piece`
/// elements, in any order, three times for each and once more for one of them. A `piece` of `usize::MAX` asks for whole
/// tensors.
pub fn select_global<E: From<TensorError> + Send>(
    lens: &[usize],
    piece: usize,
    count: usize,
    read: impl Fn(usize, usize, &mut [f32]) -> Result<(), E> + Sync,
) -> Result<Vec<Cut>, E> {
    let total = lens.iter().try_fold(0_usize, |sum, len| sum.checked_add(*len));
    check(count, total.ok_or(TensorError::Overflow)?)?;
    if count == 0 {
        return Ok(vec![Cut::default(); lens.len()]);
    }
    let scores = Scores { pieces: pieces(lens, piece), read };
    let (key, ties) = scores.boundary(count)?;
    scores.cuts(lens.len(), key, ties)
}

fn check(asked: usize, available: usize) -> Result<(), TensorError> {
    if asked <= available { Ok(()) } else { Err(TensorError::TooMany { what: "removals", asked, available }) }
}

struct Piece {
    tensor: usize,
    range: Range<usize>,
}

/// How many scores of a piece lie below the boundary, and on it.
struct Tally {
    below: usize,
    ties: usize,
}

fn pieces(lens: &[usize], piece: usize) -> Vec<Piece> {
    let of_tensor = |(tensor, len): (usize, &usize)| {
        let (len, piece) = (*len, piece.max(1));
        let starts = (0..len).step_by(piece);
        starts.map(move |start| Piece { tensor, range: start..start.saturating_add(piece).min(len) })
    };
    lens.iter().enumerate().flat_map(of_tensor).collect()
}

struct Scores<R> {
    pieces: Vec<Piece>,
    read: R,
}

impl<R, E> Scores<R>
where
    R: Fn(usize, usize, &mut [f32]) -> Result<(), E> + Sync,
    E: Send,
{
    fn read(&self, piece: &Piece, buffer: &mut Vec<f32>) -> Result<(), E> {
        buffer.resize(piece.range.len(), 0.0);
        (self.read)(piece.tensor, piece.range.start, buffer)
    }

    /// The key of the last score to go, and how many of those equal to it go.
    fn boundary(&self, count: usize) -> Result<(u32, usize), E> {
        let upper = self.histogram(|key| Some((key >> 16) as u16))?;
        let (bin, rest) = upper.locate(count);
        // The magnitudes of bf16 have nothing in the lower half.
        if upper.lower_half == 0 {
            return Ok((u32::from(bin) << 16, rest));
        }
        let lower = self.histogram(|key| (key >> 16 == u32::from(bin)).then_some(key as u16))?;
        let (low, ties) = lower.locate(rest);
        Ok((u32::from(bin) << 16 | u32::from(low), ties))
    }

    fn histogram(&self, bin: impl Fn(u32) -> Option<u16> + Sync) -> Result<Histogram, E> {
        let start = || (Histogram::new(), Vec::new());
        let parts = self.pieces.par_iter().try_fold(start, |(mut histogram, mut buffer), piece| {
            self.read(piece, &mut buffer)?;
            histogram.add(&buffer, &bin);
            Ok((histogram, buffer))
        });
        parts
            .map(|part| part.map(|(histogram, _)| histogram))
            .try_reduce(Histogram::new, |a, b| Ok(a.merge(b)))
    }

    fn cuts(&self, tensors: usize, key: u32, mut ties: usize) -> Result<Vec<Cut>, E> {
        let mut cuts = vec![Cut { key, ..Cut::default() }; tensors];
        for (piece, tally) in self.pieces.iter().zip(self.tallies(key)?) {
            let taken = tally.ties.min(ties);
            let cut = &mut cuts[piece.tensor];
            cut.removed += tally.below + taken;
            if taken == tally.ties && ties > 0 {
                cut.ties_end = piece.range.end;
            } else if taken > 0 {
                cut.ties_end = self.end_of_ties(piece, key, taken)?;
            }
            ties -= taken;
        }
        Ok(cuts)
    }

    fn tallies(&self, key: u32) -> Result<Vec<Tally>, E> {
        let tally = |buffer: &mut Vec<f32>, piece| {
            self.read(piece, buffer)?;
            let below = buffer.iter().filter(|score| order_key(**score) < key).count();
            let ties = buffer.iter().filter(|score| order_key(**score) == key).count();
            Ok(Tally { below, ties })
        };
        self.pieces.par_iter().map_init(Vec::new, tally).collect()
    }

    /// The index just behind the `taken`-th tie of a piece.
    fn end_of_ties(&self, piece: &Piece, key: u32, taken: usize) -> Result<usize, E> {
        let mut buffer = Vec::new();
        self.read(piece, &mut buffer)?;
        let ties = piece.range.clone().zip(&buffer).filter(|(_, score)| order_key(**score) == key);
        Ok(ties.map(|(index, _)| index + 1).take(taken).last().unwrap_or(piece.range.start))
    }
}

struct Histogram {
    bins: Box<[usize; BINS]>,
    /// Every bit that is set in the lower half of some key.
    lower_half: u16,
}

impl Histogram {
    fn new() -> Self {
        let bins = vec![0; BINS].into_boxed_slice().try_into().expect("as many as the array has");
        Self { bins, lower_half: 0 }
    }

    fn add(&mut self, scores: &[f32], bin: impl Fn(u32) -> Option<u16>) {
        for score in scores {
            let key = order_key(*score);
            self.lower_half |= key as u16;
            if let Some(bin) = bin(key) {
                self.bins[usize::from(bin)] += 1;
            }
        }
    }

    fn merge(mut self, other: Self) -> Self {
        self.bins.iter_mut().zip(other.bins.iter()).for_each(|(bin, other)| *bin += other);
        self.lower_half |= other.lower_half;
        self
    }

    /// The bin that the `count`-th lowest falls into, and its rank there, from 1.
    fn locate(&self, count: usize) -> (u16, usize) {
        let mut rest = count;
        for (bin, found) in (0..=u16::MAX).zip(self.bins.iter()) {
            if rest <= *found {
                return (bin, rest);
            }
            rest -= found;
        }
        // Only if `read` gives other scores the second time.
        (u16::MAX, rest)
    }
}

/// The smallest number of `all` things that is at least this share of them.
///
/// `expect zeros >= 30%` has to hold after `to 30% zeros`, so it is decided as that is measured: by dividing.
pub fn at_least(all: usize, share: f64) -> usize {
    let enough = |count: usize| count as f64 / all.max(1) as f64 >= share;
    let mut count = ((all as f64 * share) as usize).min(all);
    while count > 0 && enough(count - 1) {
        count -= 1;
    }
    while count < all && !enough(count) {
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rayon::ThreadPoolBuilder;

    use super::*;

    fn cuts(tensors: &[Vec<f32>], piece: usize, count: usize) -> Vec<Cut> {
        let lens: Vec<usize> = tensors.iter().map(Vec::len).collect();
        let read = |tensor: usize, start, out: &mut [f32]| -> Result<(), TensorError> {
            out.copy_from_slice(&tensors[tensor][start..start + out.len()]);
            Ok(())
        };
        select_global(&lens, piece, count, read).unwrap()
    }

    fn removed(tensors: &[Vec<f32>], cuts: &[Cut]) -> Vec<Vec<usize>> {
        let of = |(scores, cut): (&Vec<f32>, &Cut)| {
            let mut keep = vec![false; scores.len()];
            cut.keep(0, scores, &mut keep);
            (0..scores.len()).filter(|index| !keep[*index]).collect()
        };
        tensors.iter().zip(cuts).map(of).collect()
    }

    #[test]
    fn one_threshold_over_two_tensors_by_hand() {
        // LAMP scores of (4, 3, 2, 1) and of 100 * (3, 2, 1): the three lowest are 1/30, 1/14 and 4/29.
        let tensors = [vec![1.0, 9.0 / 25.0, 4.0 / 29.0, 1.0 / 30.0], vec![1.0, 4.0 / 13.0, 1.0 / 14.0]];
        assert_eq!(removed(&tensors, &cuts(&tensors, 2, 3)), [vec![2, 3], vec![2]]);
    }

    #[test]
    fn ties_go_in_the_order_of_tensor_and_index() {
        let tensors = [vec![5.0, 1.0, 2.0, 2.0], vec![2.0, 2.0, 0.0, 2.0]];
        let cuts = cuts(&tensors, 3, 5);
        assert_eq!(removed(&tensors, &cuts), [vec![1, 2, 3], vec![0, 2]]);
        assert_eq!(cuts.iter().map(|cut| cut.removed).collect::<Vec<_>>(), [3, 2]);
    }

    #[test]
    fn nothing_and_everything_are_exact() {
        let tensors = [vec![0.0, -0.0], vec![], vec![f32::INFINITY]];
        assert_eq!(removed(&tensors, &cuts(&tensors, 8, 0)), [vec![0; 0], vec![], vec![]]);
        assert_eq!(removed(&tensors, &cuts(&tensors, 8, 3)), [vec![0, 1], vec![], vec![0]]);
        assert_eq!(removed(&tensors, &cuts(&tensors, 8, 1)), [vec![0], vec![], vec![]]);
        assert_eq!(select(&[1.0], 0, &mut Vec::new()), Ok(Cut::default()));
    }

    #[test]
    fn a_row_loses_its_lowest_by_stable_rank() {
        // The Wanda scores of a row with a tie: of the two fours the first goes.
        let cut = select(&[4.0, 4.0, 0.0, 8.0], 2, &mut Vec::new()).unwrap();
        assert_eq!(removed(&[vec![4.0, 4.0, 0.0, 8.0]], &[cut]), [vec![0, 2]]);
    }

    #[test]
    fn keys_order_as_scores_do() {
        let ascending = [f32::NEG_INFINITY, -1.0, -1e-40, 0.0, 1e-40, 1.0, f32::INFINITY];
        assert!(ascending.is_sorted_by(|a, b| order_key(*a) < order_key(*b)));
        assert_eq!(order_key(-0.0), order_key(0.0));
    }

    #[test]
    fn more_than_there_is_is_refused() {
        let error = TensorError::TooMany { what: "removals", asked: 3, available: 2 };
        assert_eq!(select(&[1.0, 2.0], 3, &mut Vec::new()), Err(error.clone()));
        assert_eq!(select_global(&[1, 1], 1, 3, |_, _, _| Ok(())), Err(error));
        assert_eq!(select_global(&[usize::MAX, 1], 1, 3, |_, _, _| Ok(())), Err(TensorError::Overflow));
    }

    #[test]
    fn a_failed_read_ends_the_selection() {
        let failed =
            select_global(
                &[4],
                2,
                1,
                |_, start, _| {
                    if start == 0 { Ok(()) } else { Err(TensorError::NotFinite(1)) }
                },
            );
        assert_eq!(failed, Err(TensorError::NotFinite(1)));
    }

    #[test]
    fn scores_that_are_not_numbers_still_give_the_exact_count() {
        let tensors = [vec![f32::NAN, 1.0, -f32::NAN], vec![f32::NAN; 3]];
        for count in 0..=6 {
            let gone = removed(&tensors, &cuts(&tensors, 2, count));
            assert_eq!(gone.iter().map(Vec::len).sum::<usize>(), count);
        }
    }

    fn any_scores() -> impl Strategy<Value = Vec<Vec<f32>>> {
        let score = prop_oneof![
            (0..6_u8).prop_map(f32::from),
            -2.0..2.0_f32,
            (0..3_u32).prop_map(|low| f32::from_bits(0x3f80_0000 + low)),
            Just(-0.0),
        ];
        prop::collection::vec(prop::collection::vec(score, 0..60), 1..5)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_cut_equals_a_full_sort(
            tensors in any_scores(), share in 0..=8_usize, piece in 1..70_usize, bf16 in any::<bool>()
        ) {
            let coarse = |score: &f32| if bf16 { f32::from_bits(score.abs().to_bits() & 0xffff_0000) } else { *score };
            let tensors: Vec<Vec<f32>> = tensors.iter().map(|scores| scores.iter().map(coarse).collect()).collect();
            let mut order: Vec<(usize, usize)> =
                tensors.iter().enumerate().flat_map(|(t, scores)| (0..scores.len()).map(move |i| (t, i))).collect();
            order.sort_by(|a, b| tensors[a.0][a.1].partial_cmp(&tensors[b.0][b.1]).expect("no NaN here"));
            let count = order.len() * share / 8;
            let mut expected = vec![Vec::new(); tensors.len()];
            order[..count].iter().for_each(|(tensor, index)| expected[*tensor].push(*index));
            expected.iter_mut().for_each(|indices| indices.sort_unstable());

            let found = cuts(&tensors, piece, count);
            prop_assert_eq!(removed(&tensors, &found), expected.clone());
            prop_assert!(found.iter().zip(&expected).all(|(cut, gone)| cut.removed == gone.len()));
            for (scores, gone) in tensors.iter().zip(&expected) {
                let cut = select(scores, gone.len(), &mut Vec::new()).unwrap();
                prop_assert_eq!(&removed(std::slice::from_ref(scores), &[cut])[0], gone);
            }
        }
    }

    #[test]
    fn threads_and_pieces_change_nothing() {
        let tensors: Vec<Vec<f32>> =
            (1..4).map(|t| (0..5000).map(|i| ((i * 7919 * t) % 613) as f32).collect()).collect();
        let expected = cuts(&tensors, usize::MAX, 7000);
        for threads in [1, 2, 5] {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let found = pool.install(|| cuts(&tensors, 97, 7000));
            assert_eq!(removed(&tensors, &found), removed(&tensors, &expected));
        }
    }

    #[test]
    fn a_share_is_met_and_not_exceeded() {
        // In floats 0.29 * 100 is 28.999999999999996, and 0.07 * 100 is 7.000000000000001.
        assert_eq!(at_least(100, 0.29), 29);
        assert_eq!(at_least(100, 0.07), 7);
        assert_eq!(at_least(10, 0.25), 3);
        assert_eq!(at_least(1110, 0.9), 999);
        assert_eq!([at_least(7, 0.0), at_least(7, 1.0), at_least(0, 0.5)], [0, 7, 0]);
    }
}
