//! How does memory lie, so that vectors are loaded whole?

use std::ops::{Deref, DerefMut};

/// Columns that are computed at a time; every width is rounded up to a multiple of it.
pub(in crate::encoder) const PANEL: usize = 32;

/// Numbers in a line of the processor's cache.
const LINE: usize = 16;

/// A line of the processor's cache.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

// SAFETY: sixteen floats in a row without padding; all bit patterns are floats.
unsafe impl bytemuck::Zeroable for Line {}
// SAFETY: as above.
unsafe impl bytemuck::Pod for Line {}

/// Numbers that begin at a line of the cache.
#[derive(Clone, Default)]
pub(in crate::encoder) struct Lines(Vec<Line>);

impl Lines {
    /// At least so many numbers, all zero.
    pub(in crate::encoder) fn zeros(count: usize) -> Self {
        Self(vec![Line([0.0; LINE]); count.div_ceil(LINE)])
    }
}

impl Deref for Lines {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        bytemuck::cast_slice(&self.0)
    }
}

impl DerefMut for Lines {
    fn deref_mut(&mut self) -> &mut [f32] {
        bytemuck::cast_slice_mut(&mut self.0)
    }
}

/// From one row of so many columns to the next. An odd number of lines: at an even one, twelve rows that are read side
/// by side would want the same few places of the cache.
pub(in crate::encoder) fn stride(columns: usize) -> usize {
    columns.next_multiple_of(PANEL) + LINE
}

/// Rows of numbers, each `stride` after the one before.
#[derive(Clone, Copy)]
pub(in crate::encoder) struct Block<'a> {
    pub(in crate::encoder) numbers: &'a [f32],
    pub(in crate::encoder) stride: usize,
}

impl<'a> Block<'a> {
    /// The rows and columns from here on.
    pub(in crate::encoder) fn from(self, row: usize, column: usize) -> Self {
        Self { numbers: &self.numbers[row * self.stride + column..], stride: self.stride }
    }

    /// One row, so many columns of it.
    pub(in crate::encoder) fn row(self, row: usize, columns: usize) -> &'a [f32] {
        &self.numbers[row * self.stride..][..columns]
    }
}
