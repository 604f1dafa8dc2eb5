//! Zeroing the weights that a selection drops, where they are stored.

use super::convert::element_count;
use super::error::expect_length;
use super::lanes::Word;
use super::{DType, MatrixView, TensorError};

/// Sets to +0 what `keep` does not mark. The marks are in row-major order of the view, however it is stored.
pub fn zero_dropped(
    dtype: DType,
    bytes: &mut [u8],
    view: &MatrixView,
    keep: &[bool],
) -> Result<(), TensorError> {
    view.check(element_count(dtype, bytes)?)?;
    expect_length("marks", view.len(), keep.len())?;
    match dtype.size() {
        8 => zero_words::<[u8; 8]>(bytes.as_chunks_mut().0, view, keep),
        4 => zero_words::<[u8; 4]>(bytes.as_chunks_mut().0, view, keep),
        _ => zero_words::<[u8; 2]>(bytes.as_chunks_mut().0, view, keep),
    }
    Ok(())
}

fn zero_words<W: Word>(words: &mut [W], view: &MatrixView, keep: &[bool]) {
    if view.is_empty() {
        return;
    }
    for (out, keep) in keep.chunks(view.inputs).enumerate() {
        let row = &mut words[view.index(out, 0)..];
        if view.has_contiguous_rows() {
            row.iter_mut().zip(keep).for_each(|(word, stays)| *word = word.kept(*stays));
        } else {
            for (i, stays) in keep.iter().enumerate() {
                row[i * view.in_stride] = row[i * view.in_stride].kept(*stays);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::convert::{read_f32, write};

    fn dropped(dtype: DType, view: &MatrixView, keep: &[bool]) -> Vec<f32> {
        let mut bytes = vec![0; 6 * dtype.size()];
        write(dtype, &[-1.0, 2.0, -3.0, 4.0, -5.0, f32::NAN], &mut bytes).unwrap();
        zero_dropped(dtype, &mut bytes, view, keep).unwrap();
        let mut out = vec![0.0; 6];
        read_f32(dtype, &bytes, &mut out).unwrap();
        out
    }

    #[test]
    fn marks_follow_rows_in_every_layout() {
        let keep = [true, false, true, false, true, false];
        for dtype in [DType::F64, DType::F32, DType::F16, DType::Bf16] {
            assert_eq!(dropped(dtype, &MatrixView::rows(2, 3), &keep), [-1.0, 0.0, -3.0, 0.0, -5.0, 0.0]);
            // Row 0 stands at 0, 2, 4.
            assert_eq!(
                dropped(dtype, &MatrixView::transposed(2, 3), &keep),
                [-1.0, 0.0, 0.0, 4.0, -5.0, 0.0]
            );
            let zero = dropped(dtype, &MatrixView::rows(1, 6), &[false; 6]);
            assert!(zero.iter().all(|value| value.to_bits() == 0));
        }
    }

    #[test]
    fn the_number_of_marks_must_fit() {
        let view = MatrixView::rows(1, 2);
        assert!(zero_dropped(DType::F32, &mut [0; 8], &view, &[true]).is_err());
        assert!(zero_dropped(DType::F32, &mut [0; 4], &view, &[true; 2]).is_err());
        assert_eq!(zero_dropped(DType::F32, &mut [], &MatrixView::rows(0, 2), &[]), Ok(()));
    }
}
