//! Tiles of up to 4 x 8, four times, in plain loops: what any processor's compiler turns into its own vectors.

use super::memory::PANEL;
use super::tile::{Plus, Sides, for_rows};

/// Columns at a time: few enough that the sums stay in registers where there are sixteen of 128 bits.
const WIDTH: usize = 8;

/// Marked `unsafe` like the other tiles; the slices are checked here as well.
pub(super) unsafe fn tile(rows: usize, sides: Sides<'_>, plus: Plus<'_>, out: &mut [f32], stride: usize) {
    for first in (0..PANEL).step_by(WIDTH) {
        for_rows!(rows, [1 2 3 4], rows_of(first, sides, plus, out, stride));
    }
}

fn rows_of<const ROWS: usize>(
    first: usize,
    sides: Sides<'_>,
    plus: Plus<'_>,
    out: &mut [f32],
    stride: usize,
) {
    let mut sums = [[0.0_f32; WIDTH]; ROWS];
    let lefts: [&[f32]; ROWS] =
        std::array::from_fn(|row| &sides.left.numbers[row * sides.left.stride..][..sides.depth]);
    for at in 0..sides.depth {
        let columns = &sides.right.numbers[at * sides.right.stride + first..][..WIDTH];
        for (sums, left) in sums.iter_mut().zip(&lefts) {
            for (sum, column) in sums.iter_mut().zip(columns) {
                *sum += left[at] * column;
            }
        }
    }
    for (row, sums) in sums.iter().enumerate() {
        let places = &mut out[row * stride + first..][..WIDTH];
        for (column, (place, sum)) in places.iter_mut().zip(sums).enumerate() {
            *place = match plus {
                Plus::Nothing => *sum,
                Plus::Bias(bias) => sum + bias[first + column],
                Plus::BiasAndItself(bias) => sum + bias[first + column] + *place,
            };
        }
    }
}
