//! From one score to a confidence: Platt's logistic curve, and the beta curve for scores that are probabilities.

use super::logistic::{fit, sigmoid, smoothed_targets};
use super::{FitError, RightHead};
use serde::{Deserialize, Serialize};

/// sigmoid(slope x score + offset), fitted by likelihood. Source: Platt 1999.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Platt(RightHead);

impl Platt {
    /// Fits on out-of-fold scores and whether each answer was right. Scores that are not finite are left out.
    pub fn fit(scores: &[f64], right: &[bool]) -> Result<Self, FitError> {
        let rows: Vec<[f64; 1]> = scores.iter().map(|score| [*score]).collect();
        // Platt's curve has no penalty but the one hidden in his targets.
        RightHead::fit(&rows, right, 0.0).map(Platt)
    }

    /// Probability of being right; 0 for a score that is not finite.
    pub fn confidence(&self, score: f64) -> f64 {
        self.0.confidence(&[score])
    }
}

/// Probabilities are kept this far from 0 and 1, where the curve's logarithms have no value.
const LEAST_PROBABILITY: f64 = 1e-12;

/// sigmoid(a ln s - b ln(1 - s) + c) with a, b >= 0: never falls as s rises, and the identity is among its
/// shapes, which Platt's curve cannot say. Source: Kull, Silva Filho & Flach 2017.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BetaCalibration {
    a: f64,
    b: f64,
    c: f64,
}

impl BetaCalibration {
    /// Fits on out-of-fold probabilities and whether each answer was right. Rows that are not finite are left out.
    pub fn fit(probabilities: &[f64], right: &[bool]) -> Result<Self, FitError> {
        if probabilities.len() != right.len() {
            return Err(FitError::LengthsDiffer { inputs: probabilities.len(), outcomes: right.len() });
        }
        let pairs = probabilities.iter().zip(right).filter(|(probability, _)| probability.is_finite());
        let (logs, right): (Vec<(f64, f64)>, Vec<bool>) =
            pairs.map(|(probability, right)| (logarithms(*probability), *right)).unzip();
        if logs.is_empty() {
            return Err(FitError::NoRows { given: probabilities.len() });
        }
        let targets = smoothed_targets(&right);
        let fit_columns = |a: f64, b: f64| {
            let rows: Vec<Vec<f64>> =
                logs.iter().map(|(ln_s, ln_rest)| vec![a * ln_s, -b * ln_rest, 1.0]).collect();
            let weights = fit(&rows, &targets, &[1e-6, 1e-6, 1e-9]);
            BetaCalibration { a: a * weights[0], b: b * weights[1], c: weights[2] }
        };
        // The authors' way to keep both slopes from falling below 0: leave out the one that does, fit the other.
        let both = fit_columns(1.0, 1.0);
        let kept = match (both.a < 0.0, both.b < 0.0) {
            (false, false) => both,
            (true, false) => fit_columns(0.0, 1.0),
            (false, true) => fit_columns(1.0, 0.0),
            (true, true) => fit_columns(0.0, 0.0),
        };
        if kept.a < 0.0 || kept.b < 0.0 { Ok(fit_columns(0.0, 0.0)) } else { Ok(kept) }
    }

    /// Probability of being right; 0 for a probability that is not finite.
    pub fn confidence(&self, probability: f64) -> f64 {
        if !probability.is_finite() {
            return 0.0;
        }
        let (ln_s, ln_rest) = logarithms(probability);
        sigmoid(self.a * ln_s - self.b * ln_rest + self.c)
    }
}

/// ln s and ln(1 - s), s kept inside (0, 1).
fn logarithms(probability: f64) -> (f64, f64) {
    let s = probability.clamp(LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY);
    (s.ln(), (-s).ln_1p())
}
