//! The arithmetic of an encoder on a processor: products with matrices that are packed once, and what stands between
//! them, each for the widest vectors that the machine has.
//!
//! | question | file |
//! |---|---|
//! | Which vectors does this machine have? | [`cpu`] |
//! | How does memory lie, so that vectors are loaded whole? | [`memory`] |
//! | How is a matrix packed, and rows multiplied with it? | [`matrix`] |
//! | How is one tile of such a product computed? | [`tile`] and a file for each sort of vector |
//! | How is it done with half the bits? | [`bf16`] |
//! | What stands between the products? | [`functions`] |
//!
//! What was tried and measured is in `docs/decisions/0010-the-encoders-arithmetic.md`.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512_bf16;
mod bf16;
pub(super) mod cpu;
pub(super) mod functions;
pub(super) mod matrix;
pub(super) mod memory;
mod portable;
#[cfg(test)]
mod tests;
pub(super) mod tile;

pub(super) use cpu::Cpu;
pub use matrix::Precision;
pub(super) use matrix::{Matrix, Then};
pub(super) use memory::{Block, Lines, stride};
pub(super) use tile::{Plus, Sides};
