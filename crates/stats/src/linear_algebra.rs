//! Small dense symmetric systems, for Newton's method.

/// Solves `matrix` x = `right` for a symmetric positive definite `matrix` (row-major, square) by Cholesky.
///
/// `None` where the matrix is not positive definite to working precision.
pub(crate) fn solve_positive_definite(mut matrix: Vec<f64>, mut right: Vec<f64>) -> Option<Vec<f64>> {
    let size = right.len();
    for column in 0..size {
        let (above, below) = matrix.split_at_mut(column * size + size);
        let pivot_row = &mut above[column * size..];
        let pivot = pivot_row[column] - pivot_row[..column].iter().map(|x| x * x).sum::<f64>();
        // Also false for a NaN.
        let is_positive = pivot > 0.0 && pivot.is_finite();
        if !is_positive {
            return None;
        }
        let pivot = pivot.sqrt();
        pivot_row[column] = pivot;
        for row in below.chunks_exact_mut(size) {
            let inner: f64 = row[..column].iter().zip(&pivot_row[..column]).map(|(x, y)| x * y).sum();
            row[column] = (row[column] - inner) / pivot;
        }
    }
    for row in 0..size {
        let inner: f64 = (0..row).map(|column| matrix[row * size + column] * right[column]).sum();
        right[row] = (right[row] - inner) / matrix[row * size + row];
    }
    for row in (0..size).rev() {
        let inner: f64 = (row + 1..size).map(|below| matrix[below * size + row] * right[below]).sum();
        right[row] = (right[row] - inner) / matrix[row * size + row];
    }
    right.iter().all(|x| x.is_finite()).then_some(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_solves_and_it_refuses() {
        let solved =
            solve_positive_definite(vec![4.0, 2.0, 2.0, 3.0], vec![10.0, 9.0]).expect("positive definite");
        assert!((solved[0] - 1.5).abs() < 1e-12 && (solved[1] - 2.0).abs() < 1e-12);
        assert_eq!(solve_positive_definite(vec![1.0, 2.0, 2.0, 1.0], vec![1.0, 1.0]), None);
        assert_eq!(solve_positive_definite(vec![f64::NAN], vec![1.0]), None);
    }
}
