//! How alike the neurons of two experts are: roughly for each with each, exactly for the few where it matters.
//!
//! A layer of Mixtral-8x7B has 14,336 neurons of 12,288 weights in each expert. All their products with those of another one
//! are five teraflops. So they are taken of integers of seven bits, and how far these are off is bounded: for all but some
//! of a neuron's products that is enough to be out of question.
//!
//! Integers are dithered: before a weight is rounded a number from -1/2 to 1/2 is added, which is drawn for its place in all
//! vectors of a side, and taken off the integer again. Then what rounding does to a weight is uniform from -1/2 to 1/2,
//! whatever the weight is, and independent of what it does to others of the vector (subtractive dither: Schuchman, IEEE
//! Transactions on Communication Technology 12, 1964). Such a number `e` has `E exp(s e) = sinh(s/2) / (s/2) <= exp(s²/24)`,
//! so that by Chernoff's bound its products with a vector `y` sum to more than [`SURE`] `|y|` with a probability of e⁻⁵⁰.
//! In an assignment of Mixtral-8x7B that happens to one product with a probability of 10⁻¹³, and would make it a little worse.

use half::bf16;

use crate::runtime::kernel::dot::dot;
use crate::runtime::kernel::integer::{Panels, products};
use crate::runtime::kernel::product::{Into, Matrix, Threads, product};
use crate::runtime::kernel::{LANES, wide};
use crate::tensor::assignment::Costs;
use crate::tensor::random::Stream;

/// √(50 / 6), and a little.
const SURE: f64 = 2.9;

/// Vectors as integers, each in units of its own.
#[derive(Debug)]
pub struct Rounded {
    panels: Panels,
    /// What 1 of a vector stands for.
    units: Vec<f32>,
    /// What is added to the products of a vector's integers with another one's: what dithers make of them, and the most that
    /// rounding of the other one does.
    added: Vec<f32>,
    /// The mean of one over a vector's length in units: the part of a product that rounding may be.
    coarse: f64,
}

/// Which side of products vectors are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Integers are made positive, as [`products`] has those of the left.
    Left,
    Right,
}

impl Rounded {
    /// Of vectors `[count, width]`.
    pub fn new(vectors: &[f32], count: usize, width: usize, side: Side) -> Self {
        let [left, right] = [Side::Left, Side::Right].map(|side| dither(width, side));
        let most = most(width);
        let (ours, offset, theirs): (_, i8, Vec<f32>) = match side {
            Side::Left => (&left, most as i8 + 1, right.clone()),
            // What is added to the others' integers comes off again with their dither.
            Side::Right => (&right, 0, left.iter().map(|dither| dither + most + 1.0).collect()),
        };
        // Both dithers' own product belongs to neither side, and is added on one.
        let both = if side == Side::Left { dot(&left, &right) } else { 0.0 };
        // |xy - x'y'| <= |x (y - y')| + |(x - x') y'|: of the right the rounded vector counts, longer by half a unit at each place.
        let longer = if side == Side::Left { 0.0 } else { (width as f64).sqrt() / 2.0 };
        let (panels, said) = Panels::fill(count, width, |row, out| {
            let vector = &vectors[row * width..][..width];
            let largest = vector.iter().fold(0.0f32, |largest, weight| largest.max(weight.abs()));
            let unit = largest / (most - 0.5);
            let parts = unit.recip();
            // Of no length, or so short that its products vanish.
            if parts.is_infinite() {
                return (0.0, 0.0, 0.0);
            }
            let mut sums = [[0.0; LANES]; 2];
            round((vector, parts), (ours, offset), &theirs, out, &mut sums);
            let [crossed, squares] = sums.map(|sums| sums.iter().sum::<f64>());
            let length = squares.sqrt() + longer;
            (unit, (both - crossed + SURE * length) as f32, length.recip())
        });
        let coarse = said.iter().map(|(_, _, coarse)| coarse).sum::<f64>() / count.max(1) as f64;
        let (units, added) = said.into_iter().map(|(unit, added, _)| (unit, added)).unzip();
        Self { panels, units, added, coarse }
    }
}

/// The largest integer: sums of products of this many stay in 32 bits.
fn most(width: usize) -> f32 {
    (2f32.powi(29) / width.max(1) as f32).sqrt().floor().min(63.0)
}

/// From -1/2 to 1/2, of each place in a vector.
fn dither(width: usize, side: Side) -> Vec<f32> {
    let stream = Stream::new(0, if side == Side::Left { "left dither" } else { "right dither" });
    (0..width as u64).map(|at| stream.uniform(at) - 0.5).collect()
}

