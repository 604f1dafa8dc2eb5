//! Ranks within small groups, many groups side by side so that comparisons vectorise.

use std::ops::{AddAssign, Sub};

/// Groups that are ranked at once.
pub(super) const LANES: usize = 32;

/// One number of each group.
pub(super) type Lanes<K> = [K; LANES];

/// A signed integer that orders as scores do. Signed, because that is what SSE2 compares.
pub(super) trait Key: Copy + Ord + Default + AddAssign + Sub<Output = Self> + From<bool> {
    /// Counts are at most 256.
    fn from_count(count: usize) -> Self;
}

/// A stored float, as bytes: alignment never matters.
pub(super) trait Word: Copy + Default {
    type Key: Key;
    /// Orders as the absolute value does.
    fn magnitude(self) -> Self::Key;
    fn is_zero(self) -> bool;
    /// Itself, or +0.
    fn kept(self, stays: bool) -> Self;
}

macro_rules! word {
    ($signed:ty, $size:literal) => {
        impl Key for $signed {
            fn from_count(count: usize) -> Self {
                count as $signed
            }
        }

        impl Word for [u8; $size] {
            type Key = $signed;

            fn magnitude(self) -> $signed {
                <$signed>::from_le_bytes(self) & <$signed>::MAX
            }

            fn is_zero(self) -> bool {
                self.magnitude() == 0
            }

            fn kept(self, stays: bool) -> Self {
                (<$signed>::from_le_bytes(self) & -<$signed>::from(stays)).to_le_bytes()
            }
        }
    };
}

word!(i16, 2);
word!(i32, 4);
word!(i64, 8);

/// Counts for each key how many of its group come before it: the larger ones, and equal ones of lower index.
///
/// All pairs are compared: in vectors that beats sorting each group up to the longest there are.
pub(super) fn rank<K: Key>(keys: &[Lanes<K>], ranks: &mut [Lanes<K>]) {
    for (higher, key) in keys.iter().enumerate() {
        let mut rank = [K::default(); LANES];
        for (lower_key, lower_rank) in keys[..higher].iter().zip(&mut *ranks) {
            for lane in 0..LANES {
                let lower_first = K::from(lower_key[lane] >= key[lane]);
                rank[lane] += lower_first;
                lower_rank[lane] += K::from(true) - lower_first;
            }
        }
        ranks[higher] = rank;
    }
}

/// Zeroes all but the `keep` largest of each `M` consecutive words. The length is a multiple of `M`.
pub(super) fn zero_run_of<W: Word, const M: usize>(run: &mut [W], keep: usize) {
    let (blocks, rest) = run.as_chunks_mut::<M>().0.as_chunks_mut::<LANES>();
    blocks.iter_mut().for_each(|block| zero_block(block, keep));
    let mut last = [[W::default(); M]; LANES];
    last[..rest.len()].copy_from_slice(rest);
    zero_block(&mut last, keep);
    rest.copy_from_slice(&last[..rest.len()]);
}

fn zero_block<W: Word, const M: usize>(block: &mut [[W; M]; LANES], keep: usize) {
    let mut keys = [[W::Key::default(); LANES]; M];
    for (lane, group) in block.iter().enumerate() {
        for i in 0..M {
            keys[i][lane] = group[i].magnitude();
        }
    }
    let mut ranks = keys;
    rank(&keys, &mut ranks);
    let keep = W::Key::from_count(keep);
    for (lane, group) in block.iter_mut().enumerate() {
        for i in 0..M {
            group[i] = group[i].kept(ranks[i][lane] < keep);
        }
    }
}

/// The same for any group length.
pub(super) fn zero_run<W: Word>(run: &mut [W], keep: usize, of: usize) {
    let mut keys = vec![[W::Key::default(); LANES]; of];
    let mut ranks = keys.clone();
    let keep = W::Key::from_count(keep);
    for block in run.chunks_mut(LANES * of) {
        for (lane, group) in block.chunks_exact(of).enumerate() {
            keys.iter_mut().zip(group).for_each(|(keys, word)| keys[lane] = word.magnitude());
        }
        rank(&keys, &mut ranks);
        for (lane, group) in block.chunks_exact_mut(of).enumerate() {
            group.iter_mut().zip(&ranks).for_each(|(word, ranks)| *word = word.kept(ranks[lane] < keep));
        }
    }
}

