//! Mask rules: which weights become zero, decided again wherever a weight is read.

use std::fmt;
use std::sync::Arc;

use super::scores::{Tiles, of_block, wider};
use crate::diagnostic::Diagnostic;
use crate::pass::{Criterion, ElementScores, Findings, Statistics};
use crate::tensor::Cut;
use crate::tensor::cut::{at_least, select};
use crate::tensor::pattern::{Pattern, keep_pattern, zero_pattern_magnitude};
use crate::weights::{MaskRule, MatrixBlock, Reach};

/// A criterion of single weights, whose scores the pass has asked for before, and what it observed.
#[derive(Clone)]
pub struct Scores(pub Arc<dyn Criterion>, Option<Arc<dyn ElementScores>>);

impl Scores {
    pub fn new(criterion: Arc<dyn Criterion>) -> Self {
        Self(criterion, None)
    }

    pub fn get(&self) -> &dyn ElementScores {
        match &self.1 {
            Some(observed) => &**observed,
            None => self.0.elements().expect("a pass asks for element scores before it lowers"),
        }
    }

    /// The scores after what was found.
    pub fn after(&self, found: Findings<'_>) -> Self {
        found.statistics().map_or_else(|| self.clone(), |seen| self.observed(seen))
    }

    pub fn observed(&self, seen: &Statistics) -> Self {
        Self(Arc::clone(&self.0), self.0.observed(seen))
    }
}

impl fmt::Debug for Scores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.describe())
    }
}

/// Of every m consecutive inputs the n of highest score stay.
#[derive(Debug)]
pub struct PatternRule {
    pub scores: Scores,
    pub pattern: Pattern,
}

impl MaskRule for PatternRule {
    fn reach(&self) -> Reach {
        wider(Reach::Inputs(self.pattern.of()), self.scores.get().reach())
    }

    fn apply(&self, block: &mut MatrixBlock<'_>) -> Result<(), Diagnostic> {
        if self.scores.get().is_magnitude() {
            block.refuse_nonfinite()?;
            zero_pattern_magnitude(block.dtype, block.bytes, &block.matrix, self.pattern).expect(DIVIDES);
            return Ok(());
        }
        let scores = of_block(self.scores.get(), block)?;
        let mut keep = vec![false; scores.len()];
        keep_pattern(&scores, self.pattern, &mut keep).expect(DIVIDES);
        block.zero_dropped(&keep);
        Ok(())
    }
}

const DIVIDES: &str = "the rewrite refuses matrices that the pattern does not divide";

/// What lies below a cut through the scores of the whole matrix goes.
#[derive(Debug)]
pub struct CutRule {
    pub scores: Scores,
    /// Edge of the blocks that compete.
    pub size: usize,
    pub cut: Cut,
}

impl MaskRule for CutRule {
    fn reach(&self) -> Reach {
        let tiles = Tiles { size: self.size, inputs: 0 };
        wider(tiles.reach(), self.scores.get().reach())
    }

    fn apply(&self, block: &mut MatrixBlock<'_>) -> Result<(), Diagnostic> {
        let (width, whole) = (block.matrix.inputs, block.whole.1);
        let tiles = Tiles { size: self.size, inputs: width };
        let scores = tiles.pooled(of_block(self.scores.get(), block)?);
        let mut keep = vec![false; scores.len()];
        let across = tiles.across().max(1);
        for (row, (scores, keep)) in scores.chunks(across).zip(keep.chunks_mut(across)).enumerate() {
            let first = (block.first.0 / self.size + row) * (whole / self.size) + block.first.1 / self.size;
            self.cut.keep(first, scores, keep);
        }
        block.zero_dropped(&tiles.spread(keep));
        Ok(())
    }
}

/// The same share of each row goes.
#[derive(Debug)]
pub struct RowRule {
    pub scores: Scores,
    pub size: usize,
    pub share: f64,
}

impl MaskRule for RowRule {
    fn reach(&self) -> Reach {
        wider(wider(Reach::Row, Reach::Rows(self.size)), self.scores.get().reach())
    }

    fn apply(&self, block: &mut MatrixBlock<'_>) -> Result<(), Diagnostic> {
        let tiles = Tiles { size: self.size, inputs: block.matrix.inputs };
        let scores = tiles.pooled(of_block(self.scores.get(), block)?);
        let mut keep = vec![false; scores.len()];
        let across = tiles.across().max(1);
        let (count, mut scratch) = (at_least(tiles.across(), self.share), Vec::new());
        for (scores, keep) in scores.chunks(across).zip(keep.chunks_mut(across)) {
            let cut = select(scores, count, &mut scratch).expect("no more go than there are");
            cut.keep(0, scores, keep);
        }
        block.zero_dropped(&tiles.spread(keep));
        Ok(())
    }
}