wide! {
    /// Rounds a vector, given in parts of its unit, and puts the integers out with an offset. Adds up the products of the
    /// integers with the other side's dither, and the squares of what is rounded.
    fn round(
        vector: (&[f32], f32),
        dither: (&[f32], i8),
        crossed: &[f32],
        out: &mut [i8],
        sums: &mut [[f64; LANES]; 2],
    ) {
        let ((vector, parts), (dither, offset)) = (vector, dither);
        let each = out.chunks_mut(LANES).zip(vector.chunks(LANES)).zip(dither.chunks(LANES)).zip(crossed.chunks(LANES));
        for (((out, vector), dither), crossed) in each {
            for (lane, out) in out.iter_mut().enumerate() {
                let integer = (vector[lane] * parts + dither[lane]).round_ties_even();
                *out = integer as i8 + offset;
                sums[0][lane] += f64::from(integer * crossed[lane]);
                sums[1][lane] += f64::from((vector[lane] * parts).powi(2));
            }
        }
    }
}

/// Products of the vectors of one expert with those of another, as costs: the larger, the less.
pub struct Gains<'a> {
    left: &'a [f32],
    right: &'a [f32],
    count: usize,
    width: usize,
    known: Known,
}

/// `[count, count]`
enum Known {
    /// What each costs at least.
    Floors(Vec<bf16>),
    /// What each costs.
    Costs(Vec<f32>),
}

