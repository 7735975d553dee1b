//! Tiles of up to 12 x 32: 24 of the 32 registers hold sums, two hold a row of the right side.

use std::arch::x86_64::*;

use super::memory::PANEL;
use super::tile::{Plus, Sides, for_rows};

const WIDTH: usize = 16;

/// # Safety
/// The machine has AVX-512 F, and the slices reach as far as the tile.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn tile(rows: usize, sides: Sides<'_>, plus: Plus<'_>, out: &mut [f32], stride: usize) {
    // SAFETY: as promised by the caller.
    unsafe { for_rows!(rows, [1 2 3 4 5 6 7 8 9 10 11 12], rows_of(sides, plus, out, stride)) }
}

/// # Safety
/// As [`tile`].
#[target_feature(enable = "avx512f")]
unsafe fn rows_of<const ROWS: usize>(sides: Sides<'_>, plus: Plus<'_>, out: &mut [f32], stride: usize) {
    let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
    let left = sides.left.numbers.as_ptr();
    let mut right = sides.right.numbers.as_ptr();
    // SAFETY: as promised by the caller.
    unsafe {
        for at in 0..sides.depth {
            let columns = [_mm512_loadu_ps(right), _mm512_loadu_ps(right.add(WIDTH))];
            right = right.wrapping_add(sides.right.stride);
            for (row, sums) in sums.iter_mut().enumerate() {
                let number = _mm512_set1_ps(*left.add(row * sides.left.stride + at));
                sums[0] = _mm512_fmadd_ps(number, columns[0], sums[0]);
                sums[1] = _mm512_fmadd_ps(number, columns[1], sums[1]);
            }
        }
        write_sums(&sums, plus, out, stride);
    }
}

/// Writes the sums of a tile to `out`, with what is added to them.
///
/// # Safety
/// The machine has AVX-512 F, and `out` has room for the tile.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn write_sums<const ROWS: usize>(
    sums: &[[__m512; 2]; ROWS],
    plus: Plus<'_>,
    out: &mut [f32],
    stride: usize,
) {
    let bias = match plus {
        Plus::Nothing => &[0.0; PANEL],
        Plus::Bias(bias) | Plus::BiasAndItself(bias) => bias,
    };
    for (row, sums) in sums.iter().enumerate() {
        for (half, &sum) in sums.iter().enumerate() {
            // SAFETY: as promised by the caller.
            unsafe {
                let place = out.as_mut_ptr().add(row * stride + half * WIDTH);
                let mut sum = _mm512_add_ps(sum, _mm512_loadu_ps(bias.as_ptr().add(half * WIDTH)));
                if let Plus::BiasAndItself(_) = plus {
                    sum = _mm512_add_ps(sum, _mm512_loadu_ps(place));
                }
                _mm512_storeu_ps(place, sum);
            }
        }
    }
}
