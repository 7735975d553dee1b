//! Matrix products of any orientation, on one thread: who trains shares out the rows, not the products.

use gemm_common::Parallelism;

/// Numbers seen as a matrix: rows and columns lie a stride apart, so that a transpose is a swap.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    numbers: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Rows one after the other.
    pub fn new(numbers: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::strided(numbers, rows, columns, columns)
    }

    /// Rows that begin `row_stride` numbers apart.
    pub fn strided(numbers: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        let matrix = Self { numbers, rows, columns, row_stride, column_stride: 1 };
        matrix.check();
        matrix
    }

    /// Rows and columns exchanged.
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
        if self.rows > 0 && self.columns > 0 {
            let last = (self.rows - 1) * self.row_stride + (self.columns - 1) * self.column_stride;
            assert!(last < self.numbers.len(), "a matrix reaches beyond its numbers");
        }
    }
}

/// What happens to what stood in the result before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// It is replaced.
    Replaced,
    /// The product is added to it.
    AddedTo,
}

/// `result = scale * a b`, or `+=`; the result's rows begin `row_stride` numbers apart.
pub fn multiply(
    result: &mut [f32],
    row_stride: usize,
    a: Matrix<'_>,
    b: Matrix<'_>,
    scale: f32,
    before: Before,
) {
    assert_eq!(a.columns, b.rows, "matrices that don't fit together");
    let (rows, columns) = (a.rows, b.columns);
    if rows == 0 || columns == 0 {
        return;
    }
    assert!(columns <= row_stride && (rows - 1) * row_stride + columns <= result.len());
    // The product's columns lie closer than its rows: as the transpose, b^T a^T, it is written in the order of memory.
    let (first, second) = (b.transposed(), a.transposed());
    let gemm = gemm_f32::gemm::f32::get_gemm_fn();
    // SAFETY: the strides of both factors stay inside their slices (`check`), those of the result inside its own by the
    // line above, and a `&mut` overlaps with nothing. All strides are below the length of a slice, which is below
    // `isize::MAX`.
    unsafe {
        gemm(
            columns,
            rows,
            a.columns,
            result.as_mut_ptr(),
            row_stride as isize,
            1,
            before == Before::AddedTo,
            first.numbers.as_ptr(),
            first.column_stride as isize,
            first.row_stride as isize,
            second.numbers.as_ptr(),
            second.column_stride as isize,
            second.row_stride as isize,
            1.0,
            scale,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_is_the_same_whichever_way_its_factors_lie() {
        let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let b = [7.0, 8.0, 9.0, 10.0, 11.0, 12.0];
        let b_transposed = [7.0, 9.0, 11.0, 8.0, 10.0, 12.0];
        let expected = [58.0, 64.0, 139.0, 154.0];
        let a = Matrix::new(&a, 2, 3);
        for b in [Matrix::new(&b, 3, 2), Matrix::new(&b_transposed, 2, 3).transposed()] {
            let mut result = [f32::NAN; 4];
            multiply(&mut result, 2, a, b, 1.0, Before::Replaced);
            assert_eq!(result, expected);
            multiply(&mut result, 2, a, b, -1.0, Before::AddedTo);
            assert_eq!(result, [0.0; 4]);
        }
    }

    #[test]
    #[should_panic(expected = "beyond its numbers")]
    fn a_matrix_larger_than_its_numbers_is_refused() {
        Matrix::new(&[1.0; 5], 2, 3);
    }
}
