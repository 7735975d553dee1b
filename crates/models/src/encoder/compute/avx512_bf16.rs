//! Tiles of up to 12 x 32, two numbers of the depth at a time.

use std::arch::x86_64::*;

use super::avx512::write_sums;
use super::bf16::PairSides;
use super::memory::PANEL;
use super::tile::{Plus, for_rows};

const WIDTH: usize = 16;

/// # Safety
/// The machine has AVX-512 F and BF16, and the slices reach as far as the tile.
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) unsafe fn tile(rows: usize, sides: PairSides<'_>, plus: Plus<'_>, out: &mut [f32], stride: usize) {
    // SAFETY: as promised by the caller.
    unsafe { for_rows!(rows, [1 2 3 4 5 6 7 8 9 10 11 12], rows_of(sides, plus, out, stride)) }
}

/// # Safety
/// As [`tile`].
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn rows_of<const ROWS: usize>(sides: PairSides<'_>, plus: Plus<'_>, out: &mut [f32], stride: usize) {
    let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
    let left = sides.left.pairs.as_ptr();
    let mut right = sides.right.as_ptr();
    // SAFETY: as promised by the caller; a vector of pairs and one of 32-bit integers are the same bits.
    unsafe {
        for at in 0..sides.depth {
            let columns = [0, WIDTH].map(|half| bits(_mm512_loadu_si512(right.add(half).cast())));
            right = right.wrapping_add(PANEL);
            for (row, sums) in sums.iter_mut().enumerate() {
                let pair = bits(_mm512_set1_epi32(*left.add(row * sides.left.stride + at) as i32));
                sums[0] = _mm512_dpbf16_ps(sums[0], pair, columns[0]);
                sums[1] = _mm512_dpbf16_ps(sums[1], pair, columns[1]);
            }
        }
        write_sums(&sums, plus, out, stride);
    }
}

/// The same bits, as pairs of bfloat16.
#[target_feature(enable = "avx512f,avx512bf16")]
fn bits(vector: __m512i) -> __m512bh {
    // SAFETY: both are 512 bits without invalid values.
    unsafe { std::mem::transmute(vector) }
}

/// Numbers as bfloat16, as many as go in whole vectors; how many that were.
///
/// # Safety
/// The machine has AVX-512 F and BF16, and `pairs` has room for half as many.
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) unsafe fn to_pairs(numbers: &[f32], pairs: &mut [u32]) -> usize {
    let whole = numbers.len() / WIDTH * WIDTH;
    for at in (0..whole).step_by(WIDTH) {
        // SAFETY: within both slices, as promised by the caller; eight pairs are 256 bits.
        unsafe {
            let rounded = _mm512_cvtneps_pbh(_mm512_loadu_ps(numbers.as_ptr().add(at)));
            let rounded: __m256i = std::mem::transmute(rounded);
            _mm256_storeu_si256(pairs.as_mut_ptr().add(at / 2).cast(), rounded);
        }
    }
    whole
}
