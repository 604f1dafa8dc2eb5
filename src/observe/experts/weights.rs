//! Experts as weights: what each neuron has, the order of neurons in which one expert is most like another.

use rayon::prelude::*;

use super::gains::{Gains, Rounded, Side};
use crate::diagnostic::Diagnostic;
use crate::graph::Expert;
use crate::tensor::assignment::assignment;
use crate::weights::Version;

/// The weights of an expert, neuron after neuron: of each its rows of `gate` (where there is one) and `up`, then its column of
/// `down`.
///
/// Any order of neurons leaves an expert's function as it is, any other change of places does not.
#[derive(Debug, Clone)]
pub struct Neurons {
    /// `[count, matrices * hidden]`
    weights: Vec<f32>,
    count: usize,
    hidden: usize,
    /// How many matrices there are: two, or three with a gate.
    matrices: usize,
}

impl Neurons {
    /// # Errors
    /// Where weights cannot be read, or are not finite.
    pub fn read(version: &Version, expert: &Expert) -> Result<Self, Diagnostic> {
        let mut neurons = Self::zeros(version, expert);
        for (at, site) in expert.sites().enumerate() {
            neurons.put(at, &version.site_matrix(site)?);
        }
        Ok(neurons)
    }

    /// Zeros, as many as an expert has weights.
    pub fn zeros(version: &Version, expert: &Expert) -> Self {
        let (out, ins) = version.graph.site_dims(expert.up);
        let (count, hidden) = (version.graph.dim_extent(&out), version.graph.dim_extent(&ins));
        let matrices = expert.sites().count();
        Self { weights: vec![0.0; count * matrices * hidden], count, hidden, matrices }
    }

    fn width(&self) -> usize {
        self.matrices * self.hidden
    }

    /// Takes a matrix in, row after row: `down`, the last one, is `[hidden, count]`, others are `[count, hidden]`.
    fn put(&mut self, at: usize, matrix: &[f32]) {
        let (width, hidden, count) = (self.width(), self.hidden, self.count);
        let is_down = at + 1 == self.matrices;
        self.weights.par_chunks_mut((BLOCK * width).max(1)).enumerate().for_each(|(block, neurons)| {
            let first = block * BLOCK;
            let neurons = neurons.chunks_exact_mut(width).map(|neuron| &mut neuron[at * hidden..][..hidden]);
            if is_down {
                let mut columns: Vec<&mut [f32]> = neurons.collect();
                for (row, weights) in matrix.chunks_exact(count).enumerate() {
                    let weights = &weights[first..first + columns.len()];
                    columns.iter_mut().zip(weights).for_each(|(column, weight)| column[row] = *weight);
                }
            } else {
                let rows = matrix[first * hidden..].chunks_exact(hidden);
                neurons.zip(rows).for_each(|(neuron, row)| neuron.copy_from_slice(row));
            }
        });
    }

    /// The matrices in the order of `Expert::sites`, row after row.
    pub fn matrices(&self) -> impl Iterator<Item = Vec<f32>> {
        (0..self.matrices).map(|at| self.matrix(at))
    }

    fn matrix(&self, at: usize) -> Vec<f32> {
        let (width, hidden, count) = (self.width(), self.hidden, self.count);
        let mut matrix = vec![0.0; count * hidden];
        let part = |neuron: usize| &self.weights[neuron * width + at * hidden..][..hidden];
        if at + 1 < self.matrices {
            let rows = matrix.par_chunks_exact_mut(hidden.max(1)).enumerate();
            rows.for_each(|(neuron, row)| row.copy_from_slice(part(neuron)));
        } else {
            matrix.par_chunks_mut((BLOCK * count).max(1)).enumerate().for_each(|(block, rows)| {
                for neuron in 0..count {
                    let weights = &part(neuron)[block * BLOCK..];
                    rows.chunks_exact_mut(count).zip(weights).for_each(|(row, weight)| row[neuron] = *weight);
                }
            });
        }
        matrix
    }

