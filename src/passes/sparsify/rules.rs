//! Rules that decide within a matrix: patterns, shares of rows, blocks, cuts that were found before.

use std::sync::Arc;

use crate::diagnostic::Diagnostic;
use crate::pass::{Criterion, ElementScores};
use crate::tensor::block::{Blocks, keep_highest};
use crate::tensor::cut::{Cut, select};
use crate::tensor::pattern::{Pattern, keep_pattern, zero_pattern_magnitude};
use crate::weights::{MaskRule, MatrixBlock, Reach};

/// Scores of a criterion whose pass asked for element scores before.
pub fn elements(criterion: &Arc<dyn Criterion>) -> &dyn ElementScores {
    criterion.elements().expect("a pass asks for element scores before it lowers to this")
}

/// Why kernels can not fail: shapes were checked when the step was lowered.
const CHECKED: &str = "the step was lowered for this shape";

/// Scores of a block's weights, row after row.
fn scores(criterion: &Arc<dyn Criterion>, block: &MatrixBlock<'_>) -> Result<Vec<f32>, Diagnostic> {
    let weights = block.values()?;
    let mut scores = vec![0.0; weights.len()];
    let first = block.first.0 * block.whole.1 + block.first.1;
    elements(criterion).score(block.place, first, &weights, &mut scores);
    Ok(scores)
}

/// The larger reach of a decision and of the scores that it needs.
fn reach(criterion: &Arc<dyn Criterion>, decision: Reach) -> Reach {
    match elements(criterion).reach() {
        Reach::Inputs(1) => decision,
        Reach::Matrix => Reach::Matrix,
        // A row holds every group of its inputs.
        Reach::Inputs(_) | Reach::Row if !matches!(decision, Reach::Matrix | Reach::Rows(_)) => Reach::Row,
        _ => Reach::Matrix,
    }
}

/// `n` of each `m` consecutive inputs stay.
#[derive(Debug)]
pub struct InGroups {
    pub pattern: Pattern,
    pub criterion: Arc<dyn Criterion>,
}

impl MaskRule for InGroups {
    fn reach(&self) -> Reach {
        reach(&self.criterion, Reach::Inputs(self.pattern.of()))
    }

    fn apply(&self, block: &mut MatrixBlock<'_>) -> Result<(), Diagnostic> {
        if elements(&self.criterion).is_magnitude() {
            block.refuse_nonfinite()?;
            let matrix = block.matrix;
            zero_pattern_magnitude(block.dtype, block.bytes, &matrix, self.pattern).expect(CHECKED);
            return Ok(());
        }
        let scores = scores(&self.criterion, block)?;
        let mut keep = vec![true; scores.len()];
        keep_pattern(&scores, self.pattern, &mut keep).expect(CHECKED);
        block.zero_dropped(&keep);
        Ok(())
    }
}

/// So many inputs of each output go.
#[derive(Debug)]
pub struct InRows {
    pub remove: usize,
    pub criterion: Arc<dyn Criterion>,
}

impl MaskRule for InRows {
    fn reach(&self) -> Reach {
        reach(&self.criterion, Reach::Row)
    }

    fn apply(&self, block: &mut MatrixBlock<'_>) -> Result<(), Diagnostic> {
        let scores = scores(&self.criterion, block)?;
        let mut keep = vec![true; scores.len()];
        let mut scratch = Vec::new();
        let inputs = block.matrix.inputs;
        for (scores, keep) in scores.chunks(inputs).zip(keep.chunks_mut(inputs)) {
            select(scores, self.remove, &mut scratch).expect(CHECKED).keep(0, scores, keep);
        }
        block.zero_dropped(&keep);
        Ok(())
    }
}

/// What a cut removes goes.
#[derive(Debug)]
pub struct Below {
    pub cut: Cut,
    pub criterion: Arc<dyn Criterion>,
}

impl MaskRule for Below {
    fn reach(&self) -> Reach {
        reach(&self.criterion, Reach::Inputs(1))
    }

    fn apply(&self, block: &mut MatrixBlock<'_>) -> Result<(), Diagnostic> {
        let scores = scores(&self.criterion, block)?;
        let mut keep = vec![true; scores.len()];
        let inputs = block.matrix.inputs;
        for (row, (scores, keep)) in scores.chunks(inputs).zip(keep.chunks_mut(inputs)).enumerate() {
            let first = (block.first.0 + row) * block.whole.1 + block.first.1;
            self.cut.keep(first, scores, keep);
        }
        block.zero_dropped(&keep);
        Ok(())
    }
}

/// So many square blocks stay: those with the largest sum of squares.
#[derive(Debug)]
pub struct InBlocks {
    pub size: usize,
    pub keep: usize,
}

impl MaskRule for InBlocks {
    fn reach(&self) -> Reach {
        Reach::Matrix
    }

    fn apply(&self, block: &mut MatrixBlock<'_>) -> Result<(), Diagnostic> {
        block.refuse_nonfinite()?;
        let blocks = Blocks::new(block.matrix, self.size).expect(CHECKED);
        let scores = blocks.scores(block.dtype, block.bytes).expect(CHECKED);
        let keep = keep_highest(&scores, self.keep).expect(CHECKED);
        blocks.zero_dropped(block.dtype, block.bytes, &keep).expect(CHECKED);
        Ok(())
    }
}
