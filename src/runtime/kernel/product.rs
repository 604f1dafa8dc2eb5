//! Products of matrices, by `gemm`.

use gemm::Parallelism;

/// A matrix in a slice: `rows` by `columns`, elements so far apart.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    pub values: &'a [f32],
    pub rows: usize,
    pub columns: usize,
    pub row_stride: usize,
    pub column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Row after row, rows `row_stride` apart.
    pub fn rows(values: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        let matrix = Self { values, rows, columns, row_stride, column_stride: 1 };
        matrix.check();
        matrix
    }

    /// Rows become columns.
    pub fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    fn check(&self) {
        let last = |rows: usize, columns: usize| rows * self.row_stride + columns * self.column_stride;
        let fits =
            self.rows == 0 || self.columns == 0 || last(self.rows - 1, self.columns - 1) < self.values.len();
        assert!(fits, "a matrix lies in its slice");
    }
}

/// How a product joins what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Into {
    Replace,
    Add,
}

/// `out = scale * left right`, or added to `out`; `out` has rows `out_stride` apart. By all threads, or by this one.
pub fn product(
    (out, out_stride): (&mut [f32], usize),
    into: Into,
    scale: f32,
    left: Matrix<'_>,
    right: Matrix<'_>,
    threads: Threads,
) {
    assert_eq!(left.columns, right.rows, "inner extents agree");
    if left.rows == 0 || right.columns == 0 {
        return;
    }
    assert!((left.rows - 1) * out_stride + right.columns <= out.len(), "the product fits");
    if left.columns == 0 {
        if into == Into::Replace {
            (0..left.rows).for_each(|row| out[row * out_stride..][..right.columns].fill(0.0));
        }
        return;
    }
    let parallelism = match threads {
        Threads::One => Parallelism::None,
        Threads::All => Parallelism::Rayon(0),
    };
    // SAFETY: both matrices lie in their slices (checked when they were made), the product in `out` (checked above),
    // and `out` is borrowed exclusively.
    unsafe {
        gemm::gemm(
            left.rows,
            right.columns,
            left.columns,
            out.as_mut_ptr(),
            1,
            out_stride as isize,
            into == Into::Add,
            left.values.as_ptr(),
            left.column_stride as isize,
            left.row_stride as isize,
            right.values.as_ptr(),
            right.column_stride as isize,
            right.row_stride as isize,
            1.0,
            scale,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// Who computes a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    One,
    All,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_any_layout_are_right() {
        let left = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let right = [1.0, 0.0, 0.0, 1.0, 1.0, 1.0];
        let mut out = [10.0; 4];
        let (a, b) = (Matrix::rows(&left, 2, 3, 3), Matrix::rows(&right, 3, 2, 2));
        product((&mut out, 2), Into::Replace, 1.0, a, b, Threads::One);
        assert_eq!(out, [4.0, 5.0, 10.0, 11.0]);
        product((&mut out, 2), Into::Add, 2.0, a, b, Threads::All);
        assert_eq!(out, [12.0, 15.0, 30.0, 33.0]);
        let turned = Matrix::rows(&left, 3, 2, 2).transposed();
        product((&mut out, 2), Into::Replace, 1.0, turned, b, Threads::One);
        assert_eq!(out, [1.0 + 5.0, 3.0 + 5.0, 2.0 + 6.0, 4.0 + 6.0]);
    }

    /// The promise of the same bytes for any number of threads rests on this.
    #[test]
    fn threads_do_not_change_a_bit() {
        let mut seed = 1u32;
        let mut next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        for (m, n, k) in [(3, 5, 7), (64, 300, 500), (517, 259, 1025), (1, 2048, 2048), (2050, 64, 33)] {
            let left: Vec<f32> = (0..m * k).map(|_| next()).collect();
            let right: Vec<f32> = (0..n * k).map(|_| next()).collect();
            let with = |threads: usize, kind: Threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let mut out = vec![0.0; m * n];
                pool.install(|| {
                    let right = Matrix::rows(&right, n, k, k).transposed();
                    product((&mut out, n), Into::Replace, 1.0, Matrix::rows(&left, m, k, k), right, kind);
                });
                out
            };
            let one = with(1, Threads::One);
            for threads in [1, 2, 3, 8] {
                assert!(one == with(threads, Threads::All), "{m} x {n} x {k} by {threads} threads");
            }
        }
    }
}
