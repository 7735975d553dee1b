//! How is one tile of a product computed? A tile is a few rows of the left matrix by [`PANEL`] columns of the right one,
//! kept in registers from the first number to the last.

use std::ops::Range;

use super::bf16::{self, PairSides};
use super::cpu::{Cpu, Vectors};
use super::memory::{Block, PANEL};
use super::portable;
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512, avx512_bf16};

/// The two sides of a product: rows of `depth` numbers, and as many rows of [`PANEL`] columns.
#[derive(Clone, Copy)]
pub(in crate::encoder) struct Sides<'a> {
    pub(in crate::encoder) left: Block<'a>,
    pub(in crate::encoder) right: Block<'a>,
    pub(in crate::encoder) depth: usize,
}

/// What is added to a product.
#[derive(Clone, Copy)]
pub(in crate::encoder) enum Plus<'a> {
    /// Nothing.
    Nothing,
    /// A number for each column.
    Bias(&'a [f32; PANEL]),
    /// A number for each column, and what stands there already.
    BiasAndItself(&'a [f32; PANEL]),
}

/// Most rows of a tile, of any sort of vector.
const MOST_ROWS: usize = 12;

impl Cpu {
    /// `rows` x [`PANEL`] numbers of a product, written to `out`, whose rows are `stride` apart.
    pub(in crate::encoder) fn product(
        self,
        rows: usize,
        sides: Sides<'_>,
        plus: Plus<'_>,
        out: &mut [f32],
        stride: usize,
    ) {
        let most = match self.vectors() {
            #[cfg(target_arch = "x86_64")]
            Vectors::Avx512 => MOST_ROWS,
            #[cfg(target_arch = "x86_64")]
            Vectors::Avx2 => 6,
            Vectors::Portable => 4,
        };
        for tile in tiles(rows, most) {
            let sides = Sides { left: sides.left.from(tile.start, 0), ..sides };
            self.tile(tile.len(), sides, plus, &mut out[tile.start * stride..], stride);
        }
    }

    /// The same of pairs of bfloat16.
    ///
    /// # Panics
    /// Where the machine doesn't multiply them ([`has_pairs`](Self::has_pairs)).
    pub(super) fn product_of_pairs(
        self,
        rows: usize,
        sides: PairSides<'_>,
        plus: Plus<'_>,
        out: &mut [f32],
        stride: usize,
    ) {
        assert!(self.has_pairs(), "this machine doesn't multiply pairs of bfloat16");
        for tile in tiles(rows, MOST_ROWS) {
            let sides = PairSides { left: sides.left.from(tile.start), ..sides };
            let out = &mut out[tile.start * stride..];
            let reach = (tile.len() - 1) * sides.left.stride + sides.depth;
            assert!(sides.depth > 0 && reach <= sides.left.pairs.len(), "the left side is short");
            assert!(sides.depth * PANEL <= sides.right.len(), "the right side is short");
            assert!((tile.len() - 1) * stride + PANEL <= out.len(), "there is no room for the product");
            // SAFETY: the indices were held against the slices, and the machine has what the tile needs.
            #[cfg(target_arch = "x86_64")]
            unsafe {
                avx512_bf16::tile(tile.len(), sides, plus, out, stride);
            }
        }
    }

    /// Numbers as pairs of bfloat16; an odd one's partner is zero.
    pub(super) fn to_pairs(self, numbers: &[f32], pairs: &mut [u32]) {
        assert!(pairs.len() >= bf16::pairs_in(numbers.len()), "there is no room for the pairs");
        let mut done = 0;
        #[cfg(target_arch = "x86_64")]
        if self.has_pairs() {
            // SAFETY: there is room, and the machine has what it needs.
            done = unsafe { avx512_bf16::to_pairs(numbers, pairs) };
        }
        for (pair, numbers) in pairs[done / 2..].iter_mut().zip(numbers[done..].chunks(2)) {
            *pair = bf16::pair(numbers[0], numbers.get(1).copied().unwrap_or(0.0));
        }
    }

    fn tile(self, rows: usize, sides: Sides<'_>, plus: Plus<'_>, out: &mut [f32], stride: usize) {
        check(rows, sides, out, stride);
        // SAFETY: `check` has held every index against the slices, and a `Cpu` only has the vectors of this machine.
        unsafe {
            match self.vectors() {
                #[cfg(target_arch = "x86_64")]
                Vectors::Avx512 => avx512::tile(rows, sides, plus, out, stride),
                #[cfg(target_arch = "x86_64")]
                Vectors::Avx2 => avx2::tile(rows, sides, plus, out, stride),
                Vectors::Portable => portable::tile(rows, sides, plus, out, stride),
            }
        }
    }
}

/// Rows in tiles of so many at most, as even as possible: thirteen rows are seven and six, not twelve and one.
fn tiles(rows: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let tiles = rows.div_ceil(most);
    (0..tiles).map(move |tile| tile * rows / tiles..(tile + 1) * rows / tiles)
}

/// Panics where a tile would reach beyond its slices.
fn check(rows: usize, sides: Sides<'_>, out: &[f32], stride: usize) {
    assert!((1..=MOST_ROWS).contains(&rows) && sides.depth > 0, "a tile has rows and depth");
    assert!(
        (rows - 1) * sides.left.stride + sides.depth <= sides.left.numbers.len(),
        "the left side is short"
    );
    assert!(
        (sides.depth - 1) * sides.right.stride + PANEL <= sides.right.numbers.len(),
        "the right side is short"
    );
    assert!((rows - 1) * stride + PANEL <= out.len(), "there is no room for the product");
}

/// Calls `$tile::<ROWS>` for the number of rows at hand.
macro_rules! for_rows {
    ($rows:expr, [$($count:literal)*], $tile:ident $arguments:tt) => {
        match $rows {
            $($count => $tile::<$count> $arguments,)*
            rows => unreachable!("a tile of {rows} rows"),
        }
    };
}
pub(super) use for_rows;
