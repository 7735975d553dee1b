//! How is a matrix packed, and rows multiplied with it?

use serde::{Deserialize, Serialize};

use super::bf16::{self, PairSides, Pairs};
use super::cpu::Cpu;
use super::memory::{Block, Lines, PANEL};
use super::tile::{Plus, Sides};

/// How finely a network's products are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// In 32 bits.
    #[default]
    F32,
    /// Weights and what they are multiplied with are rounded to bfloat16, and summed in 32 bits. Faster on processors that
    /// multiply bfloat16 (AVX-512 BF16); the others round likewise and gain nothing.
    Bf16,
}

/// A weight matrix with its bias, packed once: panels of [`PANEL`] outputs, in each one row after the other for every
/// input, so that a product reads it from front to back.
pub(in crate::encoder) struct Matrix {
    inputs: usize,
    outputs: usize,
    panels: Panels,
    /// Zero beyond the outputs.
    bias: Vec<[f32; PANEL]>,
}

/// The weights, as the processor at hand multiplies them.
enum Panels {
    /// 32 bits each.
    Whole(Lines),
    /// 32 bits each, of which the upper half is used: for processors that don't multiply pairs.
    Rounded(Lines),
    /// Two rows of a panel side by side, 16 bits each.
    Paired(Lines),
}

/// What becomes of a product once a tile of it is there.
#[derive(Clone, Copy)]
pub(in crate::encoder) enum Then {
    /// It is written.
    Write,
    /// It is added to what stands there.
    Add,
    /// It is written and goes through a function while it is still in the cache.
    Apply(fn(Cpu, &mut [f32])),
}

impl Matrix {
    /// Packs matrices of as many inputs, one after the other, each of them outputs x inputs with its bias and
    /// multiplied by a number. Each begins at a panel of its own.
    pub(in crate::encoder) fn pack(
        cpu: Cpu,
        precision: Precision,
        inputs: usize,
        parts: &[(&[f32], &[f32], f32)],
    ) -> Self {
        let outputs = parts.iter().map(|(_, bias, _)| bias.len().next_multiple_of(PANEL)).sum();
        let mut panels = Lines::zeros(outputs * inputs);
        let mut biases = vec![[0.0; PANEL]; outputs / PANEL];
        let mut first = 0;
        for (weight, bias, factor) in parts {
            for (output, (row, bias)) in weight.chunks_exact(inputs).zip(*bias).enumerate() {
                let (panel, column) = ((first + output) / PANEL, (first + output) % PANEL);
                biases[panel][column] = bias * factor;
                for (input, weight) in row.iter().enumerate() {
                    panels[(panel * inputs + input) * PANEL + column] = weight * factor;
                }
            }
            first += bias.len().next_multiple_of(PANEL);
        }
        let panels = match precision {
            Precision::F32 => Panels::Whole(panels),
            Precision::Bf16 if cpu.has_pairs() => Panels::Paired(paired(&panels[..outputs * inputs], inputs)),
            Precision::Bf16 => {
                Panels::Rounded(bf16::rounded(1, Block { numbers: &panels, stride: 0 }, outputs * inputs))
            }
        };
        Self { inputs, outputs, panels, bias: biases }
    }

    /// Columns of a product, rounded up to whole panels.
    pub(in crate::encoder) fn outputs(&self) -> usize {
        self.outputs
    }

    /// Multiplies rows with the matrix.
    pub(in crate::encoder) fn multiply(
        &self,
        cpu: Cpu,
        rows: usize,
        left: Block<'_>,
        then: Then,
        out: &mut [f32],
        stride: usize,
    ) {
        match &self.panels {
            Panels::Whole(panels) => self.whole(cpu, rows, left, panels, then, out, stride),
            Panels::Rounded(panels) => {
                let numbers = bf16::rounded(rows, left, self.inputs);
                let left = Block { numbers: &numbers, stride: self.inputs };
                self.whole(cpu, rows, left, panels, then, out, stride);
            }
            Panels::Paired(panels) => {
                let depth = bf16::pairs_in(self.inputs);
                let numbers = bf16::pairs_of(cpu, rows, left, self.inputs);
                let left = Pairs { pairs: bytemuck::cast_slice(&numbers), stride: depth };
                let panels: &[u32] = bytemuck::cast_slice(panels);
                self.each_panel(cpu, rows, then, out, stride, |panel, plus, out| {
                    let right = &panels[panel * depth * PANEL..][..depth * PANEL];
                    cpu.product_of_pairs(rows, PairSides { left, right, depth }, plus, out, stride);
                });
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a product's two sides, and where it goes")]
    fn whole(
        &self,
        cpu: Cpu,
        rows: usize,
        left: Block<'_>,
        panels: &[f32],
        then: Then,
        out: &mut [f32],
        stride: usize,
    ) {
        self.each_panel(cpu, rows, then, out, stride, |panel, plus, out| {
            let numbers = &panels[panel * self.inputs * PANEL..][..self.inputs * PANEL];
            let sides = Sides { left, right: Block { numbers, stride: PANEL }, depth: self.inputs };
            cpu.product(rows, sides, plus, out, stride);
        });
    }

    fn each_panel(
        &self,
        cpu: Cpu,
        rows: usize,
        then: Then,
        out: &mut [f32],
        stride: usize,
        product: impl Fn(usize, Plus<'_>, &mut [f32]),
    ) {
        for (panel, bias) in self.bias.iter().enumerate() {
            let plus = if let Then::Add = then { Plus::BiasAndItself(bias) } else { Plus::Bias(bias) };
            product(panel, plus, &mut out[panel * PANEL..]);
            if let Then::Apply(function) = then {
                for row in 0..rows {
                    function(cpu, &mut out[row * stride + panel * PANEL..][..PANEL]);
                }
            }
        }
    }
}

/// Panels of so many rows, each two rows side by side.
fn paired(panels: &[f32], inputs: usize) -> Lines {
    let depth = bf16::pairs_in(inputs);
    let mut out = Lines::zeros(panels.len() / inputs * depth);
    let pairs: &mut [u32] = bytemuck::cast_slice_mut(&mut out);
    let panels = panels.chunks_exact(inputs * PANEL);
    for (pairs, panel) in pairs.chunks_exact_mut(depth * PANEL).zip(panels) {
        pairs.iter_mut().zip(bf16::pack(panel)).for_each(|(place, pair)| *place = pair);
    }
    out
}
