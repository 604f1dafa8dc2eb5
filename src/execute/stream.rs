//! Tensors go by in blocks: each is computed, counted and written, by all threads at once.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use crate::checkpoint::TensorFiles;
use crate::diagnostic::Diagnostic;
use crate::pass::Progress;
use crate::plan::BLOCK;
use crate::tensor::convert;
use crate::weights::Expr;

/// Writes tensors to their places, in the order of the layout's plan. The zeros of each come back.
///
/// # Errors
/// The first, in the order of the tensors, where one cannot be computed or written.
pub fn write(exprs: &[Arc<Expr>], to: &TensorFiles, progress: &dyn Progress) -> Result<Vec<u64>, Diagnostic> {
    let zeros: Vec<AtomicU64> = exprs.iter().map(|_| AtomicU64::new(0)).collect();
    let blocks: Vec<Block<'_>> = exprs.iter().enumerate().flat_map(|(at, expr)| blocks(at, expr)).collect();
    let done = |buffer: &mut Vec<u8>, block: &Block<'_>| {
        block.expr.read_rows(block.rows.clone(), buffer)?;
        // Other types are of buffers, whose zeros nobody asks for.
        let count = convert::count_zeros(block.expr.dtype(), buffer).unwrap_or(0);
        zeros[block.tensor].fetch_add(count as u64, Ordering::Relaxed);
        progress.advance(buffer.len() as u64);
        to.write_at(block.tensor, (block.rows.start * block.expr.row_bytes()) as u64, buffer)
    };
    // Of several errors always the first is told, whichever thread meets one earlier.
    let failed = blocks
        .par_iter()
        .map_init(Vec::new, |buffer, block| done(buffer, block).err())
        .find_map_first(|error| error);
    match failed {
        Some(error) => Err(error),
        None => Ok(zeros.into_iter().map(AtomicU64::into_inner).collect()),
    }
}

/// Bytes of some tensors.
pub fn bytes(exprs: &[Arc<Expr>]) -> u64 {
    exprs.iter().map(|expr| (expr.len() * expr.dtype().size()) as u64).sum()
}

/// A part of a tensor, by rows.
struct Block<'e> {
    tensor: usize,
    expr: &'e Expr,
    rows: Range<usize>,
}

fn blocks(tensor: usize, expr: &Arc<Expr>) -> impl Iterator<Item = Block<'_>> {
    let rows = if expr.is_empty() { None } else { Some(expr.row_blocks(BLOCK as usize)) };
    rows.into_iter().flatten().map(move |rows| Block { tensor, expr, rows })
}
