//! How is one tile of a product computed? A tile is a few rows of the left matrix by [`PANEL`] columns of the right one,
//! kept in registers from the first number to the last.

use super::cpu::{Cpu, Vectors};
use super::memory::{Block, PANEL};
use super::portable;
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};

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
        // As even as possible: thirteen rows are seven and six, not twelve and one.
        let tiles = rows.div_ceil(most);
        let mut begin = 0;
        for tile in 0..tiles {
            let end = (tile + 1) * rows / tiles;
            let sides = Sides { left: sides.left.from(begin, 0), ..sides };
            self.tile(end - begin, sides, plus, &mut out[begin * stride..], stride);
            begin = end;
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
