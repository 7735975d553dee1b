//! Half as many bits: numbers rounded to bfloat16 (the upper half of an f32, 8 bits of precision), multiplied in pairs and
//! summed in 32 bits.

use super::cpu::Cpu;
use super::memory::{Block, Lines, PANEL};

/// A number as bfloat16, the nearest one, ties to the even.
pub(super) fn round(number: f32) -> u16 {
    let bits = number.to_bits();
    if number.is_nan() {
        return ((bits >> 16) | 0x40) as u16;
    }
    let half = 0x7FFF + ((bits >> 16) & 1);
    (bits.wrapping_add(half) >> 16) as u16
}

/// The number that a bfloat16 is.
pub(super) fn widen(rounded: u16) -> f32 {
    f32::from_bits(u32::from(rounded) << 16)
}

/// Two numbers side by side, as the processor multiplies them: the first in the lower half.
pub(super) fn pair(first: f32, second: f32) -> u32 {
    u32::from(round(first)) | (u32::from(round(second)) << 16)
}

/// Rows of pairs, each `stride` after the one before.
#[derive(Clone, Copy)]
pub(super) struct Pairs<'a> {
    pub(super) pairs: &'a [u32],
    pub(super) stride: usize,
}

impl<'a> Pairs<'a> {
    /// The rows from here on.
    pub(super) fn from(self, row: usize) -> Self {
        Self { pairs: &self.pairs[row * self.stride..], ..self }
    }
}

/// Both sides of a product: rows of `depth` pairs, and as many rows of [`PANEL`] columns of pairs.
#[derive(Clone, Copy)]
pub(super) struct PairSides<'a> {
    pub(super) left: Pairs<'a>,
    pub(super) right: &'a [u32],
    pub(super) depth: usize,
}

/// So many columns of the rows of a block as pairs, one row after the other. An odd column's partner is zero.
pub(super) fn pairs_of(cpu: Cpu, rows: usize, left: Block<'_>, columns: usize) -> Lines {
    let width = pairs_in(columns);
    let mut out = Lines::zeros(rows * width);
    let pairs: &mut [u32] = bytemuck::cast_slice_mut(&mut out);
    for (row, pairs) in pairs.chunks_exact_mut(width).take(rows).enumerate() {
        cpu.to_pairs(left.row(row, columns), pairs);
    }
    out
}

/// The same columns, each number the nearest bfloat16, as f32.
pub(super) fn rounded(rows: usize, left: Block<'_>, columns: usize) -> Lines {
    let mut out = Lines::zeros(rows * columns);
    for (row, rounded) in out.chunks_exact_mut(columns).take(rows).enumerate() {
        let numbers = rounded.iter_mut().zip(left.row(row, columns));
        numbers.for_each(|(rounded, number)| *rounded = widen(round(*number)));
    }
    out
}

/// Pairs that so many numbers make.
pub(super) fn pairs_in(numbers: usize) -> usize {
    numbers.div_ceil(2)
}

/// Puts the columns of a panel (`depth` rows of [`PANEL`] numbers) into pairs of one row and the next.
pub(super) fn pack(panel: &[f32]) -> impl Iterator<Item = u32> + '_ {
    panel.chunks(2 * PANEL).flat_map(|rows| {
        let (first, second) = rows.split_at(PANEL);
        (0..PANEL).map(move |column| pair(first[column], second.get(column).copied().unwrap_or(0.0)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_becomes_the_nearest_and_a_tie_the_even_one() {
        for (number, rounded) in [
            (0.0, 0.0),
            (-1.0, -1.0),
            (1.0 + 1.0 / 256.0, 1.0),               // half-way between 1 and 1 + 1/128
            (1.0 + 3.0 / 256.0, 1.0 + 4.0 / 256.0), // half-way, and the upper one is even
            (1.0 + 1.5 / 256.0, 1.0 + 2.0 / 256.0),
            (f32::INFINITY, f32::INFINITY),
            (f32::MAX, f32::INFINITY),
        ] {
            assert_eq!(widen(round(number)), rounded, "{number}");
        }
        assert!(widen(round(f32::NAN)).is_nan());
    }
}
