//! Products of matrices of small integers: exact, and several times as fast as those of floats.
//!
//! Values are of seven bits, -63 to 63 (on the left 0 to 127): the widest of which instructions that add up pairs in 16 bits
//! can add up two pairs. Sums wrap at 32 bits. Integers are added up to the same sum in whatever order, by however many
//! threads.

use std::ops::Range;

use rayon::prelude::*;

use super::product::{Into, Matrix, Threads, product};
use super::wide;

/// Rows of a panel.
const LANES: usize = 32;

/// Columns of a line.
const FOUR: usize = 4;

/// Lines that are gone through at a time: of two panels so many lie in the first cache. Even, as `avx2` takes two at a time.
const DEPTH: usize = 128;

/// Panels that are gone through at a time: the sums of so many by as many lie in the second cache.
const BLOCK: usize = 16;

/// Four columns of a panel, its rows side by side: what the instructions multiply and add up at once.
#[derive(Debug, Clone, Copy)]
#[repr(align(128))]
struct Line([[i8; FOUR]; LANES]);

/// Sums of the rows of one panel with those of another.
type Tile = [[i32; LANES]; LANES];

/// A matrix in panels of rows, each with line after line of columns; zeros where rows and columns end.
#[derive(Debug)]
pub struct Panels {
    rows: usize,
    /// Of a panel.
    lines_each: usize,
    lines: Vec<Line>,
}

impl Panels {
    /// A matrix whose rows are filled one by one, and what `fill` says of each. It is given the row's number and the row.
    pub fn fill<T: Send>(
        rows: usize,
        columns: usize,
        fill: impl Fn(usize, &mut [i8]) -> T + Sync,
    ) -> (Self, Vec<T>) {
        let lines_each = columns.div_ceil(2 * FOUR) * 2;
        let mut lines = vec![Line([[0; FOUR]; LANES]); rows.div_ceil(LANES) * lines_each];
        let panels = lines.par_chunks_mut(lines_each.max(1)).enumerate();
        let said = panels.flat_map_iter(|(panel, lines)| {
            let first = panel * LANES;
            let mut values = vec![0; FOUR * lines_each];
            let each = (first..rows.min(first + LANES)).map(|row| {
                let said = fill(row, &mut values[..columns]);
                for (line, four) in lines.iter_mut().zip(values.as_chunks::<FOUR>().0) {
                    line.0[row - first] = *four;
                }
                said
            });
            each.collect::<Vec<T>>()
        });
        let said = said.collect();
        (Self { rows, lines_each, lines }, said)
    }

    /// How many panels there are.
    fn count(&self) -> usize {
        self.rows.div_ceil(LANES)
    }

    fn lines(&self, panel: usize, lines: &Range<usize>) -> &[Line] {
        &self.lines[panel * self.lines_each..][lines.clone()]
    }
}

/// Sums over all columns of each row of `left`, where no value is negative, times each row of `right`. `take` is given a row of
/// `left`, all sums of it, and its place in `out`, which is `[left rows, right rows]`.
pub fn products<T: Send>(
    left: &Panels,
    right: &Panels,
    out: &mut [T],
    take: impl Fn(usize, &[i32], &mut [T]) + Sync,
) {
    assert_eq!(left.lines_each, right.lines_each, "rows are as long");
    assert_eq!(out.len(), left.rows * right.rows, "there is a place for each sum");
    let (kernel, width) = (kernels()[0], right.rows);
    if out.is_empty() {
        return;
    }
    let band = left.count().div_ceil(4 * rayon::current_num_threads()).clamp(1, BLOCK);
    let bands = out.par_chunks_mut(band * LANES * width).enumerate();
    bands.for_each_init(Vec::new, |sums, (at, out)| {
        let lefts = at * band..left.count().min((at + 1) * band);
        sums.clear();
        sums.resize(out.len(), 0);
        let mut tile = [[0; LANES]; LANES];
        for block in pieces(0..right.count(), BLOCK) {
            for lines in pieces(0..left.lines_each, DEPTH) {
                for panel in block.clone() {
                    let right_lines = right.lines(panel, &lines);
                    for (ours, rows) in lefts.clone().zip(sums.chunks_mut(LANES * width)) {
                        kernel(left.lines(ours, &lines), right_lines, &mut tile);
                        add(&tile, rows, width, panel * LANES);
                    }
                }
            }
        }
        for (row, (sums, out)) in sums.chunks(width).zip(out.chunks_mut(width)).enumerate() {
            take(at * band * LANES + row, sums, out);
        }
    });
}

fn pieces(of: Range<usize>, size: usize) -> impl Iterator<Item = Range<usize>> {
    of.clone().step_by(size).map(move |start| start..of.end.min(start + size))
}

