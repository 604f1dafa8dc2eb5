//! Experts as weights: their matrices, the order of neurons in which one is most like another.

use crate::diagnostic::Diagnostic;
use crate::graph::{Expert, SiteId};
use crate::runtime::kernel::product::{Into, Matrix, Threads, product};
use crate::tensor::assignment::assignment;
use crate::weights::Version;

/// The matrices of an expert, row after row: `up` and `gate` `[neurons, hidden]`, `down` `[hidden, neurons]`.
pub struct Matrices {
    /// `up`, and `gate` where the expert has one.
    ins: Vec<Vec<f32>>,
    down: Vec<f32>,
    pub neurons: usize,
    pub hidden: usize,
}

impl Matrices {
    /// # Errors
    /// Where weights cannot be read, or are not finite.
    pub fn read(version: &Version, expert: &Expert) -> Result<Self, Diagnostic> {
        let (out, ins) = version.graph.site_dims(expert.up);
        let (neurons, hidden) = (version.graph.dim_extent(&out), version.graph.dim_extent(&ins));
        let matrix = |site: SiteId| version.site_matrix(site);
        let ins = expert.gate.into_iter().chain([expert.up]).map(matrix).collect::<Result<_, _>>()?;
        Ok(Self { ins, down: matrix(expert.down)?, neurons, hidden })
    }

    /// For each neuron of `self` the one of `other` in its place, so that the sum of squared differences of all weights is least.
    ///
    /// A neuron is its rows of `up` and `gate` and its column of `down`: any order of these leaves an expert's function as it is,
    /// any other change of places does not.
    pub fn order_of(&self, other: &Self) -> Vec<usize> {
        let n = self.neurons;
        // Squares are the same in whatever order: the least distance is the largest product.
        let mut costs = vec![0.0f32; n * n];
        let rows = |values: &'_ [f32]| -> usize { values.len() / n.max(1) };
        for (ours, theirs) in self.ins.iter().zip(&other.ins) {
            let width = rows(ours);
            let (left, right) = (Matrix::rows(ours, n, width, width), Matrix::rows(theirs, n, width, width));
            product((&mut costs, n), Into::Add, -1.0, left, right.transposed(), Threads::All);
        }
        let left = Matrix::rows(&self.down, self.hidden, n, n).transposed();
        let right = Matrix::rows(&other.down, self.hidden, n, n);
        product((&mut costs, n), Into::Add, -1.0, left, right, Threads::All);
        assignment(&costs, n)
    }

    /// The neurons in another order: neuron `order[i]` comes to place `i`.
    pub fn reorder(&mut self, order: &[usize]) {
        for matrix in &mut self.ins {
            let width = matrix.len() / order.len().max(1);
            *matrix =
                order.iter().flat_map(|&from| &matrix[from * width..(from + 1) * width]).copied().collect();
        }
        let rows = self.down.chunks_exact(order.len().max(1));
        self.down = rows.flat_map(|row| order.iter().map(|&from| row[from])).collect();
    }

    /// All matrices in the order of `Expert::sites`: gate, up, down.
    pub fn all(&self) -> impl Iterator<Item = &Vec<f32>> {
        self.ins.iter().chain([&self.down])
    }

    /// The Euclidean distance between all weights.
    pub fn distance(&self, other: &Self) -> f64 {
        let squares = |(a, b): (&Vec<f32>, &Vec<f32>)| {
            a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>()
        };
        self.all().zip(other.all()).map(squares).sum::<f64>().sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expert(seed: u64, neurons: usize, hidden: usize) -> Matrices {
        let values = |name: &str| -> Vec<f32> {
            let stream = crate::tensor::random::Stream::new(seed, name);
            (0..neurons * hidden).map(|at| stream.uniform(at as u64) - 0.5).collect()
        };
        Matrices { ins: vec![values("gate"), values("up")], down: values("down"), neurons, hidden }
    }

    /// A copy with its neurons in another order is put back exactly.
    #[test]
    fn a_shuffled_copy_is_put_back() {
        let (whole, mut copy) = (expert(1, 24, 7), expert(1, 24, 7));
        let order: Vec<usize> = (0..24).map(|at| at * 5 % 24).collect();
        copy.reorder(&order);
        assert!(whole.distance(&copy) > 0.1);
        copy.reorder(&whole.order_of(&copy));
        assert_eq!(whole.distance(&copy), 0.0);
    }

    /// Aligned, two experts are no farther apart than as they were.
    #[test]
    fn alignment_brings_experts_nearer() {
        let (one, mut other) = (expert(1, 24, 7), expert(2, 24, 7));
        let before = one.distance(&other);
        let mut seen = one.order_of(&other);
        other.reorder(&seen);
        assert!(one.distance(&other) < before);
        seen.sort_unstable();
        assert_eq!(seen, (0..24).collect::<Vec<_>>());
    }
}