/// How many of the groups of `M` consecutive words hold more than `keep` that are not zero.
pub(super) fn count_over<W: Word, const M: usize>(run: &[W], keep: usize) -> usize {
    run.as_chunks::<M>().0.iter().map(|group| usize::from(nonzeros(group) > keep)).sum()
}

pub(super) fn nonzeros<W: Word>(group: &[W]) -> usize {
    group.iter().map(|word| usize::from(!word.is_zero())).sum()
}

/// Counts in each lane whether its word, `stride` words from the last one, is not zero.
pub(super) fn add_nonzeros<W: Word>(words: &[W], stride: usize, counts: &mut [u16]) {
    if stride == 1 {
        counts.iter_mut().zip(words).for_each(|(count, word)| *count += u16::from(!word.is_zero()));
    } else {
        counts
            .iter_mut()
            .enumerate()
            .for_each(|(lane, count)| *count += u16::from(!words[lane * stride].is_zero()));
    }
}

/// Reads one key a lane, `stride` words apart.
pub(super) fn gather<W: Word>(words: &[W], stride: usize, keys: &mut [W::Key]) {
    if stride == 1 {
        keys.iter_mut().zip(words).for_each(|(key, word)| *key = word.magnitude());
    } else {
        keys.iter_mut().enumerate().for_each(|(lane, key)| *key = words[lane * stride].magnitude());
    }
}

/// Zeroes the lanes whose rank is not below `keep`.
pub(super) fn zero<W: Word>(words: &mut [W], stride: usize, ranks: &[W::Key], keep: W::Key) {
    if stride == 1 {
        words.iter_mut().zip(ranks).for_each(|(word, rank)| *word = word.kept(*rank < keep));
    } else {
        for (lane, rank) in ranks.iter().enumerate() {
            words[lane * stride] = words[lane * stride].kept(*rank < keep);
        }
    }
}

/// 2:4 on four halves in one integer. No lane ever borrows from the next, for magnitudes have 15 bits.
pub(super) fn keep_two_of_four(group: u64) -> u64 {
    const TOP: u64 = 0x8000_8000_8000_8000;
    let magnitudes = group & !TOP;
    // The top bit of each lane: does the element `turn` places on come first? On a tie only if its index is lower,
    // that is, if it came round the end; the others must win by one.
    let beaten_by = |turn: u32| {
        let not_wrapped = 0x0001_0001_0001_0001 & (u64::MAX >> (16 * turn));
        ((magnitudes.rotate_right(16 * turn) | TOP) - magnitudes - not_wrapped) & TOP
    };
    let (a, b, c) = (beaten_by(1), beaten_by(2), beaten_by(3));
    let dropped = (a & b) | (a & c) | (b & c);
    group & !(dropped | (dropped - (dropped >> 15)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rank_counts_what_comes_before() {
        let keys = [3, 5, 3, 0].map(|key| [key; LANES]);
        let mut ranks = [[9_i16; LANES]; 4];
        rank(&keys, &mut ranks);
        assert_eq!(ranks.map(|lanes| lanes[7]), [1, 0, 2, 3]);
    }

    #[test]
    fn all_orders_and_ties_of_four_halves_keep_the_two_that_come_first() {
        for code in 0..256_u32 {
            // Magnitudes 0, 1, 2 and the largest there is, every other one negative.
            let halves: Vec<u16> =
                (0..4).map(|i| [0, 1, 2, 0x7fff][(code >> (2 * i) & 3) as usize]).collect();
            let signed = |i: usize| halves[i] | (i as u16 % 2) << 15;
            let join = |of: &dyn Fn(usize) -> u16| (0..4).map(|i| u64::from(of(i)) << (16 * i)).sum::<u64>();
            let before = |i: usize| (0..4).filter(|j| (halves[*j], 4 - j) > (halves[i], 4 - i)).count();
            let expected = join(&|i| if before(i) < 2 { signed(i) } else { 0 });
            assert_eq!(keep_two_of_four(join(&signed)), expected, "{halves:?}");
        }
    }
}