wide! {
    /// Adds a tile to rows of sums, from a column on.
    fn add(tile: &Tile, rows: &mut [i32], width: usize, column: usize) {
        for (sums, row) in tile.iter().zip(rows.chunks_mut(width)) {
            let row = &mut row[column..width.min(column + LANES)];
            if let Ok(row) = <&mut [i32; LANES]>::try_from(&mut *row) {
                (0..LANES).for_each(|at| row[at] = row[at].wrapping_add(sums[at]));
            } else {
                row.iter_mut().zip(sums).for_each(|(total, sum)| *total = total.wrapping_add(*sum));
            }
        }
    }
}

/// Makes a tile of lines of two panels, an even number of them.
type Kernel = fn(&[Line], &[Line], &mut Tile);

/// Those that the machine has, the best first.
fn kernels() -> Vec<Kernel> {
    let mut kernels: Vec<Kernel> = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni") {
            // SAFETY: the machine has these instructions, as was just asked.
            kernels.push(|left, right, tile| unsafe { x86::avx512vnni(left, right, tile) });
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the machine has these instructions, as was just asked.
            kernels.push(|left, right, tile| unsafe { x86::avx2(left, right, tile) });
        }
    }
    kernels.push(floats);
    kernels
}

/// As floats, for machines that nothing else is written for: sums of so few products are exact.
fn floats(left: &[Line], right: &[Line], tile: &mut Tile) {
    // Column after column, each of all rows.
    let columns = |lines: &[Line]| -> Vec<f32> {
        let column = |line: &Line, at: usize| line.0.map(|four| f32::from(four[at]));
        lines.iter().flat_map(|line| (0..FOUR).flat_map(move |at| column(line, at))).collect()
    };
    let mut sums = [0.0f32; LANES * LANES];
    let (left, right) = (columns(left), columns(right));
    let [ours, theirs] =
        [&left, &right].map(|values| Matrix::rows(values, values.len() / LANES, LANES, LANES));
    product((&mut sums, LANES), Into::Replace, 1.0, ours.transposed(), theirs, Threads::One);
    tile.as_flattened_mut().iter_mut().zip(sums).for_each(|(out, sum)| *out = sum as i32);
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256i, __m512i, _mm256_add_epi16, _mm256_add_epi32, _mm256_load_si256, _mm256_madd_epi16,
        _mm256_maddubs_epi16, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_setzero_si256,
        _mm256_storeu_si256, _mm512_dpbusd_epi32, _mm512_load_si512, _mm512_set1_epi32, _mm512_setzero_si512,
        _mm512_storeu_si512,
    };

    use super::{LANES, Line, Tile};

    /// Eight rows by 32 at a time: 16 sums hide how long each addition takes.
    #[target_feature(enable = "avx512f,avx512vnni")]
    pub fn avx512vnni(left: &[Line], right: &[Line], tile: &mut Tile) {
        const ROWS: usize = 8;
        for first in (0..LANES).step_by(ROWS) {
            let mut sums = [[_mm512_setzero_si512(); 2]; ROWS];
            for (ours, theirs) in left.iter().zip(right) {
                let theirs = theirs.0.as_ptr().cast::<__m512i>();
                // SAFETY: a line is twice 64 bytes, and aligned so.
                let [one, other] = unsafe { [_mm512_load_si512(theirs), _mm512_load_si512(theirs.add(1))] };
                for (row, sums) in sums.iter_mut().enumerate() {
                    let four = _mm512_set1_epi32(bits(ours.0[first + row]));
                    sums[0] = _mm512_dpbusd_epi32(sums[0], four, one);
                    sums[1] = _mm512_dpbusd_epi32(sums[1], four, other);
                }
            }
            for (row, sums) in tile[first..].iter_mut().zip(sums) {
                let out = row.as_mut_ptr().cast::<__m512i>();
                // SAFETY: a row of a tile is twice 64 bytes.
                unsafe {
                    _mm512_storeu_si512(out, sums[0]);
                    _mm512_storeu_si512(out.add(1), sums[1]);
                }
            }
        }
    }

    /// Two rows by 16 at a time, of two lines: pairs of products of seven bits are 15 bits, two of them 16.
    #[target_feature(enable = "avx2")]
    pub fn avx2(left: &[Line], right: &[Line], tile: &mut Tile) {
        const ROWS: usize = 2;
        let ones = _mm256_set1_epi16(1);
        // All rows with the first half of lines, then with the second one: half of a panel stays in the first cache.
        for half in [0, 2] {
            for first in (0..LANES).step_by(ROWS) {
                let mut sums = [[_mm256_setzero_si256(); 2]; ROWS];
                for (ours, theirs) in left.as_chunks::<2>().0.iter().zip(right.as_chunks::<2>().0) {
                    let theirs = [two(&theirs[0], half), two(&theirs[1], half)];
                    for (row, sums) in sums.iter_mut().enumerate() {
                        let one = _mm256_set1_epi32(bits(ours[0].0[first + row]));
                        let other = _mm256_set1_epi32(bits(ours[1].0[first + row]));
                        for column in 0..2 {
                            let pairs = _mm256_add_epi16(
                                _mm256_maddubs_epi16(one, theirs[0][column]),
                                _mm256_maddubs_epi16(other, theirs[1][column]),
                            );
                            let fours = _mm256_madd_epi16(pairs, ones);
                            sums[column] = _mm256_add_epi32(sums[column], fours);
                        }
                    }
                }
                for (row, sums) in tile[first..].iter_mut().zip(sums) {
                    let out = row.as_mut_ptr().cast::<__m256i>();
                    // SAFETY: a row of a tile is four times 32 bytes.
                    unsafe {
                        _mm256_storeu_si256(out.add(half), sums[0]);
                        _mm256_storeu_si256(out.add(half + 1), sums[1]);
                    }
                }
            }
        }
    }

    /// Two of the four quarters of a line, from one on.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn two(line: &Line, first: usize) -> [__m256i; 2] {
        let quarter = |at: usize| line.0[8 * at..][..8].as_ptr().cast::<__m256i>();
        // SAFETY: a quarter of a line is 32 bytes, and aligned so.
        unsafe { [_mm256_load_si256(quarter(first)), _mm256_load_si256(quarter(first + 1))] }
    }

    /// Four values as the 32 bits that they are in memory.
    #[inline(always)]
    fn bits(four: [i8; 4]) -> i32 {
        bytemuck::cast(four)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::random::Stream;

    fn panels(rows: usize, columns: usize, value: impl Fn(usize, usize) -> i8 + Sync) -> Panels {
        let fill = |row: usize, out: &mut [i8]| {
            out.iter_mut().enumerate().for_each(|(column, it)| *it = value(row, column));
        };
        Panels::fill(rows, columns, fill).0
    }

    /// Of the whole range, its ends too.
    fn of(seed: u64, least: i8, most: i8) -> impl Fn(usize, usize) -> i8 + Sync {
        let stream = Stream::new(seed, "integers");
        let count = f32::from(most) - f32::from(least) + 1.0;
        move |row, column| match (row + column) % 5 {
            0 => most,
            1 => least,
            _ => (f32::from(least) + (stream.uniform((row * 1000 + column) as u64) * count).floor()) as i8,
        }
    }

    fn all(left: &Panels, right: &Panels) -> Vec<i32> {
        let mut out = vec![0; left.rows * right.rows];
        products(left, right, &mut out, |row, sums, out| {
            out.copy_from_slice(sums);
            out.iter_mut().for_each(|out| *out += 1000 * row as i32);
        });
        out
    }

    #[test]
    fn a_worked_case() {
        let left = panels(2, 3, |row, column| [[1, 2, 3], [4, 5, 6]][row][column]);
        let right = panels(3, 3, |row, column| [[1, 0, 0], [0, 1, -1], [-2, 7, 1]][row][column]);
        assert_eq!(all(&left, &right), [1, -1, 15, 1004, 999, 1033]);
        assert_eq!(all(&panels(0, 3, |_, _| 1), &right), [0; 0]);
        assert_eq!(all(&panels(1, 0, |_, _| 1), &panels(2, 0, |_, _| 1)), [0, 0]);
    }

    /// Extents on both sides of panels, blocks and depths.
    #[test]
    fn sums_are_those_of_wide_integers() {
        for (rows, others, columns) in [(1, 1, 1), (31, 33, 5), (70, 600, 300), (32, 64, 513), (33, 3, 1025)]
        {
            let (a, b) = (of(1, 0, 127), of(2, -63, 63));
            let sums = all(&panels(rows, columns, &a), &panels(others, columns, &b));
            for (at, sum) in sums.into_iter().enumerate() {
                let (row, other) = (at / others, at % others);
                let each = (0..columns).map(|column| i32::from(a(row, column)) * i32::from(b(other, column)));
                assert_eq!(
                    sum,
                    1000 * row as i32 + each.sum::<i32>(),
                    "{row}, {other} of {rows}, {others}, {columns}"
                );
            }
        }
    }

    /// Whatever this machine has, at the ends of the range too.
    #[test]
    fn all_kernels_agree() {
        let (left, right) = (panels(32, 200, of(3, 0, 127)), panels(32, 200, of(4, -63, 63)));
        let tiles = kernels().into_iter().map(|kernel| {
            let mut tile = [[1; LANES]; LANES];
            kernel(&left.lines, &right.lines, &mut tile);
            tile
        });
        let tiles: Vec<Tile> = tiles.collect();
        assert!(tiles.windows(2).all(|pair| pair[0] == pair[1]));
    }
}
