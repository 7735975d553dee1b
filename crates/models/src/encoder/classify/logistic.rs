//! The head over frozen embeddings: logistic regression, of one softmax where labels exclude each other, of one sigmoid a
//! label where they don't.

use rayon::prelude::*;

use super::super::finetune::{Before, Matrix, Objective, multiply};
use super::lbfgs::{Limits, minimise};

/// Rows that one thread takes at a time; their sums are added in order, the same for any number of threads.
const CHUNK: usize = 512;

/// Rows to fit on.
pub struct Regression<'a> {
    /// One row of features a text, one after the other.
    pub features: &'a [f32],
    /// Numbers in a row.
    pub width: usize,
    /// Each row's labels.
    pub targets: &'a [&'a [u32]],
    /// What each row counts for.
    pub weights: &'a [f32],
    /// Number of labels.
    pub outputs: usize,
    /// How labels relate.
    pub objective: Objective,
}

impl Regression<'_> {
    /// The head under which the right labels are likeliest, less `l2 / 2` times its squared weights (biases go free):
    /// weights row by row, then biases. `None` where it was stopped.
    pub fn fit(&self, l2: f32, start: Vec<f32>, keep_on: &(dyn Fn() -> bool + Sync)) -> Option<Vec<f32>> {
        let total: f64 = self.weights.iter().map(|weight| f64::from(*weight)).sum();
        let scale = (1.0 / total.max(f64::MIN_POSITIVE)) as f32;
        let limits = Limits { steps: 300, tolerance: 1e-6 };
        minimise(start, limits, keep_on, &|head, gradient| self.value_and_gradient(head, l2, scale, gradient))
    }

    /// Numbers of a head.
    pub fn numbers(&self) -> usize {
        self.outputs * (self.width + 1)
    }

    fn value_and_gradient(&self, head: &[f32], l2: f32, scale: f32, gradient: &mut Vec<f32>) -> f64 {
        let chunks: Vec<usize> = (0..self.targets.len()).step_by(CHUNK).collect();
        let parts: Vec<(f64, Vec<f32>)> =
            chunks.par_iter().map(|start| self.of_rows(head, *start, scale)).collect();
        let weights = self.outputs * self.width;
        gradient.clear();
        gradient.extend(head[..weights].iter().map(|w| l2 * w));
        gradient.resize(head.len(), 0.0);
        let mut value = 0.5 * f64::from(l2) * head[..weights].iter().map(|w| f64::from(w * w)).sum::<f64>();
        for (loss, part) in parts {
            value += loss;
            gradient.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
        }
        value
    }

    fn of_rows(&self, head: &[f32], start: usize, scale: f32) -> (f64, Vec<f32>) {
        let rows = start..(start + CHUNK).min(self.targets.len());
        let features = &self.features[rows.start * self.width..rows.end * self.width];
        let mut outputs = outputs(head, features, self.width, self.outputs);
        let mut loss = 0.0;
        for (row, outputs) in rows.clone().zip(outputs.chunks_exact_mut(self.outputs)) {
            loss += self.objective.of_row(outputs, self.targets[row], self.weights[row] * scale);
        }
        let mut gradient = vec![0.0; head.len()];
        let (to_weights, to_biases) = gradient.split_at_mut(self.outputs * self.width);
        let of_outputs = Matrix::new(&outputs, rows.len(), self.outputs);
        let features = Matrix::new(features, rows.len(), self.width);
        multiply(to_weights, self.width, of_outputs.transposed(), features, 1.0, Before::Replaced);
        for row in outputs.chunks_exact(self.outputs) {
            to_biases.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
        (loss, gradient)
    }
}