    /// A share of this expert and one of another, whose neuron `order[i]` comes to place `i`.
    pub fn mix(&mut self, share: f32, (others_share, other): (f32, &Self), order: Option<&[usize]>) {
        let width = self.width();
        self.weights.par_chunks_exact_mut(width.max(1)).enumerate().for_each(|(place, weights)| {
            let others = other.neuron(order.map_or(place, |order| order[place]));
            for (weight, other) in weights.iter_mut().zip(others) {
                *weight = share * *weight + others_share * other;
            }
        });
    }

    fn neuron(&self, number: usize) -> &[f32] {
        &self.weights[number * self.width()..][..self.width()]
    }

    /// As integers, for [`Neurons::order_of`].
    pub fn rounded(&self) -> Rounded {
        self.on(Side::Left)
    }

    fn on(&self, side: Side) -> Rounded {
        Rounded::new(&self.weights, self.count, self.width(), side)
    }

    /// For each neuron of `self` the one of `other` in its place, so that the sum of squared differences of all weights is least.
    pub fn order_of(&self, rounded: &Rounded, other: &Self) -> Vec<usize> {
        // Squares are the same in whatever order: the least distance is the largest product.
        let theirs = other.on(Side::Right);
        assignment(&Gains::new((&self.weights, rounded), (&other.weights, &theirs), self.width()))
    }

    /// The Euclidean distance between all weights, neurons of both in an order.
    pub fn distance(&self, order: Option<&[usize]>, other: &Self, others: Option<&[usize]>) -> f64 {
        let squares = |place: usize| {
            let at = |order: Option<&[usize]>| order.map_or(place, |order| order[place]);
            let weights = self.neuron(at(order)).iter().zip(other.neuron(at(others)));
            weights.map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>()
        };
        (0..self.count).map(squares).sum::<f64>().sqrt()
    }
}

/// Neurons, or rows of `down`, that are turned together.
const BLOCK: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn expert(seed: u64, count: usize, hidden: usize) -> Neurons {
        let stream = crate::tensor::random::Stream::new(seed, "expert");
        let weights = (0..3 * count * hidden).map(|at| stream.uniform(at as u64) - 0.5).collect();
        Neurons { weights, count, hidden, matrices: 3 }
    }

    fn ordered(of: &Neurons, order: &[usize]) -> Neurons {
        let mut sum = Neurons { weights: vec![0.0; of.weights.len()], ..*of };
        sum.mix(0.0, (1.0, of), Some(order));
        sum
    }

    /// A copy with its neurons in another order is put back exactly.
    #[test]
    fn a_shuffled_copy_is_put_back() {
        let whole = expert(1, 24, 7);
        let copy = ordered(&whole, &(0..24).map(|at| at * 5 % 24).collect::<Vec<_>>());
        assert!(whole.distance(None, &copy, None) > 0.1);
        let order = whole.order_of(&whole.rounded(), &copy);
        assert_eq!(whole.distance(None, &copy, Some(&order)), 0.0);
        assert_eq!(ordered(&copy, &order).weights, whole.weights);
    }

    /// Aligned, two experts are no farther apart than as they were.
    #[test]
    fn alignment_brings_experts_nearer() {
        let (one, other) = (expert(1, 24, 7), expert(2, 24, 7));
        let mut order = one.order_of(&one.rounded(), &other);
        assert!(one.distance(None, &other, Some(&order)) < one.distance(None, &other, None));
        order.sort_unstable();
        assert_eq!(order, (0..24).collect::<Vec<_>>());
    }

    /// By hand: two neurons of three inputs, whose columns of `down` are what is written last of each.
    #[test]
    fn matrices_are_taken_in_and_given_back() {
        let (up, down) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [7.0, 8.0, 9.0, 10.0, 11.0, 12.0]);
        let mut neurons = Neurons { weights: vec![0.0; 12], count: 2, hidden: 3, matrices: 2 };
        neurons.put(0, &up);
        neurons.put(1, &down);
        assert_eq!(neurons.weights, [1.0, 2.0, 3.0, 7.0, 9.0, 11.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0]);
        assert_eq!(neurons.matrices().collect::<Vec<_>>(), [up, down]);
        let large = expert(3, 130, 70);
        let mut back = Neurons { weights: vec![0.0; large.weights.len()], ..large };
        large.matrices().enumerate().for_each(|(at, matrix)| back.put(at, &matrix));
        assert_eq!(back.weights, large.weights);
    }
}
