//! Scores of the things that compete: single weights, or square blocks of them.

use crate::diagnostic::Diagnostic;
use crate::graph::SiteId;
use crate::pass::ElementScores;
use crate::weights::{MatrixBlock, Reach, Version};

/// Scores of a part of a matrix, row after row, at whatever place it was cut out.
pub fn of_block(scores: &dyn ElementScores, block: &MatrixBlock<'_>) -> Result<Vec<f32>, Diagnostic> {
    let weights = block.values()?;
    let mut found = vec![0.0; weights.len()];
    let (width, whole) = (block.matrix.inputs, block.whole.1);
    let first = |out: usize| (block.first.0 + out) * whole + block.first.1;
    if width == whole {
        scores.score(block.place, first(0), &weights, &mut found);
    } else {
        for (out, (weights, found)) in weights.chunks(width).zip(found.chunks_mut(width)).enumerate() {
            scores.score(block.place, first(out), weights, found);
        }
    }
    Ok(found)
}

/// A matrix cut into blocks of `size` x `size`, numbered row after row; of size 1, its weights.
#[derive(Debug, Clone, Copy)]
pub struct Tiles {
    pub size: usize,
    /// Inputs of the matrix.
    pub inputs: usize,
}

impl Tiles {
    /// Blocks side by side.
    pub fn across(&self) -> usize {
        self.inputs / self.size
    }

    /// How many blocks some outputs are.
    pub fn count(&self, outs: usize) -> usize {
        outs / self.size * self.across()
    }

    /// The scores of blocks from those of whole rows of weights: sums of their squares, the energy under `magnitude`.
    pub fn pooled(&self, scores: Vec<f32>) -> Vec<f32> {
        if self.size == 1 {
            return scores;
        }
        let mut sums = vec![0.0; self.count(scores.len() / self.inputs.max(1))];
        for (out, row) in scores.chunks(self.inputs).enumerate() {
            let sums = &mut sums[out / self.size * self.across()..];
            for (sum, part) in sums.iter_mut().zip(row.chunks(self.size)) {
                *sum += part.iter().map(|score| f64::from(*score).powi(2)).sum::<f64>();
            }
        }
        sums.into_iter().map(|sum| sum as f32).collect()
    }

    /// Marks of blocks as marks of weights, whole rows.
    pub fn spread(&self, keep: Vec<bool>) -> Vec<bool> {
        if self.size == 1 {
            return keep;
        }
        let rows = keep.chunks(self.across().max(1)).flat_map(|row| std::iter::repeat_n(row, self.size));
        rows.flat_map(|row| row.iter().flat_map(|keep| std::iter::repeat_n(*keep, self.size))).collect()
    }

    /// What has to be seen together.
    pub fn reach(&self) -> Reach {
        if self.size == 1 { Reach::Inputs(1) } else { Reach::Rows(self.size) }
    }

    /// Fills `out` with the scores of blocks of a site from number `first` on.
    pub fn read(
        &self,
        version: &Version,
        site: SiteId,
        scores: &dyn ElementScores,
        first: usize,
        out: &mut [f32],
    ) -> Result<(), Diagnostic> {
        let place = version.graph.tree.path(version.graph.sites[site].node);
        // Rows of blocks that hold what is asked for; single weights need no whole rows.
        let (start, end) = match self.size {
            1 => (first, first + out.len()),
            _ => (first / self.across(), (first + out.len()).div_ceil(self.across())),
        };
        let weights = if self.size == 1 { 1 } else { self.size * self.inputs };
        let mut values = vec![0.0; (end - start) * weights];
        version.matrix_range(site, start * weights, &mut values)?;
        let mut found = vec![0.0; values.len()];
        scores.score(&place, start * weights, &values, &mut found);
        drop(values);
        let pooled = self.pooled(found);
        let skipped = if self.size == 1 { 0 } else { first - start * self.across() };
        out.copy_from_slice(&pooled[skipped..skipped + out.len()]);
        Ok(())
    }
}

/// The smallest reach that covers two.
pub fn wider(a: Reach, b: Reach) -> Reach {
    match (a, b) {
        (Reach::Matrix, _) | (_, Reach::Matrix) => Reach::Matrix,
        (Reach::Rows(a), Reach::Rows(b)) => Reach::Rows(common_multiple(a, b)),
        (Reach::Rows(rows), _) | (_, Reach::Rows(rows)) => Reach::Rows(rows),
        (Reach::Row, _) | (_, Reach::Row) => Reach::Row,
        (Reach::Inputs(a), Reach::Inputs(b)) => Reach::Inputs(common_multiple(a, b)),
    }
}

fn common_multiple(a: usize, b: usize) -> usize {
    (a.max(b)..).step_by(a.max(b)).find(|it| it.is_multiple_of(a.min(b))).expect("their product is one")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_pool_squares_and_spread_marks() {
        let tiles = Tiles { size: 2, inputs: 4 };
        let scores = vec![1.0, 2.0, 0.0, 1.0, 3.0, 0.0, 0.0, 2.0];
        assert_eq!(tiles.pooled(scores), [14.0, 5.0]);
        let marks = tiles.spread(vec![true, false]);
        assert_eq!(marks, [true, true, false, false, true, true, false, false]);
        assert_eq!(Tiles { size: 1, inputs: 4 }.pooled(vec![1.0, -2.0]), [1.0, -2.0]);
    }

    #[test]
    fn a_reach_covers_both() {
        assert_eq!(wider(Reach::Inputs(4), Reach::Inputs(6)), Reach::Inputs(12));
        assert_eq!(wider(Reach::Row, Reach::Inputs(6)), Reach::Row);
        assert_eq!(wider(Reach::Rows(4), Reach::Row), Reach::Rows(4));
        assert_eq!(wider(Reach::Rows(4), Reach::Matrix), Reach::Matrix);
    }
}