impl<'a> Gains<'a> {
    /// Of vectors `[count, width]`, each with its integers.
    pub fn new(
        (left, ours): (&'a [f32], &Rounded),
        (right, theirs): (&'a [f32], &Rounded),
        width: usize,
    ) -> Self {
        /// How far floors are off, in parts of what products of random vectors spread, from where on there would be too many
        /// costs to ask for: vectors whose largest weight is eight times as large as weights spread.
        const COARSE: f64 = 0.75;
        let count = ours.units.len();
        let off = SURE * (width as f64).sqrt() * (ours.coarse + theirs.coarse);
        let known = if off < COARSE {
            Known::Floors(floors(ours, theirs, width))
        } else {
            let mut costs = vec![0.0; count * count];
            let [ours, theirs] = [left, right].map(|vectors| Matrix::rows(vectors, count, width, width));
            product((&mut costs, count), Into::Replace, -1.0, ours, theirs.transposed(), Threads::All);
            costs.iter_mut().for_each(|cost| *cost = finite(*cost));
            Known::Costs(costs)
        };
        Self { left, right, count, width, known }
    }

    fn vector(&self, of: &'a [f32], number: usize) -> &'a [f32] {
        &of[number * self.width..][..self.width]
    }
}

fn floors(ours: &Rounded, theirs: &Rounded, width: usize) -> Vec<bf16> {
    // What floats lose of the largest product, several times over.
    let largest = (2.0 * most(width) + 1.0) * (most(width) + 1.0) * width as f32;
    let lost = largest * 2f32.powi(-20);
    let mut floors = vec![bf16::ZERO; ours.units.len() * theirs.units.len()];
    products(&ours.panels, &theirs.panels, &mut floors, |row, products, floors| {
        let (unit, added) = (-ours.units[row], ours.added[row] + lost);
        let others = theirs.units.iter().zip(&theirs.added);
        for ((floor, product), (others_unit, others_added)) in floors.iter_mut().zip(products).zip(others) {
            *floor = below(unit * others_unit * (*product as f32 + added + others_added));
        }
    });
    floors
}

/// Products of weights that are near to the largest float are none: assignments need costs that are.
fn finite(cost: f32) -> f32 {
    if cost.is_nan() { 0.0 } else { cost.clamp(f32::MIN, f32::MAX) }
}

/// The next number that is not larger.
fn below(value: f32) -> bf16 {
    // Cut off, a negative one would become larger.
    let cut = if value < 0.0 { 0xffff } else { 0 };
    bf16::from_bits(((value.to_bits() + cut) >> 16) as u16)
}

impl Costs for Gains<'_> {
    fn size(&self) -> usize {
        self.count
    }

    fn floors(&self, row: usize, floors: &mut [f32]) {
        let row = row * self.count..(row + 1) * self.count;
        match &self.known {
            Known::Floors(known) => {
                floors.iter_mut().zip(&known[row]).for_each(|(out, floor)| *out = finite(f32::from(*floor)));
            }
            Known::Costs(known) => floors.copy_from_slice(&known[row]),
        }
    }

    fn exact(&self, row: usize, column: usize) -> f32 {
        match &self.known {
            Known::Floors(_) => {
                let product = dot(self.vector(self.left, row), self.vector(self.right, column));
                finite(-product as f32)
            }
            Known::Costs(known) => known[row * self.count + column],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values(seed: u64, count: usize) -> Vec<f32> {
        let stream = Stream::new(seed, "vectors");
        (0..count as u64).map(|at| stream.normal(at) as f32).collect()
    }

    fn rounded(left: &[f32], right: &[f32], n: usize, width: usize) -> [Rounded; 2] {
        [(left, Side::Left), (right, Side::Right)].map(|(values, side)| Rounded::new(values, n, width, side))
    }

    /// Costs of all pairs, and floors, however coarse these are.
    fn all(left: &[f32], right: &[f32], n: usize, width: usize) -> (Vec<f32>, Vec<f32>) {
        let [ours, theirs] = rounded(left, right, n, width);
        let known = Known::Floors(floors(&ours, &theirs, width));
        let gains = Gains { left, right, count: n, width, known };
        let costs = (0..n * n).map(|at| gains.exact(at / n, at % n)).collect();
        let mut floors = vec![0.0; n * n];
        floors.chunks_mut(n).enumerate().for_each(|(row, floors)| gains.floors(row, floors));
        (costs, floors)
    }

    #[test]
    fn costs_of_a_worked_case() {
        let (costs, floors) = all(&[1.0, 2.0, 0.0, 0.0], &[3.0, -1.0, 0.5, 4.0], 2, 2);
        assert_eq!(costs, [-1.0, -8.5, 0.0, 0.0]);
        assert!(
            floors.iter().zip(&costs).all(|(floor, cost)| floor <= cost && cost - floor < 1.0),
            "{floors:?}"
        );
    }

    #[test]
    fn rounding_goes_down() {
        let rounded = [1.0, -1.0, 1.001, -1.001, 0.0, -3.4e-40].map(|value| below(value).to_f32());
        assert_eq!(rounded[..3], [1.0, -1.0, 1.0]);
        assert_eq!(rounded[3], -1.0078125);
        assert!(rounded[4] == 0.0 && rounded[5] < -3.4e-40);
    }

    proptest! {
        /// Also of vectors with one large weight, of very different lengths, alike, of one weight everywhere, of no length, and of next to none.
        #[test]
        fn no_cost_is_below_its_floor(n in 1usize..40, width in 1usize..200, seed in any::<u64>(), kind in 0u8..5) {
            let (mut left, mut right) = (values(seed, n * width), values(seed ^ 1, n * width));
            match kind {
                0 => right.clone_from(&left),
                1 => left.iter_mut().step_by(width).for_each(|value| *value *= 50.0),
                2 => right.chunks_mut(width).zip(0..).for_each(|(row, at)| {
                    row.iter_mut().for_each(|value| *value *= 10f32.powi(at % 9 - 4));
                }),
                3 => left.iter_mut().chain(&mut right).for_each(|value| *value = 0.3),
                _ => {
                    left[..width].fill(0.0);
                    right[..width].fill(1e-42);
                }
            }
            let (costs, floors) = all(&left, &right, n, width);
            for (cost, floor) in costs.iter().zip(&floors) {
                prop_assert!(*floor <= cost + f32::MIN_POSITIVE, "{} > {}", floor, cost);
            }
        }
    }

    /// Of normal weights, at the width of Mixtral-8x7B, how far floors are off is a good third of what costs spread; and what
    /// the bound takes them to be off is far more than they are.
    #[test]
    fn floors_are_near() {
        let (n, width) = (24, 12_288);
        let (costs, floors) = all(&values(1, n * width), &values(2, n * width), n, width);
        let spread = (costs.iter().map(|cost| cost * cost).sum::<f32>() / (n * n) as f32).sqrt();
        let off: Vec<f32> = costs.iter().zip(floors).map(|(cost, floor)| (cost - floor) / spread).collect();
        let mean = off.iter().sum::<f32>() / off.len() as f32;
        assert!((0.3..0.45).contains(&mean), "{mean}");
        assert!(off.iter().all(|off| (off - mean).abs() < mean / 2.0));
    }

    /// One weight that is much larger than the others makes integers of them that say little.
    #[test]
    fn vectors_with_large_weights_are_multiplied_as_they_are() {
        let (n, width) = (5, 400);
        let (mut left, right) = (values(1, n * width), values(2, n * width));
        let gains = |left: &[f32]| {
            let [ours, theirs] = rounded(left, &right, n, width);
            let gains = Gains::new((left, &ours), (&right, &theirs), width);
            let costs: Vec<f32> = (0..n * n).map(|at| gains.exact(at / n, at % n)).collect();
            (matches!(gains.known, Known::Costs(_)), costs)
        };
        assert!(!gains(&left).0);
        left.iter_mut().step_by(width).for_each(|value| *value = 40.0);
        let (are_exact, costs) = gains(&left);
        assert!(are_exact);
        let expected = all(&left, &right, n, width).0;
        // Sums of 400 floats, in another order.
        assert!(costs.iter().zip(&expected).all(|(cost, other)| (cost - other).abs() < 1e-3));
    }

    /// Of finite weights no cost is infinite, and an order is found.
    #[test]
    fn huge_weights_have_costs() {
        let (n, width) = (6, 64);
        for large in [1e19, 1e37] {
            let [left, right] = [1, 2].map(|seed| {
                let values = values(seed, n * width).into_iter().map(|value| value * large);
                values.collect::<Vec<f32>>()
            });
            for outlier in [1.0, 30.0] {
                let mut left = left.clone();
                left.iter_mut().step_by(width).for_each(|value| *value *= outlier);
                let left: Vec<f32> = left.into_iter().map(|value| value.clamp(f32::MIN, f32::MAX)).collect();
                let [ours, theirs] = rounded(&left, &right, n, width);
                let mut order = crate::tensor::assignment::assignment(&Gains::new(
                    (&left, &ours),
                    (&right, &theirs),
                    width,
                ));
                order.sort_unstable();
                assert_eq!(order, (0..n).collect::<Vec<_>>());
            }
        }
    }
}
