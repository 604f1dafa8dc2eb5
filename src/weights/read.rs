//! Reading: expressions evaluated for the rows that are asked for.

use std::ops::Range;

use super::bands::Bands;
use super::expr::Expr;
use super::mask::{FLOATS, MaskRule, MatrixBlock};
use super::slice;
use crate::diagnostic::{Diagnostic, codes};
use crate::source::Span;
use crate::tensor::{DType, MatrixView, convert};

impl Expr {
    /// Rows of the tensor: the product of all dims but the last. A vector is one row.
    pub fn rows(&self) -> usize {
        let shape = self.shape();
        shape[..shape.len().saturating_sub(1)].iter().product()
    }

    /// Elements of a row.
    pub fn row_len(&self) -> usize {
        self.shape().last().copied().unwrap_or(1)
    }

    /// Bytes of a row.
    pub fn row_bytes(&self) -> usize {
        self.row_len() * self.dtype().size()
    }

    /// The smallest number of rows that can be evaluated without the others. Reads of whole granules, counted from the
    /// first row, do no work twice; reads of other ranges are right as well.
    pub fn granule_rows(&self) -> usize {
        let all = self.rows();
        let rows = match self {
            Expr::Stored { .. } => 1,
            Expr::Cast { input, .. } => input.granule_rows(),
            Expr::Gather { input, keep } => slice::granule(input.granule_rows(), &self.shape(), keep),
            Expr::Masked { input, matrix, rule, .. } => {
                let bands = Bands::of(matrix, self.row_len());
                common_multiple(input.granule_rows(), bands.granule(matrix, rule.reach(), all))
            }
            Expr::Factor { .. } => all,
        };
        rows.clamp(1, all.max(1))
    }

    /// All rows in ranges of whole granules, each of about so many bytes.
    pub fn row_blocks(&self, bytes: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let (all, granule) = (self.rows(), self.granule_rows());
        let granules = bytes / (granule * self.row_bytes()).max(1);
        let block = granules.max(1) * granule;
        (0..all).step_by(block).map(move |start| start..(start + block).min(all))
    }

    /// Evaluates rows into `out`, whose former content is lost and whose memory is used again.
    ///
    /// # Errors
    /// Where bytes cannot be read, weights that a rule has to compare are not finite, or a value is too large for the
    /// type that it is cast to.
    pub fn read_rows(&self, rows: Range<usize>, out: &mut Vec<u8>) -> Result<(), Diagnostic> {
        let (all, granule) = (self.rows(), self.granule_rows());
        debug_assert!(rows.start <= rows.end && rows.end <= all, "rows of the tensor");
        let whole = rows.start / granule * granule..rows.end.next_multiple_of(granule).min(all);
        self.read_granules(&whole, out)?;
        if whole != rows {
            let start = (rows.start - whole.start) * self.row_bytes();
            let len = rows.len() * self.row_bytes();
            out.copy_within(start..start + len, 0);
            out.truncate(len);
        }
        Ok(())
    }

    fn read_granules(&self, rows: &Range<usize>, out: &mut Vec<u8>) -> Result<(), Diagnostic> {
        match self {
            Expr::Stored { checkpoint, stored } => {
                out.resize(rows.len() * self.row_bytes(), 0);
                checkpoint.read_at(stored, (rows.start * self.row_bytes()) as u64, out)
            }
            Expr::Gather { input, keep } => {
                let bytes = rows.start * self.row_bytes()..rows.end * self.row_bytes();
                slice::read(input, keep, bytes, out)
            }
            Expr::Masked { input, place, matrix, rule, step } => {
                input.read_rows(rows.clone(), out)?;
                let block = Rows { place, dtype: self.dtype(), rows, row_len: self.row_len() };
                block.mask(out, matrix, &**rule).map_err(|wrong| at(self.in_file(wrong), *step))
            }
            Expr::Cast { input, to, step } => {
                let mut bytes = Vec::new();
                input.read_rows(rows.clone(), &mut bytes)?;
                out.resize(rows.len() * self.row_bytes(), 0);
                match convert::cast(input.dtype(), &bytes, *to, out).expect(FLOATS) {
                    0 => Ok(()),
                    count => Err(at(self.overflow(count, *to), *step)),
                }
            }
            Expr::Factor { factoring, part } => {
                let side = factoring.side(*part)?;
                let range = rows.start * self.row_len()..rows.end * self.row_len();
                out.resize(rows.len() * self.row_bytes(), 0);
                convert::write(self.dtype(), &side[range], out).expect(FLOATS);
                Ok(())
            }
        }
    }

    /// The tensor's name in the checkpoint that it comes from.
    pub fn source_name(&self) -> String {
        let (checkpoint, stored) = self.source();
        let found = checkpoint.tensors.iter().find(|(_, other)| *other == stored);
        found.map_or(String::new(), |(name, _)| name.clone())
    }

    /// Says in which file the weights are.
    pub(super) fn in_file(&self, wrong: Diagnostic) -> Diagnostic {
        let (checkpoint, stored) = self.source();
        if wrong.path.is_some() { wrong } else { wrong.path(&checkpoint.file(stored.file).path) }
    }

    fn overflow(&self, count: usize, to: DType) -> Diagnostic {
        let (name, from) = (self.source_name(), self.dtype_before());
        let (values, are) = if count == 1 { ("value", "is") } else { ("values", "are") };
        let message = format!("{count} {values} of `{name}` {are} too large for {to}");
        let wide = if to == DType::F16 { "bf16" } else { "f32" };
        self.in_file(Diagnostic::new(&codes::CAST_OVERFLOWS, message))
            .help(format!("the weights are {from}; `{wide}` has the range for them"))
    }

    fn dtype_before(&self) -> DType {
        match self {
            Expr::Cast { input, .. } => input.dtype(),
            _ => self.dtype(),
        }
    }
}

fn at(wrong: Diagnostic, step: Option<Span>) -> Diagnostic {
    match step {
        Some(step) => wrong.or_at(step),
        None => wrong,
    }
}

/// Some rows of a tensor, for a rule to be applied to.
struct Rows<'a> {
    place: &'a str,
    dtype: DType,
    rows: &'a Range<usize>,
    row_len: usize,
}

impl Rows<'_> {
    fn mask(&self, bytes: &mut [u8], matrix: &MatrixView, rule: &dyn MaskRule) -> Result<(), Diagnostic> {
        let cutting = Bands::of(matrix, self.row_len).cut(matrix, self.rows, self.row_len);
        if cutting.view.is_empty() {
            return Ok(());
        }
        rule.apply(&mut MatrixBlock {
            place: self.place,
            dtype: self.dtype,
            bytes,
            matrix: cutting.view,
            first: cutting.first,
            whole: (matrix.out, matrix.inputs),
        })
    }
}

fn common_multiple(a: usize, b: usize) -> usize {
    let (mut x, mut y) = (a, b);
    while y > 0 {
        (x, y) = (y, x % y);
    }
    (a / x.max(1)).saturating_mul(b)
}
