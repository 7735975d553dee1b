//! AdamW (Loshchilov & Hutter 2019): steps of about equal size for every number, and weights that shrink on their own.

use rayon::prelude::*;

use super::layout::Layout;

const FIRST_DECAY: f32 = 0.9;
const SECOND_DECAY: f32 = 0.999;
/// Keeps a step finite where a gradient has always been zero.
const EPSILON: f32 = 1e-8;
/// Numbers a thread takes at a time.
const CHUNK: usize = 1 << 16;

/// The optimiser's memory: as many numbers as are trained, twice.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AdamW {
    /// Running mean of the gradients.
    pub first: Vec<f32>,
    /// Running mean of their squares.
    pub second: Vec<f32>,
    /// Steps taken.
    pub steps: u32,
}

/// The size of one step.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Learning rate of the encoder.
    pub rate: f32,
    /// The head's learning rate over the encoder's.
    pub head_factor: f32,
    /// How much of a matrix is taken off for each unit of learning rate.
    pub weight_decay: f32,
}

impl AdamW {
    /// Without memory.
    pub fn new(length: usize) -> Self {
        Self { first: vec![0.0; length], second: vec![0.0; length], steps: 0 }
    }

    /// Moves the parameters against the gradients.
    pub fn step(&mut self, layout: &Layout, parameters: &mut [f32], gradients: &[f32], step: &Step) {
        self.steps += 1;
        let power = i32::try_from(self.steps).unwrap_or(i32::MAX);
        let first_bias = 1.0 - FIRST_DECAY.powi(power);
        let second_bias = 1.0 - SECOND_DECAY.powi(power);
        for tensor in &layout.tensors {
            let range = tensor.range.clone();
            let rate = if tensor.is_head() { step.rate * step.head_factor } else { step.rate };
            let kept = if tensor.decays() { 1.0 - rate * step.weight_decay } else { 1.0 };
            let size = rate / first_bias;
            let update = |(((x, gradient), first), second): (((&mut f32, &f32), &mut f32), &mut f32)| {
                *first = FIRST_DECAY * *first + (1.0 - FIRST_DECAY) * gradient;
                *second = SECOND_DECAY * *second + (1.0 - SECOND_DECAY) * gradient * gradient;
                *x = *x * kept - size * *first / ((*second / second_bias).sqrt() + EPSILON);
            };
            parameters[range.clone()]
                .par_chunks_mut(CHUNK)
                .zip(gradients[range.clone()].par_chunks(CHUNK))
                .zip(self.first[range.clone()].par_chunks_mut(CHUNK))
                .zip(self.second[range].par_chunks_mut(CHUNK))
                .for_each(|(((x, gradient), first), second)| {
                    x.iter_mut().zip(gradient).zip(first).zip(second).for_each(update);
                });
        }
    }
}

/// Scales the gradients down so that their length is at most `most`; their length before. Sums are added in order,
/// so that the number of threads changes nothing.
pub fn clip(gradients: &mut [f32], most: f32) -> f32 {
    let square = |chunk: &[f32]| chunk.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>();
    let squares: Vec<f64> = gradients.par_chunks(CHUNK).map(square).collect();
    let length = squares.iter().sum::<f64>().sqrt() as f32;
    if length > most {
        let scale = most / length;
        gradients.par_chunks_mut(CHUNK).for_each(|chunk| chunk.iter_mut().for_each(|x| *x *= scale));
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_gradients_are_cut_to_the_limit_and_short_ones_left_alone() {
        let mut gradients = vec![3.0, 4.0];
        assert_eq!(clip(&mut gradients, 1.0), 5.0);
        assert!((gradients[0] - 0.6).abs() < 1e-6 && (gradients[1] - 0.8).abs() < 1e-6);
        let before = gradients.clone();
        clip(&mut gradients, 2.0);
        assert_eq!(gradients, before);
    }
}
