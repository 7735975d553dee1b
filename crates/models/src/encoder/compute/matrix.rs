//! How is a matrix packed, and rows multiplied with it?

use super::cpu::Cpu;
use super::memory::{Block, Lines, PANEL};
use super::tile::{Plus, Sides};

/// A weight matrix with its bias, packed once: panels of [`PANEL`] outputs, in each one row after the other for every
/// input, so that a product reads it from front to back.
pub(in crate::encoder) struct Matrix {
    inputs: usize,
    outputs: usize,
    panels: Lines,
    /// Zero beyond the outputs.
    bias: Vec<[f32; PANEL]>,
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
    pub(in crate::encoder) fn pack(inputs: usize, parts: &[(&[f32], &[f32], f32)]) -> Self {
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
        for (panel, bias) in self.bias.iter().enumerate() {
            let numbers = &self.panels[panel * self.inputs * PANEL..][..self.inputs * PANEL];
            let sides = Sides { left, right: Block { numbers, stride: PANEL }, depth: self.inputs };
            let plus = if let Then::Add = then { Plus::BiasAndItself(bias) } else { Plus::Bias(bias) };
            cpu.product(rows, sides, plus, &mut out[panel * PANEL..], stride);
            if let Then::Apply(function) = then {
                for row in 0..rows {
                    function(cpu, &mut out[row * stride + panel * PANEL..][..PANEL]);
                }
            }
        }
    }
}
