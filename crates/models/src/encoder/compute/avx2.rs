//! Tiles of up to 6 x 16, twice: 12 of the 16 registers hold sums, two hold a row of the right side.

use std::arch::x86_64::*;

use super::memory::PANEL;
use super::tile::{Plus, Sides, for_rows};

const WIDTH: usize = 8;
/// Columns at a time: half a panel.
const HALF: usize = 2 * WIDTH;

/// # Safety
/// The machine has AVX2 and FMA, and the slices reach as far as the tile.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn tile(rows: usize, sides: Sides<'_>, plus: Plus<'_>, out: &mut [f32], stride: usize) {
    for first in (0..PANEL).step_by(HALF) {
        // SAFETY: as promised by the caller; the halves of a panel lie in the panel.
        unsafe { for_rows!(rows, [1 2 3 4 5 6], rows_of(first, sides, plus, out, stride)) }
    }
}

/// # Safety
/// As [`tile`], and [`HALF`] columns from `first` on are in the panel.
#[target_feature(enable = "avx2,fma")]
unsafe fn rows_of<const ROWS: usize>(
    first: usize,
    sides: Sides<'_>,
    plus: Plus<'_>,
    out: &mut [f32],
    stride: usize,
) {
    let mut sums = [[_mm256_setzero_ps(); 2]; ROWS];
    let left = sides.left.numbers.as_ptr();
    let mut right = sides.right.numbers.as_ptr().wrapping_add(first);
    // SAFETY: as promised by the caller.
    unsafe {
        for at in 0..sides.depth {
            let columns = [_mm256_loadu_ps(right), _mm256_loadu_ps(right.add(WIDTH))];
            right = right.wrapping_add(sides.right.stride);
            for (row, sums) in sums.iter_mut().enumerate() {
                let number = _mm256_set1_ps(*left.add(row * sides.left.stride + at));
                sums[0] = _mm256_fmadd_ps(number, columns[0], sums[0]);
                sums[1] = _mm256_fmadd_ps(number, columns[1], sums[1]);
            }
        }
        let bias = match plus {
            Plus::Nothing => &[0.0; PANEL],
            Plus::Bias(bias) | Plus::BiasAndItself(bias) => bias,
        };
        for (row, sums) in sums.iter().enumerate() {
            for (half, &sum) in sums.iter().enumerate() {
                let column = first + half * WIDTH;
                let place = out.as_mut_ptr().add(row * stride + column);
                let mut sum = _mm256_add_ps(sum, _mm256_loadu_ps(bias.as_ptr().add(column)));
                if let Plus::BiasAndItself(_) = plus {
                    sum = _mm256_add_ps(sum, _mm256_loadu_ps(place));
                }
                _mm256_storeu_ps(place, sum);
            }
        }
    }
}
