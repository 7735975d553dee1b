//! Logistic regression by Newton's method (iteratively reweighted least squares).

use crate::linear_algebra::solve_positive_definite;

/// Enough for any convex problem of this kind; most stop after 6 to 8.
const MOST_STEPS: usize = 50;

/// 1 / (1 + e^-z), without overflow.
pub(super) fn sigmoid(z: f64) -> f64 {
    if z >= 0.0 {
        1.0 / (1.0 + (-z).exp())
    } else {
        let e = z.exp();
        e / (1.0 + e)
    }
}

/// Targets pulled a little inside (0, 1), so that a sample with one outcome only, or one that a line separates,
/// still has finite weights. Source: Platt 1999, section 2.2.
pub(super) fn smoothed_targets(right: &[bool]) -> Vec<f64> {
    let positives = right.iter().filter(|right| **right).count() as f64;
    let negatives = right.len() as f64 - positives;
    let (high, low) = ((positives + 1.0) / (positives + 2.0), 1.0 / (negatives + 2.0));
    right.iter().map(|right| if *right { high } else { low }).collect()
}

/// Weights that minimise the log loss of sigmoid(weights . row) on `targets` in [0, 1], plus `penalties[i]` / 2
/// times the square of weight i, each penalty above 0. Rows are equally long and finite; add a 1 for a bias.
pub(super) fn fit(rows: &[Vec<f64>], targets: &[f64], penalties: &[f64]) -> Vec<f64> {
    let size = penalties.len();
    let mut weights = vec![0.0; size];
    let mut loss = penalised_loss(rows, targets, penalties, &weights);
    for _ in 0..MOST_STEPS {
        let Some(step) = newton_step(rows, targets, penalties, &weights) else { break };
        // Newton may overshoot far from the optimum: halve until the loss falls.
        let halvings = std::iter::successors(Some(1.0), |scale| Some(scale * 0.5)).take(30);
        let better = halvings
            .map(|scale| -> Vec<f64> { weights.iter().zip(&step).map(|(w, s)| w - scale * s).collect() })
            .map(|tried| (penalised_loss(rows, targets, penalties, &tried), tried))
            .find(|(tried_loss, _)| *tried_loss < loss);
        let Some((better_loss, better_weights)) = better else { break };
        let gained = loss - better_loss;
        (loss, weights) = (better_loss, better_weights);
        if gained < 1e-10 * loss.abs().max(1e-10) {
            break;
        }
    }
    weights
}

fn newton_step(rows: &[Vec<f64>], targets: &[f64], penalties: &[f64], weights: &[f64]) -> Option<Vec<f64>> {
    let size = weights.len();
    let mut gradient: Vec<f64> = weights.iter().zip(penalties).map(|(w, penalty)| w * penalty).collect();
    let mut curvature = vec![0.0; size * size];
    for (i, penalty) in penalties.iter().enumerate() {
        curvature[i * size + i] = *penalty;
    }
    for (row, target) in rows.iter().zip(targets) {
        let p = sigmoid(dot(weights, row));
        // A row far on the right side still bends a little: keeps the matrix positive definite.
        let bend = (p * (1.0 - p)).max(1e-12);
        for i in 0..size {
            gradient[i] += (p - target) * row[i];
            // The lower triangle is all that Cholesky reads.
            for j in 0..=i {
                curvature[i * size + j] += bend * row[i] * row[j];
            }
        }
    }
    solve_positive_definite(curvature, gradient)
}

fn penalised_loss(rows: &[Vec<f64>], targets: &[f64], penalties: &[f64], weights: &[f64]) -> f64 {
    let penalty: f64 = weights.iter().zip(penalties).map(|(w, penalty)| 0.5 * penalty * w * w).sum();
    let losses = rows.iter().zip(targets).map(|(row, target)| {
        let z = dot(weights, row);
        // ln(1 + e^z) - target z, without overflow.
        z.max(0.0) + (-z.abs()).exp().ln_1p() - target * z
    });
    penalty + losses.sum::<f64>()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}
