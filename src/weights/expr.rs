//! Expressions over stored tensors.

use std::sync::Arc;

use super::factor::Sides;
use super::mask::MaskRule;
use crate::checkpoint::{Checkpoint, Stored};
use crate::graph::Part;
use crate::source::Span;
use crate::tensor::{DType, MatrixView};

/// How the bytes of a tensor come about. Shared between versions: a later step wraps what an earlier one made.
#[derive(Debug)]
pub enum Expr {
    Stored {
        checkpoint: Arc<Checkpoint>,
        stored: Stored,
    },
    /// Some elements of each stored dim, in order; `None` keeps a dim whole.
    Gather {
        input: Arc<Expr>,
        keep: Vec<Option<Arc<[usize]>>>,
    },
    /// Elements of one matrix in the tensor set to zero.
    Masked {
        input: Arc<Expr>,
        /// The tree path of the site that the matrix belongs to.
        place: String,
        matrix: MatrixView,
        rule: Arc<dyn MaskRule>,
        /// The step that says so: where to point if it cannot be done.
        step: Option<Span>,
    },
    /// Another float type, rounded to nearest even.
    Cast {
        input: Arc<Expr>,
        to: DType,
        step: Option<Span>,
    },
    /// One side of a truncated SVD.
    Factor {
        factoring: Arc<Factoring>,
        part: Part,
    },
}

/// A matrix to be written as `left [out, rank]` times `right [rank, in]`.
#[derive(Debug)]
pub struct Factoring {
    pub input: Arc<Expr>,
    pub matrix: MatrixView,
    pub rank: usize,
    /// Both sides in f32 once one was asked for; the second to ask takes its side and frees them.
    pub(super) sides: Sides,
}

impl Factoring {
    pub fn new(input: Arc<Expr>, matrix: MatrixView, rank: usize) -> Self {
        Self { input, matrix, rank, sides: Sides::default() }
    }
}

impl Expr {
    pub fn dtype(&self) -> DType {
        match self {
            Expr::Stored { stored, .. } => stored.dtype,
            Expr::Cast { to, .. } => *to,
            Expr::Gather { input, .. } | Expr::Masked { input, .. } => input.dtype(),
            Expr::Factor { factoring, .. } => factoring.input.dtype(),
        }
    }

    pub fn shape(&self) -> Vec<usize> {
        match self {
            Expr::Stored { stored, .. } => stored.shape.clone(),
            Expr::Gather { input, keep } => {
                let kept = |(extent, keep): (usize, &Option<Arc<[usize]>>)| {
                    keep.as_ref().map_or(extent, |keep| keep.len())
                };
                input.shape().into_iter().zip(keep).map(kept).collect()
            }
            Expr::Cast { input, .. } | Expr::Masked { input, .. } => input.shape(),
            Expr::Factor { factoring, part: Part::Left } => vec![factoring.matrix.out, factoring.rank],
            Expr::Factor { factoring, part: Part::Right } => vec![factoring.rank, factoring.matrix.inputs],
        }
    }

    /// Where the bytes come from.
    pub(super) fn source(&self) -> (&Checkpoint, &Stored) {
        match self {
            Expr::Stored { checkpoint, stored } => (checkpoint, stored),
            Expr::Gather { input, .. } | Expr::Masked { input, .. } | Expr::Cast { input, .. } => {
                input.source()
            }
            Expr::Factor { factoring, .. } => factoring.input.source(),
        }
    }

    /// Elements.
    pub fn len(&self) -> usize {
        self.shape().iter().product()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