/// What a head makes of rows of features: one number a label, row by row.
pub fn outputs(head: &[f32], features: &[f32], width: usize, labels: usize) -> Vec<f32> {
    let rows = features.len() / width;
    let (weights, biases) = head.split_at(labels * width);
    let mut outputs = biases.repeat(rows);
    let weights = Matrix::new(weights, labels, width).transposed();
    multiply(&mut outputs, labels, Matrix::new(features, rows, width), weights, 1.0, Before::AddedTo);
    outputs
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three corners of a triangle, and between them.
    fn features() -> (Vec<f32>, Vec<Vec<u32>>) {
        let corners = [(1.0, 0.0), (-0.5, 0.87), (-0.5, -0.87)];
        let rows = (0..90).map(|row| {
            let (x, y) = corners[row % 3];
            let jitter = (row as f32 * 0.7).sin() * 0.3;
            ([x + jitter, y - jitter], vec![(row % 3) as u32])
        });
        let (features, targets): (Vec<[f32; 2]>, Vec<Vec<u32>>) = rows.unzip();
        (features.concat(), targets)
    }

    fn fitted(objective: Objective, l2: f32) -> (Vec<f32>, f64) {
        let (features, targets) = features();
        let targets: Vec<&[u32]> = targets.iter().map(Vec::as_slice).collect();
        let weights = vec![1.0; 90];
        let rows = Regression {
            features: &features,
            width: 2,
            targets: &targets,
            weights: &weights,
            outputs: 3,
            objective,
        };
        let head = rows.fit(l2, vec![0.0; rows.numbers()], &|| true).expect("nobody stops it");
        let outputs = outputs(&head, &features, 2, 3);
        let right = outputs.chunks_exact(3).zip(&targets).filter(|(row, target)| {
            let best = (1..3).fold(0, |best, at| if row[at] > row[best] { at } else { best });
            **target == [best as u32]
        });
        (head.clone(), right.count() as f64 / 90.0)
    }

    #[test]
    fn corners_are_told_apart_by_either_kind_of_head() {
        for objective in [Objective::OneLabel, Objective::SeveralLabels] {
            assert!(fitted(objective, 1e-3).1 > 0.95, "{objective:?}");
        }
    }

    #[test]
    fn a_stronger_pull_makes_smaller_weights_and_the_gradient_vanishes_at_the_end() {
        let length = |head: &[f32]| head[..6].iter().map(|w| w * w).sum::<f32>();
        assert!(length(&fitted(Objective::OneLabel, 0.1).0) < length(&fitted(Objective::OneLabel, 1e-3).0));
        let (features, targets) = features();
        let targets: Vec<&[u32]> = targets.iter().map(Vec::as_slice).collect();
        let weights = vec![1.0; 90];
        let objective = Objective::OneLabel;
        let rows = Regression {
            features: &features,
            width: 2,
            targets: &targets,
            weights: &weights,
            outputs: 3,
            objective,
        };
        let mut gradient = Vec::new();
        rows.value_and_gradient(&fitted(objective, 1e-2).0, 1e-2, 1.0 / 90.0, &mut gradient);
        assert!(gradient.iter().all(|g| g.abs() < 1e-3), "{gradient:?}");
    }

    #[test]
    fn a_row_that_counts_twice_counts_like_two_rows() {
        let (features, targets) = features();
        let targets: Vec<&[u32]> = targets.iter().map(Vec::as_slice).collect();
        for objective in [Objective::OneLabel, Objective::SeveralLabels] {
            let fit = |features: &[f32], targets: &[&[u32]], weights: &[f32]| {
                let rows = Regression { features, width: 2, targets, weights, outputs: 3, objective };
                rows.fit(1e-2, vec![0.0; rows.numbers()], &|| true).expect("nobody stops it")
            };
            let mut weights = vec![1.0; 90];
            weights[0] = 2.0;
            let heavy = fit(&features, &targets, &weights);
            let (more, rows) = ([&features[..2], &features].concat(), [&targets[..1], &targets].concat());
            let twice = fit(&more, &rows, &[1.0; 91]);
            let even = fit(&features, &targets, &[1.0; 90]);
            let apart =
                |one: &[f32], two: &[f32]| one.iter().zip(two).map(|(a, b)| (a - b).abs()).sum::<f32>();
            let (same, other) = (apart(&heavy, &twice), apart(&heavy, &even));
            assert!(same < 0.1 * other, "{objective:?}: {same} {other}");
        }
    }
}
